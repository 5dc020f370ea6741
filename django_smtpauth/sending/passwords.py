"""Secrets that a site wrote into its settings or its code: passwords and access tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.utils.functional import Promise

from ..secrets.references import SecretMissing
from ..secrets.secret import Secret
from ..smtp.errors import SMTPError

#: The reason of the error that says: the secret to log in with could not be had.
SECRET_MISSING: Final = "secret-missing"  # noqa: S105 - a name


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


class _Asked(Hidden):
    """A secret, or a callable that returns it, called for each log-in."""

    __slots__ = ()

    #: What errors call it.
    option = ""

    def reveal(self) -> str:
        """The secret as it is now. Raises SMTPError of stage AUTH, as `ask()` does."""
        return ask(self._value, self.option) if callable(self._value) else super().reveal()

    @property
    def is_callable(self) -> bool:
        """Whether the secret is asked for."""
        return callable(self._value)

    def __bool__(self) -> bool:
        return self.is_callable or super().__bool__()


class Password(_Asked):
    """A password, or a callable that returns it."""

    __slots__ = ()
    option = "password"


class AccessToken(_Asked):
    """An OAuth access token, or a callable that returns one."""

    __slots__ = ()
    option = "access_token"


def ask(source: Callable[[], object], name: str) -> str:
    """The secret that a callable returns, which is text; errors as `call()`."""
    value = call(source, name)
    if isinstance(value, (str, Promise)):
        return str(value)
    kind = type(value).__name__
    # It may be the secret all the same, in octets.
    del value
    raise SMTPError(
        f"the callable of {name} returned {kind} in place of a text",
        stage="AUTH",
        reason=SECRET_MISSING,
        cure="Let it return the secret, or raise an exception.",
    )


def call(source: Callable[[], object], name: str) -> object:
    """What a callable of the site returns.

    name: what the site calls it. Raises SMTPError of stage AUTH when it fails: that names the
    place and not the words, which may hold a secret, as the frames may.
    """
    failure: SMTPError
    try:
        return source()
    except SMTPError as error:
        failure = error
    except SecretMissing as error:
        failure = SMTPError(
            str(error), reason=SECRET_MISSING, cure=f"Put the secret there, or change {name}."
        )
    except Exception as error:
        failure = _callable_failed(error, name)
    failure.stage = failure.stage or "AUTH"
    failure.__context__ = failure.__cause__ = None
    raise failure.with_traceback(None)


def _callable_failed(error: Exception, name: str) -> SMTPError:
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__')}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return SMTPError(
        f"the callable of {name} failed: {type(error).__name__} in {place}",
        reason=SECRET_MISSING,
        transient=isinstance(error, OSError),
        cure="Its own words are kept back, since they may hold a secret; an SMTPError that it "
        "raises is shown as it is.",
    )
