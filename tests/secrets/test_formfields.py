import pytest
from django import forms
from django.core.exceptions import ValidationError

from django_smtpauth.secrets.formfields import CLEAR, SecretFormField, SecretState
from django_smtpauth.secrets.secret import FreshSecret


class Plain(forms.Form):
    token = SecretFormField()


class Optional(forms.Form):
    token = SecretFormField(required=False)


def test_a_text_becomes_a_secret():
    form = Plain({"token": "hunter2"})
    assert form.is_valid()
    assert isinstance(form.cleaned_data["token"], FreshSecret)
    assert form.cleaned_data["token"].reveal() == "hunter2"
    assert "hunter2" not in repr(form.cleaned_data) + str(form)


def test_a_field_without_its_widget_cleans_texts():
    assert SecretFormField().clean("hunter2").reveal() == "hunter2"
    assert SecretFormField(required=False).clean("") is None
    with pytest.raises(ValidationError):
        SecretFormField().clean("")


def test_a_required_secret_is_typed_anew_and_not_cleared():
    stored = {"token": SecretState(stored=True)}
    assert "token-clear" not in str(Plain(initial=stored))
    assert not Plain({"token-clear": "on"}, initial=stored).is_valid()
    assert not Plain({"token": ""}, initial=stored).is_valid()


def test_the_box_clears():
    form = Optional({"token-clear": "on"}, initial={"token": SecretState(stored=True)})
    assert form.is_valid()
    assert form.cleaned_data["token"] is CLEAR
    assert form.changed_data == ["token"]
    assert repr(CLEAR) == "CLEAR"


def test_the_state_is_shown_and_escaped():
    unreadable = SecretState(stored=True, problem="<b>stored</b> for a.example")
    html = str(Optional(initial={"token": unreadable}))
    assert "unreadable. &lt;b&gt;stored&lt;/b&gt; for a.example" in html
    assert "Not set." in str(Optional(initial={"token": "anything else"}))
    assert "anything else" not in str(Optional(initial={"token": "anything else"}))


@pytest.mark.parametrize("stars", ["********", "•••"])
def test_stars_are_refused(stars):
    for form in (Plain({"token": stars}), Optional({"token": stars})):
        assert form.errors.as_data()["token"][0].code == "redaction"
    with pytest.raises(ValidationError, match="stand for a secret"):
        SecretFormField().clean(stars)
