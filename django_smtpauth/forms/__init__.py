"""The form in which people edit an account."""

from .account import SMTPAccountForm

__all__ = ["SMTPAccountForm"]
