from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _

from django_smtpauth.checks import (
    check_email_settings,
    check_mailers,
    check_redirection_for_deployment,
    check_settings,
)
from django_smtpauth.diagnosis.explain import explain_error
from django_smtpauth.secrets.checks import (
    check_keys,
    check_keys_for_deployment,
    check_stored_secrets,
)
from django_smtpauth.sending import explaining
from django_smtpauth.sending.accounts import connect_signals


class SMTPAuthConfig(AppConfig):
    """The Django app; its label is `smtpauth`, whatever the module is called."""

    name = "django_smtpauth"
    label = "smtpauth"
    verbose_name = _("SMTP accounts")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        connect_signals()
        explaining.register(explain_error)
        for check in (check_settings, check_email_settings, check_mailers):
            checks.register(check, "mail")
        checks.register(check_redirection_for_deployment, "mail", deploy=True)
        checks.register(check_keys, checks.Tags.security)
        checks.register(check_keys_for_deployment, checks.Tags.security, deploy=True)
        checks.register(check_stored_secrets, checks.Tags.database)
