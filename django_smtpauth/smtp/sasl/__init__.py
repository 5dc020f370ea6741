"""SASL: credentials, the mechanisms, and the choice between them."""

from .binding import channel_binding, server_end_point
from .credentials import Credentials
from .dialogue import ChannelBinding, Dialogue, Login
from .mechanisms import DEFAULT_ORDER, MECHANISMS, Mechanism, choose, register

__all__ = [
    "DEFAULT_ORDER",
    "MECHANISMS",
    "ChannelBinding",
    "Credentials",
    "Dialogue",
    "Login",
    "Mechanism",
    "channel_binding",
    "choose",
    "register",
    "server_end_point",
]
