from demo.views import send
from django.contrib import admin
from django.urls import path

urlpatterns = [path("", send, name="send"), path("admin/", admin.site.urls)]
