"""The page that explains what somebody pastes."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_smtpauth.diagnosis.pasted import MAX_PASTED
from tests.admin.pages import LIST

pytestmark = pytest.mark.django_db

PAGE = f"{LIST}explain/"
BOUNCE = "550 5.1.1 <nobody@example.org>: Recipient address rejected: User unknown"


@pytest.fixture
def viewer(staff):
    return staff("view_smtpaccount")


def test_an_error_is_explained(viewer):
    assert "smtpauth-finding" not in viewer.get(PAGE).content.decode()
    page = viewer.post(PAGE, {"text": BOUNCE}).content.decode()
    assert "data-rule=" in page
    assert "<ol><li>" in page


def test_nothing_is_stored(viewer):
    with CaptureQueriesContext(connection) as queries:
        viewer.post(PAGE, {"text": BOUNCE})
    assert all(query["sql"].startswith("SELECT") for query in queries.captured_queries)


@pytest.mark.parametrize("text", ["", "x" * (MAX_PASTED + 1)], ids=["empty", "too long"])
def test_what_is_not_explained(viewer, text):
    page = viewer.post(PAGE, {"text": text}).content.decode()
    assert "errorlist" in page
    assert "data-rule=" not in page


def test_a_pasted_script_is_text(viewer):
    page = viewer.post(PAGE, {"text": "599 <script>alert(1)</script>"}).content.decode()
    assert "<script>alert" not in page


def test_who_may(staff, client):
    assert staff("add_smtpaccount").post(PAGE, {"text": BOUNCE}).status_code == 403
    assert client.get(PAGE).status_code == 302


def test_csrf(viewer):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = viewer.cookies
    assert strict.post(PAGE, {"text": BOUNCE}).status_code == 403


def test_the_list_leads_there(viewer):
    assert f'href="{PAGE}"' in viewer.get(LIST).content.decode()
