"""A notice on the admin's start page while mail is not leaving.

Each site's start page asks every ModelAdmin which permissions it grants, to list the apps. That
is where this is told, as one of Django's messages: no template of the site is replaced, and any
AdminSite and theme shows it.
"""

from typing import Any

from django.contrib import messages
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import states

#: Accounts that are named; of more their number is told, up to so many.
MOST_NAMED, MOST_COUNTED = 3, 100
_TOLD = "_smtpauth_notice_told"


def is_wanted(request: HttpRequest, site_name: str) -> bool:
    """Whether this is the start page of that admin site, for the first time in this request."""
    match = request.resolver_match
    if match is None or request.method != "GET" or hasattr(request, _TOLD):
        return False
    if match.url_name != "index" or match.namespace != site_name or "admin" not in match.app_names:
        return False
    setattr(request, _TOLD, True)
    return True


def tell(request: HttpRequest, accounts: Any, list_url: str) -> None:
    """One query: warns of the enabled accounts among these whose mail failed last."""
    failing = accounts.filter(enabled=True, health__failures__gt=0).select_related("health")
    try:
        found = list(failing.order_by("-health__last_failure_at")[:MOST_COUNTED])
    except DatabaseError:
        # The start page is there before the tables are.
        return
    if not found:
        return
    named = format_html_join("; ", "“{}”: {}", ((one, _title(one)) for one in found[:MOST_NAMED]))
    more = len(found) - MOST_NAMED
    others = ngettext("; and %d more", "; and %d more", more) % more if more > 0 else ""
    text = format_html(
        '{} {}{}. <a href="{}?mail=failed&amp;enabled__exact=1">{}</a>',
        _("Mail is not leaving."),
        named,
        others,
        list_url,
        _("See the accounts"),
    )
    messages.error(request, text, extra_tags="smtpauth", fail_silently=True)


def _title(account: Any) -> str:
    finding = states.finding(account, with_words=False)
    return str(finding.title) if finding else ""
