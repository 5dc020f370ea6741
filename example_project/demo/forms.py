from django import forms
from django.core.exceptions import ValidationError

from django_smtpauth.models import SMTPAccount
from django_smtpauth.sending.addressing import envelope_address


class MailForm(forms.Form):
    to = forms.CharField(
        label="To",
        help_text="One or several addresses, with commas in between.",
        initial="juergen@example.org, nobody@example.org",
    )
    account = forms.ChoiceField(label="Account", required=False)
    subject = forms.CharField(label="Subject", initial="Grüße aus Zürich")
    body = forms.CharField(
        label="Text",
        widget=forms.Textarea(attrs={"rows": 5}),
        initial=".profile begins with a dot,\nand this costs 10 €.",
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        accounts = SMTPAccount.objects.filter(enabled=True)
        self.fields["account"].choices = [
            ("", "chosen by the usual rules"),
            *((account.slug, str(account)) for account in accounts),
        ]

    def clean_to(self):
        addresses = [address.strip() for address in self.cleaned_data["to"].split(",")]
        for address in addresses:
            try:
                envelope_address(address)
            except ValueError as error:
                raise ValidationError(str(error)) from None
        return addresses
