"""Errors of the keys and secrets.

ImproperlyConfigured
  KeySourceError     a source in SMTPAUTH["KEYS"] can't be read; names the source, never a key
  NoSealingKey       a secret was to be stored, but no key is there to seal it with
Exception
  SecretUnreadable   a stored secret can't be opened; raised at its use, never by a query
"""

from django.core.exceptions import ImproperlyConfigured


class KeySourceError(ImproperlyConfigured):
    """A key source is missing, malformed or contradicts another one."""


class NoSealingKey(ImproperlyConfigured):
    """`SMTPAUTH["KEYS"]` is not set, so a secret can't be stored."""


class SecretUnreadable(Exception):
    """A stored secret can't be opened.

    `reason` is "unknown_key" (this process does not have the key), "keys" (the key sources can't
    be read), "mismatch" (the row's destination was changed after the secret was stored, or the
    value was copied from another row or altered) or "damaged" (the stored text is no sealed
    secret). `stored_for` names the server that the secret was stored for, as far as known.
    `transient`: the stored secret may be good, and this process lacks what opens it. A later
    attempt, or another process, may succeed.
    """

    def __init__(
        self, message: str, *, reason: str = "", stored_for: str = "", key_id: str = ""
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.stored_for = stored_for
        self.key_id = key_id

    @property
    def transient(self) -> bool:
        """Whether the keys are at fault, not what is stored."""
        return self.reason in ("unknown_key", "keys")
