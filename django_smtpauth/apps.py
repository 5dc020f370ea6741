from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SMTPAuthConfig(AppConfig):
    """The Django app; its label is `smtpauth`, whatever the module is called."""

    name = "django_smtpauth"
    label = "smtpauth"
    verbose_name = _("SMTP accounts")
    default_auto_field = "django.db.models.BigAutoField"
