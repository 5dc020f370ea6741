from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.shortcuts import render

from demo.forms import MailForm
from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.sending.options import MessageOptions
from django_smtpauth.sending.results import Result


def send(request):
    """A form that sends one message, and below it what became of the message."""
    form = MailForm(request.POST or None)
    result = send_message(form.cleaned_data) if form.is_valid() else None
    return render(request, "demo/send.html", {"form": form, "result": result})


def send_message(data):
    message = EmailMessage(data["subject"], data["body"], to=data["to"])
    if data["account"]:
        message.smtp_options = MessageOptions(account=data["account"])
    try:
        message.send()
    except (OSError, ValueError, ImproperlyConfigured, SecretUnreadable) as error:
        return getattr(message, "smtp_result", None) or Result(error=error)
    return message.smtp_result
