"""What a browser sends to the admin's pages, and what they show."""

import re

from django.urls import reverse

from django_smtpauth.models import SMTPAccount
from tests.leaks import forms_of

SECRET = "hunter2 <&ü>"
ADD = "/admin/smtpauth/smtpaccount/add/"
LIST = "/admin/smtpauth/smtpaccount/"
DESTINATION = {
    "host": "evil.example",
    "port": "25",
    "security": "none",
    "username": "mallory",
    "verify": "",
    "allow_auth_without_tls": "on",
}


def url(account):
    return reverse("admin:smtpauth_smtpaccount_change", args=[account.pk])


def posted(**changes):
    """What the browser sends for the account above, with changes; "" leaves a box unticked."""
    data = {
        "preset": "",
        "label": "Club",
        "slug": "club",
        "enabled": "on",
        "authentication": "password",
        "host": "smtp.example.com",
        "port": "587",
        "security": "starttls",
        "username": "club@example.com",
        "password": "",
        "from_email": "",
        "scope": "",
        "verify": "on",
        "ca_text": "",
        "timeout": "",
        "protocol": "smtp",
        "recipients": "",
        "require_tls": "unknown",
        "dsn_ret": "",
        "bdat": "",
    } | changes
    return {name: value for name, value in data.items() if value != "" or name not in BOXES}


BOXES = {"enabled", "verify", "allow_auth_without_tls", "is_default", "select_by_from"}


def errors(response):
    return response.context["adminform"].form.errors


def leaked(text):
    """Which form of the secret, or of its token, the text shows."""
    (token,) = SMTPAccount.objects.values_list("password", flat=True)[:1] or [None]
    forms = [*forms_of(SECRET), "hunter2", *([token.text] if token else [])]
    return [form for form in forms if form in text]


def list_of(client, column, query=""):
    """The cells of a column of the list, each as its texts."""
    page = client.get(LIST + query).content.decode()
    cells = re.findall(rf'<t[dh] class="field-{column}[^>]*>(.*?)</t[dh]>', page, re.S)
    return [[text.strip() for text in re.findall(r"[^<>]+(?=<|$)", cell)] for cell in cells]
