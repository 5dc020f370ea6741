"""Secrets that a site wrote into its settings or its code: passwords and access tokens."""

from __future__ import annotations

from typing import Final

from django.utils.functional import Promise

from ..secrets.secret import Secret
from ..smtp.errors import SMTPError

#: The reason of the error that says: there is no access token to log in with.
TOKEN_MISSING: Final = "access-token"  # noqa: S105 - a name


class Hidden(Secret):
    """A secret from the settings or from code. Compared and hashed by value.

    It also hides what is of no use, until `read()` refuses it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return str(self._value)

    @property
    def kind(self) -> type:
        """What was given; `str` or a lazy text is right."""
        return type(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._value == other._value

    def __hash__(self) -> int:
        try:
            return hash(self._value)
        except TypeError:
            return hash(self.kind)


class Password(Hidden):
    """A password."""

    __slots__ = ()


class AccessToken(Hidden):
    """An OAuth access token, or a callable that returns one, called for each log-in."""

    __slots__ = ()

    def reveal(self) -> str:
        """The token as it is now.

        Raises SMTPError of stage AUTH when the callable fails. It names the place and not the
        words, which may hold a secret, as the frames may.
        """
        if not callable(self._value):
            return super().reveal()
        failure: SMTPError
        try:
            return _text_of_token(self._value())
        except SMTPError as error:
            failure = error
        except Exception as error:
            failure = _callable_failed(error)
        failure.stage = failure.stage or "AUTH"
        failure.__context__ = failure.__cause__ = None
        raise failure.with_traceback(None)

    @property
    def is_callable(self) -> bool:
        """Whether the token is asked for."""
        return callable(self._value)

    def __bool__(self) -> bool:
        return self.is_callable or super().__bool__()


def _text_of_token(value: object) -> str:
    if isinstance(value, (str, Promise)):
        return str(value)
    kind = type(value).__name__
    raise SMTPError(
        f"the callable of access_token returned {kind} in place of a text",
        reason=TOKEN_MISSING,
        cure="Let it return the access token, or raise an exception.",
    )


def _callable_failed(error: Exception) -> SMTPError:
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__')}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return SMTPError(
        f"the callable of access_token failed: {type(error).__name__} in {place}",
        reason=TOKEN_MISSING,
        transient=isinstance(error, OSError),
        cure="Its own words are kept back, since they may hold a secret; an SMTPError that it "
        "raises is shown as it is.",
    )
