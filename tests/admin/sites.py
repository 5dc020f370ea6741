"""A URL configuration with an admin site of another class and name."""

from django.contrib.admin import AdminSite
from django.urls import path

from django_smtpauth.admin import SMTPAccountAdmin
from django_smtpauth.models import SMTPAccount


class BackOffice(AdminSite):
    site_header = "Back office"


site = BackOffice(name="office")
site.register(SMTPAccount, SMTPAccountAdmin)

urlpatterns = [path("office/", site.urls)]
