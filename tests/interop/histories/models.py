"""The history of accounts, as a site keeps it with django-simple-history."""

from simple_history import register

from django_smtpauth.models import SMTPAccount

register(SMTPAccount, app="tests.interop.histories")
