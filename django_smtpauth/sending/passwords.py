"""A secret that a site wrote into its settings or its code."""

from __future__ import annotations

from ..secrets.secret import Secret


class Password(Secret):
    """A password from the settings or from code. Compared and hashed by value.

    It also hides what is no text, until `read()` refuses it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def reveal(self) -> str:
        """The password itself."""
        return str(self._value)

    @property
    def kind(self) -> type:
        """What was given; `str` or a lazy text is right."""
        return type(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Password) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)
