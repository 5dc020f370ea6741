"""SASL: credentials, the mechanisms, and the choice between them."""

from .credentials import Credentials
from .mechanisms import MECHANISMS, Mechanism, choose

__all__ = ["MECHANISMS", "Credentials", "Mechanism", "choose"]
