"""SMTP for Django: an engine of its own, encrypted accounts in the admin, honest results."""

from .current import smtp_account

__all__ = ["smtp_account"]
__version__ = "0.1.0"
