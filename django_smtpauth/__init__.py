"""SMTP for Django: an engine of its own, encrypted accounts in the admin, honest results."""

__version__ = "0.1.0"
