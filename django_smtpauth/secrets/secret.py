"""`Secret`: a text that shows itself only to `reveal()`.

An encrypted field's attribute is a Secret or None. A `FreshSecret` was assigned and is not
stored yet; a `StoredSecret` is sealed and opened anew at each `reveal()`, against the row as it
is at that moment: a row that points to another server than the one the secret was stored for
does not get it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, NoReturn

from cryptography.exceptions import InvalidTag
from django.core.exceptions import ValidationError

from django_smtpauth.secrets.errors import KeySourceError, SecretUnreadable
from django_smtpauth.secrets.keyring import SealingKey, find_key, get_sealer
from django_smtpauth.secrets.token import SealedToken, SealingContext, associated_data, printable

#: What a secret looks like wherever it is printed.
REDACTED: Final = "********"
#: What REDACTED and the password inputs of browsers are made of.
_MASKS: Final = frozenset("*\u2022\u25cf")


def is_redaction(text: str) -> bool:
    """Whether the text only stands for a secret that is hidden: stars or bullets, nothing else.

    A page or an API that shows REDACTED gets it back with the next change of a row.
    """
    return bool(text.strip()) and _MASKS.issuperset(text.strip())


class Secret(ABC):
    """A secret text. Printing, formatting, pickling and comparing it tell nothing about it."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        # A template calls what it finds, except what says this.
        cls.reveal.alters_data = True  # type: ignore[attr-defined]

    @abstractmethod
    def reveal(self) -> str:
        """The text itself. Raises SecretUnreadable."""

    def __repr__(self) -> str:
        return "<Secret>"

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, spec: str) -> str:
        return REDACTED

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret can't be pickled.")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self


class FreshSecret(Secret):
    """A secret that was assigned and is not stored yet. Equal only to itself."""

    __slots__ = ("_plaintext",)

    def __init__(self, plaintext: str) -> None:
        self._plaintext = plaintext

    def reveal(self) -> str:
        """The text as it was assigned."""
        return self._plaintext

    def __bool__(self) -> bool:
        return bool(self._plaintext)

    def seal(self, purpose: str, context: SealingContext) -> SealedToken:
        """The token to store. Raises NoSealingKey or KeySourceError, and ValueError for a text
        that UTF-8 can't express."""
        key = get_sealer()
        stored_for = printable(context.stored_for)
        bound = associated_data(key.id, stored_for, purpose, context)
        try:
            return SealedToken.build(key.id, stored_for, key.seal(self._plaintext.encode(), bound))
        except UnicodeEncodeError:
            # It holds the text.
            pass
        raise ValueError("The secret holds half of a character, which UTF-8 can't express.")


class Unfit:
    """Stands for what was given as a secret and can't be one; of that it keeps the type's name."""

    def __init__(self, value: object) -> None:
        self.kind = type(value).__name__


def hide(value: Any) -> Any:
    """What is assigned as a secret, so that from here on no local variable shows it.

    A text becomes a FreshSecret; None, secrets, tokens and expressions stay.
    """
    if value is None or isinstance(value, (Secret, SealedToken, Unfit)):
        return value
    if hasattr(value, "as_sql"):
        return value
    return FreshSecret(value) if isinstance(value, str) else Unfit(value)


class StoredSecret(Secret):
    """A sealed secret of one row. Equal to another one that has the same token."""

    __slots__ = ("_context", "_purpose", "owner", "token")

    def __init__(
        self,
        token: SealedToken,
        purpose: str,
        context: Callable[[], SealingContext],
        owner: object,
    ) -> None:
        self.token = token
        self.owner = owner
        self._purpose = purpose
        self._context = context

    def reveal(self) -> str:
        """The text, opened with the row as it is now. Raises SecretUnreadable."""
        key, token, context = self._key(), self.token, self._row_now()
        bound = associated_data(key.id, token.stored_for, self._purpose, context)
        try:
            return key.open(token.sealed, bound).decode()
        except (InvalidTag, ValueError):
            problem = self._mismatch(printable(context.stored_for))
        raise problem

    def reseal(self) -> SealedToken:
        """The same text for the same row, sealed with the key that seals now.

        Raises SecretUnreadable, NoSealingKey or KeySourceError.
        """
        context = self._row_now()
        return FreshSecret(self.reveal()).seal(self._purpose, context)

    def problem(self) -> SecretUnreadable | None:
        """Why the secret can't be opened, or None when it can."""
        try:
            self.reveal()
        except SecretUnreadable as error:
            return error
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredSecret) and self.token == other.token

    def __hash__(self) -> int:
        return hash(self.token)

    def _key(self) -> SealingKey:
        token = self.token
        if not token.valid:
            raise SecretUnreadable(
                "The stored value is damaged or was written past Django: it is no sealed secret. "
                "Enter the secret again.",
                reason="damaged",
            )
        try:
            key = find_key(token.key_id)
        except KeySourceError as error:
            raise SecretUnreadable(
                f"The secret stored for {token.stored_for} can't be opened, because the keys "
                f"can't be read. {error}",
                reason="keys",
                stored_for=token.stored_for,
                key_id=token.key_id,
            ) from error
        if key is None:
            raise unknown_key(token)
        return key

    def _row_now(self) -> SealingContext:
        try:
            return self._context()
        except ValidationError:
            # SQL may have written what is no port or no truth value.
            problem = self._mismatch("something that is no destination")
        raise problem

    def _mismatch(self, now: str) -> SecretUnreadable:
        stored_for = self.token.stored_for
        if now != stored_for:
            why = f"but its row now points to {now}"
        else:
            why = (
                "but under other settings (security, user name, certificate checks), or for "
                "another row, or it was altered"
            )
        return SecretUnreadable(
            f"The secret does not open: it was stored for {stored_for}, {why}. "
            "Enter the secret again.",
            reason="mismatch",
            stored_for=stored_for,
            key_id=self.token.key_id,
        )


def unknown_key(token: SealedToken) -> SecretUnreadable:
    """The error that says that this process does not have the key of a token."""
    return SecretUnreadable(
        f"The secret stored for {token.stored_for} was sealed with key {token.key_id}, "
        'which this process does not have. Add that key to SMTPAUTH["KEYS"], or enter '
        "the secret again.",
        reason="unknown_key",
        stored_for=token.stored_for,
        key_id=token.key_id,
    )
