"""Inputs that Django has no field for."""

from typing import Any

from django import forms

from django_smtpauth.choices import AS_THE_SETTINGS


class WordsFormField(forms.MultipleChoiceField):
    """Boxes to tick; the value is a text, the ticked words with commas in between."""

    # The admin's style for lists of boxes, or long labels are broken.
    widget = forms.CheckboxSelectMultiple(attrs={"class": "radiolist"})

    def prepare_value(self, value: Any) -> Any:
        return _words(value)

    def clean(self, value: Any) -> Any:
        return ",".join(super().clean(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(_words(initial), data)


class YesNoOrUnsaid(forms.NullBooleanSelect):
    """A choice of yes, no, and what the settings say."""

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs)
        self.choices = [("unknown", AS_THE_SETTINGS), *list(self.choices)[1:]]


def _words(value: Any) -> Any:
    """The words of a text with commas in between; a list stays."""
    return value.split(",") if isinstance(value, str) and value else value
