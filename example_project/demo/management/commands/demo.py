"""`manage.py demo`: one message from Django's mail API to a real server, and back to the eye."""

import socket
import textwrap

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from demo.message import TEXT, demo_message
from demo.site import TRUSTED, UNTRUSTED, create_accounts, create_superuser, prepare
from django_smtpauth.backends import EmailBackend
from django_smtpauth.diagnosis.plan import Plan
from django_smtpauth.diagnosis.probe import probe
from django_smtpauth.models import SMTPAccount
from django_smtpauth.smtp.errors import TLSError

RECIPIENT = "Jürgen Groß <juergen@example.org>"
NOBODY = "nobody@example.org"


class Command(BaseCommand):
    help = "Sends a message through an account to a mail server of this process; shows all of it."
    # The key that the settings name is made here, if it is not there yet.
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument(
            "--serve",
            metavar="PORT",
            nargs="?",
            type=int,
            const=8000,
            help="keep the server, and run the site with a form and the admin, on 8000 if free",
        )

    def handle(self, **options):
        try:
            from django_smtpauth.testing.server import MailServer
        except ImportError as missing:
            raise CommandError(str(missing)) from None
        prepare()
        with MailServer() as server:
            server.refuse[NOBODY] = "550 5.1.1 Nobody of this name here"
            create_accounts(server)
            self.show_setting(server)
            if options["serve"] is None:
                self.send(server)
            else:
                self.serve(options["serve"])

    def show_setting(self, server):
        self.title("The server and the account")
        self.row("Server", f"{server.host}:{server.port}, in this process: wants STARTTLS, log-in")
        self.row("Certificate", "made just now by an authority that only this account trusts")
        account = SMTPAccount.objects.get(slug=TRUSTED)
        self.row("Account", f"{account.slug}, the default account, in {connection.vendor}")
        self.row("Password", f"in the database it reads {stored_password(account)}")

    def send(self, server):
        message = demo_message(None, [RECIPIENT])
        message.send()
        result = message.smtp_result
        received = server.messages[-1]

        self.title("The dialogue (redacted before it is kept)")
        self.stdout.write(result.dialogue())
        self.title("The result (message.smtp_result)")
        attempt = result.attempts[-1]
        for address, outcome in result.recipients.items():
            self.row(outcome.status.value.capitalize(), f"{address}: {outcome.reply}")
        self.row("Queue id", result.queue_id)
        self.row("Server", f"{attempt.server} ({attempt.peer}); {attempt.rule}")
        self.row("TLS", f"{attempt.tls.version}, {attempt.tls.cipher}")
        self.row("Log-in", attempt.mechanism)
        self.row("Time", f"{attempt.seconds * 1000:.0f} ms, opening of the connection included")
        self.title("The message as it arrived")
        self.stdout.write(textwrap.indent(received.content.decode(), "| ", lambda _: True))

        self.title("Compared")
        self.check_all(message, received, server)

    def check_all(self, message, received, server):
        """Says of each thing whether it came out as it must; raises if one did not."""
        own, parsed = message.own_octets(), received.message
        checks = {
            f"{len(own):,} octets arrived, each as Django rendered it": received.content == own,
            f"Subject: {parsed['Subject']}": parsed["Subject"] == message.subject,
            f"From: {parsed['From']}": "Zoë" in parsed["From"],
            "the lines that begin with a dot": body_of(parsed) == TEXT,
            f"logged in as {received.username}, over {received.tls}": bool(
                received.username == server.username and received.tls
            ),
            f"one queue id on both sides: {received.queue_id}": received.queue_id
            == message.smtp_result.queue_id,
            "no password in dialogue or result": server.password
            not in message.smtp_result.dialogue() + repr(message.smtp_result.to_dict()),
        }
        error = probe(EmailBackend(account=UNTRUSTED).route(), Plan(stop_after="TLS")).error
        why = error.message if isinstance(error, TLSError) else f"no TLS error but {error!r}"
        checks[f"with another authority: {why}"] = isinstance(error, TLSError)
        for what, fine in checks.items():
            style = self.style.SUCCESS if fine else self.style.ERROR
            self.row("ok" if fine else "WRONG", what, style)
        failed = sum(not fine for fine in checks.values())
        if failed:
            raise CommandError(f"{failed} of {len(checks)} things did not come out as they must.")
        self.stdout.write("\nAll of it is as it must be. Click around: manage.py demo --serve")

    def serve(self, port):
        name, password = create_superuser()
        site = f"127.0.0.1:{free_port(port)}"
        self.title("The site")
        self.row("Send mail", f"http://{site}/")
        self.row("", f"({NOBODY} is refused by the server)")
        self.row("Accounts", f"http://{site}/admin/smtpauth/smtpaccount/")
        self.row("Log-in", f"{name}, password {password}")
        self.row("The end", "Ctrl-C")
        self.stdout.write("")
        call_command("runserver", site, use_reloader=False)

    def title(self, text):
        self.stdout.write("\n" + self.style.MIGRATE_HEADING(text))

    def row(self, label, text, style=str):
        lines = textwrap.wrap(text, 64, break_on_hyphens=False) or [""]
        first, *rest = (style(line) for line in lines)
        self.stdout.write("\n".join([f"  {label:<13}{first}", *(" " * 15 + r for r in rest)]))


def stored_password(account):
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM smtpauth_smtpaccount WHERE slug = %s", [account.slug])
        return cursor.fetchone()[0]


def body_of(parsed):
    return parsed.get_body(["plain"]).get_content().replace("\r\n", "\n")


def free_port(wanted):
    """The port, or another one when that is taken."""
    for port in (wanted, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as probe:
                return probe.getsockname()[1]
        except OSError:
            continue
    raise CommandError("No port is free on 127.0.0.1.")
