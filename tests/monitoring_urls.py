"""A URL configuration with the pages for monitors."""

from django.urls import include, path

urlpatterns = [path("mail/", include("django_smtpauth.urls"))]
