"""Filters of the admin's templates."""

from django import template

from django_smtpauth.forms.texts import LABELS
from django_smtpauth.models import SMTPAccount

register = template.Library()


@register.filter
def account_label(field: str) -> str:
    """What a field is called in the form of an account."""
    return str(LABELS.get(field) or SMTPAccount._meta.get_field(field).verbose_name)  # type: ignore[union-attr]
