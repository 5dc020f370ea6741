"""A strict Content-Security-Policy, under which the pages have to work."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; object-src 'none'"


def strict_policy(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware that sends it with every page."""

    def respond(request: HttpRequest) -> Any:
        response = get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response

    return respond
