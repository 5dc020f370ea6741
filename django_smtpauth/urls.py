"""The pages for monitors: `path("mail/", include("django_smtpauth.urls"))`."""

from django.urls import path

from . import monitoring

app_name = "smtpauth"

urlpatterns = [
    path("accounts.json", monitoring.accounts_as_json, name="accounts_json"),
    path("metrics", monitoring.accounts_as_metrics, name="metrics"),
]
