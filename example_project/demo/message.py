"""The message of the demonstration: everything in it that mail programs like to spoil."""

import django
from django.core.mail import EmailMultiAlternatives

TEXT = """\
Dear Jürgen,

the next line begins with a dot, which SMTP must double and undouble:
.profile is not the end of this message.
.
Neither was the line above, although it is only a dot.

Kind regards from Zoë
"""
HTML = "<p>Dear Jürgen,</p><p>a <b>picture</b> is attached.</p>"
PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="3"/></svg>
"""


class RenderedMessage(EmailMultiAlternatives):
    """Keeps what Django rendered, so that it can be compared with what arrived.

    Every rendering has a date and boundaries of its own: only that very one will do.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.renderings = []

    def message(self, **kwargs):
        rendered = super().message(**kwargs)
        self.renderings.append(rendered)
        return rendered

    def own_octets(self):
        """The message as Python's e-mail package writes it."""
        rendered = self.renderings[-1]
        return rendered.as_bytes(linesep="\r\n") if django.VERSION < (6,) else rendered.as_bytes()


def demo_message(sender, recipients):
    message = RenderedMessage(
        subject="Grüße aus Zürich: 10 € für alle",
        body=TEXT,
        from_email=sender,
        to=recipients,
    )
    message.attach_alternative(HTML, "text/html")
    message.attach("Grüße.svg", PICTURE, "image/svg+xml")
    return message
