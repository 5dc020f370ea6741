"""Mail providers as data."""

from typing import Any


def choices() -> list[Any]:
    """Slug and name of each."""
    return []


def get(slug: str) -> Any:  # noqa: ARG001
    """The provider of this slug, or None."""
    return None
