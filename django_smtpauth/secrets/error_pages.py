"""Keep a request's secrets out of Django's error pages and error mails."""

from functools import lru_cache
from typing import Any

from django.http import HttpRequest
from django.views.debug import get_default_exception_reporter_filter


def hide_from_error_pages(request: HttpRequest, *parameters: str) -> None:
    """Let reports of an exception in this request hide these POST parameters.

    Django's own `sensitive_post_parameters` does so only while DEBUG is off.
    """
    marked: Any = request
    marked.sensitive_post_parameters = parameters
    site_filter: Any = type(get_default_exception_reporter_filter())
    marked.exception_reporter_filter = _always_active(site_filter)()


@lru_cache
def _always_active(site_filter: Any) -> Any:
    """The site's own filter class, active under DEBUG too."""

    class AlwaysActive(site_filter):
        def is_active(self, request: HttpRequest | None) -> bool:  # noqa: ARG002
            return True

    return AlwaysActive
