"""What was wrong with what was asked for, and where."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError


@dataclass(frozen=True)
class Problem:
    """One fault with its cure. line: of the input, from 1; field: the model's name of it.

    The text never quotes a value that was given: it may be a secret in the wrong place.
    """

    text: str
    line: int | None = None
    slug: str = ""
    field: str = ""

    def __str__(self) -> str:
        where = [f"line {self.line}"] if self.line else []
        where += [word for word in (self.slug, self.field) if word]
        return ", ".join(where) + (": " if where else "") + self.text


class ProvisioningError(Exception):
    """Nothing was written, for these reasons."""

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        self.problems = [Problem(problems)] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def problems_of(error: ValidationError, slug: str, line: int | None = None) -> list[Problem]:
    """The messages of a validation, each at its field."""
    by_field = error.update_error_dict({})
    return [
        Problem(message, line, slug, "" if field == "__all__" else field)
        for field, faults in by_field.items()
        for fault in faults
        for message in fault.messages
    ]
