"""What the pages of the admin ask for: proposals while somebody types, and who carries mail."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.http import HttpRequest, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_smtpauth.backends import EmailBackend
from django_smtpauth.conf import mailers_configured
from django_smtpauth.forms.proposals import Proposal, look_up, propose
from django_smtpauth.presets import Limits
from django_smtpauth.sending.mailer import default_options, email_settings, endpoint
from django_smtpauth.sending.option_values import InvalidOption
from django_smtpauth.sending.routing import Route, Rule, normalized_address

GUIDE = "admin/smtpauth/smtpaccount/guide.html"


# While somebody types


def proposal(request: HttpRequest) -> JsonResponse:
    """Fields to fill in, the text beside them, and a sentence to be read out; no secrets.

    Parameters: `preset`, `address`, and `look_up` to ask the DNS.
    """
    address = request.GET.get("address", "").strip()
    if "look_up" in request.GET:
        made = look_up(address)
    else:
        made = propose(request.GET.get("preset", ""), address)
    return JsonResponse(
        {
            "values": made.values(),
            "guide": render_to_string(GUIDE, guide_context(made, address), request),
            "said": _said(made),
        }
    )


def guide_context(made: Proposal, address: str) -> dict[str, Any]:
    """What the text beside the form is made from."""
    unknown = made.server is None and "@" in address
    return {
        "preset": made.preset,
        "limits": _limits(made.preset.limits) if made.preset else "",
        "address": address,
        "found": made.found,
        "problem": made.problem,
        "unknown": unknown,
        "can_look_up": unknown and find_spec("dns") is not None,
    }


def _limits(limits: Limits) -> str:
    known = (
        (limits.messages_per_day, "%d message a day", "%d messages a day"),
        (limits.recipients, "%d recipient a message", "%d recipients a message"),
        (limits.connections, "%d connection at once", "%d connections at once"),
    )
    return ", ".join(ngettext(one, many, number) % number for number, one, many in known if number)


def _said(made: Proposal) -> str:
    if made.server is None:
        return made.problem or _("No provider is known for this address.")
    name = made.preset.name if made.preset else made.server.host
    return _("%(name)s: the server %(host)s, port %(port)d, was filled in.") % {
        "name": name,
        "host": made.server.host,
        "port": made.server.port,
    }


# Who carries mail


@dataclass(frozen=True)
class Carrier:
    """Who carries mail from one address to another; or the problem that keeps it from being sent.

    recipient: empty where nobody asked.
    """

    sender: str
    recipient: str = ""
    route: Route | None = None
    problem: str = ""

    @property
    def reason(self) -> str:
        """By which rule, as a sentence."""
        if self.route is None:
            return ""
        text = self.route.rule.value
        return f"{text[0].upper()}{text[1:]}."


def who_carries(sender: str, recipient: str = "") -> Carrier:
    """The account or server that mail between these addresses goes through by default.

    recipient: what SMTPAUTH["CHOOSER"] may look at; the other rules do not.
    """
    asked = Carrier(sender, recipient)
    if any("@" not in normalized_address(a) for a in (sender, recipient or sender)):
        return replace(asked, problem=_("Type one address: name@example.com."))
    message = EmailMessage(from_email=sender, to=[recipient] if recipient else [])
    try:
        return replace(asked, route=default_mailer().route(message))
    except ImproperlyConfigured as error:
        return replace(asked, problem=str(error))
    except Exception as error:
        # Only the site's own function can raise anything else.
        failed = _("SMTPAUTH[“CHOOSER”] failed for such a message: %(error)s.")
        return replace(asked, problem=failed % {"error": type(error).__name__})


@dataclass(frozen=True)
class SettingsRoute:
    """The server that the settings name. always: no account is asked before it."""

    server: str
    always: bool = False
    problem: str = ""


def settings_route() -> SettingsRoute | None:
    """What the settings do with mail; None if they name no server."""
    try:
        route = _route_of_the_mailer()
        if route is not None and route.rule in (Rule.EXPLICIT_HOST, Rule.EXPLICIT_OPTIONS):
            return SettingsRoute(route.endpoint.server, always=True)
        plain = email_settings().over(default_options())
        return SettingsRoute(endpoint(plain).server) if plain.host else None
    except InvalidOption as error:
        return SettingsRoute("", problem=str(error))


def _route_of_the_mailer() -> Route | None:
    try:
        return default_mailer().route()
    except ImproperlyConfigured:
        return None


def default_mailer() -> EmailBackend:
    """The mailer that mail takes which names none; ours also where the site has another.

    Raises ImproperlyConfigured.
    """
    if not mailers_configured():
        return EmailBackend()
    from django.core.mail import mailers

    mailer = mailers["default"]
    return mailer if isinstance(mailer, EmailBackend) else EmailBackend(alias="default")
