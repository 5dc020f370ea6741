"""The accounts in Django's admin."""

from .accounts import SMTPAccountAdmin

__all__ = ["SMTPAccountAdmin"]
