"""Delivery services: they send for a domain that its owner has verified with them."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from .preset import (
    FIRST_CHECK,
    Credential,
    Kind,
    Limits,
    Preset,
    SenderPolicy,
    Username,
    implicit_tls,
    starttls,
)

_API_KEY_WORKS = _("An API key works as password.")
_OWN_PASSWORD = _("SMTP has credentials of its own; the password of the account does not work.")
_VERIFY_DOMAIN = _("Verify the domain that you send from.")

_SES_REGIONS = {
    "us-east-1": "US East (N. Virginia)",
    "us-east-2": "US East (Ohio)",
    "us-west-1": "US West (N. California)",
    "us-west-2": "US West (Oregon)",
    "ca-central-1": "Canada (Central)",
    "eu-central-1": "Europe (Frankfurt)",
    "eu-west-1": "Europe (Ireland)",
    "eu-west-2": "Europe (London)",
    "eu-west-3": "Europe (Paris)",
    "eu-north-1": "Europe (Stockholm)",
    "ap-south-1": "Asia Pacific (Mumbai)",
    "ap-northeast-1": "Asia Pacific (Tokyo)",
    "ap-northeast-2": "Asia Pacific (Seoul)",
    "ap-northeast-3": "Asia Pacific (Osaka)",
    "ap-southeast-1": "Asia Pacific (Singapore)",
    "ap-southeast-2": "Asia Pacific (Sydney)",
    "sa-east-1": "South America (São Paulo)",
}


def _ses(region: str, place: str) -> Preset:
    host = f"email-smtp.{region}.amazonaws.com"
    return Preset(
        slug=f"amazon-ses-{region}",
        name=f"Amazon SES, {place}",
        kind=Kind.RELAY,
        server=starttls(host),
        alternatives=(implicit_tls(host), starttls(host, 2587), implicit_tls(host, 2465)),
        username=Username.shown(_("The SMTP user name that the SES console shows.")),
        credential=Credential(
            title=_("SMTP credentials of Amazon SES"),
            steps=(
                _VERIFY_DOMAIN,
                _("Create SMTP credentials in the SES console, in this region."),
                _("Copy both here. They are not an access key of AWS."),
                _("Leave the sandbox, or only verified addresses get your mail."),
            ),
            url="https://console.aws.amazon.com/ses/",
        ),
        limits=Limits(recipients=50, octets=40_000_000),
        authentication=(_OWN_PASSWORD,),
        sender_policy=SenderPolicy.ALLOW,
        source="https://docs.aws.amazon.com/ses/latest/dg/quotas.html",
        checked=FIRST_CHECK,
    )


def _mailgun(region: str, host: str) -> Preset:
    return Preset(
        slug=f"mailgun-{region.lower()}",
        name=f"Mailgun, {region}",
        kind=Kind.RELAY,
        server=starttls(host),
        alternatives=(implicit_tls(host), starttls(host, 2525)),
        username=Username.shown(_("The SMTP user of your domain: a whole address.")),
        credential=Credential(
            title=_("SMTP credentials of your domain"),
            steps=(
                _VERIFY_DOMAIN,
                _("Open the settings of that domain, then “SMTP credentials”."),
                _("Reset the password of an SMTP user and copy both here."),
            ),
            url="https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-smtp",
        ),
        limits=Limits(octets=25_000_000),
        authentication=(_OWN_PASSWORD,),
        sender_policy=SenderPolicy.ALLOW,
        source="https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages",
        checked=FIRST_CHECK,
    )


def _sparkpost(region: str, host: str, app: str) -> Preset:
    return Preset(
        slug=f"sparkpost-{region.lower()}",
        name=f"SparkPost, {region}",
        kind=Kind.RELAY,
        server=starttls(host),
        alternatives=(starttls(host, 2525),),
        username=Username.fixed("SMTP_Injection"),
        credential=Credential(
            title=_("An API key"),
            steps=(
                _VERIFY_DOMAIN,
                _("Create an API key with the permission “Send via SMTP”."),
                _("Copy it here as password."),
            ),
            url=app,
        ),
        authentication=(_API_KEY_WORKS,),
        sender_policy=SenderPolicy.ALLOW,
        source="https://developers.sparkpost.com/api/smtp/",
        checked=FIRST_CHECK,
    )


def _smtp2go(slug: str, where: str, host: str) -> Preset:
    return Preset(
        slug=slug,
        name=f"SMTP2GO{where}",
        kind=Kind.RELAY,
        server=starttls(host, 2525),
        alternatives=(starttls(host), implicit_tls(host), implicit_tls(host, 8465)),
        username=Username.shown(_("The name of an SMTP user, as the app shows it.")),
        credential=Credential(
            title=_("An SMTP user"),
            steps=(
                _("Verify your senders under Sending, Verified Senders."),
                _("Add a user under Sending, SMTP Users, and copy name and password here."),
            ),
            url="https://app.smtp2go.com/",
        ),
        authentication=(_OWN_PASSWORD,),
        sender_policy=SenderPolicy.ALLOW,
        source="https://developers.smtp2go.com/docs/smtp-relay",
        checked=FIRST_CHECK,
    )


RELAYS = (
    *(_ses(region, place) for region, place in _SES_REGIONS.items()),
    Preset(
        slug="azure-communication",
        name="Azure Communication Services",
        kind=Kind.RELAY,
        server=starttls("smtp.azurecomm.net"),
        username=Username.shown(_("The SMTP user name of the Communication Services resource.")),
        credential=Credential(
            title=_("The secret of an Entra application"),
            steps=(
                _("Connect a verified domain with the Communication Services resource."),
                _("Give an Entra application access to it, and create an SMTP user name."),
                _("Copy a client secret of that application here as password."),
            ),
            url="https://learn.microsoft.com/en-us/azure/communication-services/quickstarts/email/send-email-smtp/send-email-smtp",
        ),
        authentication=(_("A client secret of the application works."),),
        sender_policy=SenderPolicy.ALLOW,
        source="https://developer.konghq.com/how-to/configure-azure-smtp-for-kong-gateway",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="brevo",
        name="Brevo",
        kind=Kind.RELAY,
        server=starttls("smtp-relay.brevo.com"),
        alternatives=(
            implicit_tls("smtp-relay.brevo.com"),
            starttls("smtp-relay.brevo.com", 2525),
        ),
        username=Username.shown(_("The login on the page “SMTP & API”.")),
        credential=Credential(
            title=_("An SMTP key"),
            steps=(
                _VERIFY_DOMAIN,
                _("Open “SMTP & API” and make an SMTP key. An API key is something else."),
                _("Copy login and key here."),
            ),
            url="https://developers.brevo.com/docs/smtp-integration",
        ),
        authentication=(_("An SMTP key works; an API key does not."),),
        sender_policy=SenderPolicy.ALLOW,
        source="https://developers.brevo.com/docs/smtp-integration",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="google-workspace-relay",
        name="Google Workspace SMTP relay",
        kind=Kind.RELAY,
        server=starttls("smtp-relay.gmail.com"),
        credential=Credential(
            title=_("The relay service of the organisation"),
            steps=(
                _("Let an administrator set up the SMTP relay service, under Gmail, Routing."),
                _("Use the address of a user and an app password of that user."),
                _("Set an EHLO name that is yours: the relay turns others away."),
            ),
            url="https://support.google.com/a/answer/2956491",
        ),
        limits=Limits(messages_per_day=10_000),
        authentication=(
            _("An app password works, or the address of this site without any password."),
            _("The password of a user ended on 2025-05-01."),
        ),
        sender_policy=SenderPolicy.ALLOW,
        source="https://support.google.com/a/answer/2956491",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="mailchimp-transactional",
        name="Mailchimp Transactional (Mandrill)",
        kind=Kind.RELAY,
        server=starttls("smtp.mandrillapp.com"),
        alternatives=(
            implicit_tls("smtp.mandrillapp.com"),
            starttls("smtp.mandrillapp.com", 2525),
        ),
        username=Username.shown(_("Any name; the primary contact address is usual.")),
        credential=Credential(
            title=_("An API key"),
            steps=(_VERIFY_DOMAIN, _("Copy an active API key here as password.")),
            url="https://mailchimp.com/developer/transactional/docs/smtp-integration/",
        ),
        authentication=(_API_KEY_WORKS,),
        sender_policy=SenderPolicy.ALLOW,
        source="https://mailchimp.com/developer/transactional/docs/smtp-integration/",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="mailersend",
        name="MailerSend",
        kind=Kind.RELAY,
        server=starttls("smtp.mailersend.net"),
        username=Username.shown(_("The user name of an SMTP user, as the page shows it.")),
        credential=Credential(
            title=_("An SMTP user"),
            steps=(
                _VERIFY_DOMAIN,
                _("Manage that domain, go to SMTP, and generate a user."),
                _("Copy name and password here."),
            ),
            url="https://www.mailersend.com/help/smtp-relay",
        ),
        authentication=(_OWN_PASSWORD,),
        sender_policy=SenderPolicy.ALLOW,
        source="https://developers.mailersend.com/smtp-relay.html",
        checked=FIRST_CHECK,
    ),
    _mailgun("US", "smtp.mailgun.org"),
    _mailgun("EU", "smtp.eu.mailgun.org"),
    Preset(
        slug="mailjet",
        name="Mailjet",
        kind=Kind.RELAY,
        server=starttls("in-v3.mailjet.com"),
        alternatives=(implicit_tls("in-v3.mailjet.com"), starttls("in-v3.mailjet.com", 2525)),
        username=Username.shown(_("The API key.")),
        credential=Credential(
            title=_("The API key and its secret key"),
            steps=(
                _("Validate the sender or the domain that you send from."),
                _("Copy the API key as user name and the secret key as password."),
            ),
            url="https://www.mailjet.com/support/what-are-the-api-key-and-secret-keys-how-should-i-use-them,109.htm",
        ),
        authentication=(_("The secret key of an API key works as password."),),
        sender_policy=SenderPolicy.ALLOW,
        source="https://www.mailjet.com/support/what-are-the-api-key-and-secret-keys-how-should-i-use-them,109.htm",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="mailtrap",
        name="Mailtrap Sending",
        kind=Kind.RELAY,
        server=starttls("live.smtp.mailtrap.io"),
        username=Username.fixed("api"),
        credential=Credential(
            title=_("An API token"),
            steps=(
                _VERIFY_DOMAIN,
                _("Open the integration of that domain, choose a stream, then SMTP."),
                _("Copy the password here."),
            ),
            url="https://docs.mailtrap.io/email-api-smtp/setup/smtp-integration",
        ),
        authentication=(_API_KEY_WORKS,),
        sender_policy=SenderPolicy.ALLOW,
        source="https://docs.mailtrap.io/email-api-smtp/setup/smtp-integration",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="postmark",
        name="Postmark",
        kind=Kind.RELAY,
        server=starttls("smtp.postmarkapp.com"),
        alternatives=(starttls("smtp.postmarkapp.com", 2525),),
        username=Username.shown(_("The server API token, or the access key of an SMTP token.")),
        credential=Credential(
            title=_("A server API token, or an SMTP token"),
            steps=(
                _("Verify a sender signature or the domain that you send from."),
                _("Turn on SMTP in the settings of the server and its message stream."),
                _("Enter the server API token twice, or both parts of an SMTP token."),
            ),
            url="https://postmarkapp.com/developer/user-guide/send-email-with-smtp",
        ),
        limits=Limits(recipients=50, octets=10_000_000),
        authentication=(_("A server API token works, as user name and as password."),),
        sender_policy=SenderPolicy.ALLOW,
        source="https://postmarkapp.com/developer/user-guide/send-email-with-smtp",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="resend",
        name="Resend",
        kind=Kind.RELAY,
        server=implicit_tls("smtp.resend.com"),
        alternatives=(
            starttls("smtp.resend.com"),
            implicit_tls("smtp.resend.com", 2465),
            starttls("smtp.resend.com", 2587),
        ),
        username=Username.fixed("resend"),
        credential=Credential(
            title=_("An API key"),
            steps=(_VERIFY_DOMAIN, _("Create an API key and copy it here as password.")),
            url="https://resend.com/api-keys",
        ),
        authentication=(_API_KEY_WORKS,),
        sender_policy=SenderPolicy.ALLOW,
        source="https://resend.com/docs/send-with-smtp",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="scaleway",
        name="Scaleway Transactional Email",
        kind=Kind.RELAY,
        server=starttls("smtp.tem.scaleway.com"),
        alternatives=(
            implicit_tls("smtp.tem.scaleway.com"),
            starttls("smtp.tem.scaleway.com", 2587),
            implicit_tls("smtp.tem.scaleway.com", 2465),
        ),
        username=Username.shown(_("The ID of the project that the domain belongs to.")),
        credential=Credential(
            title=_("The secret key of an API key"),
            steps=(_VERIFY_DOMAIN, _("Copy the secret key of the project's API key here.")),
            url="https://www.scaleway.com/en/docs/managed-services/transactional-email/how-to/generate-api-keys-for-tem-with-iam/",
        ),
        authentication=(_API_KEY_WORKS,),
        sender_policy=SenderPolicy.ALLOW,
        source="https://github.com/scaleway/docs-content/pull/3718",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="sendgrid",
        name="SendGrid",
        kind=Kind.RELAY,
        server=starttls("smtp.sendgrid.net"),
        alternatives=(implicit_tls("smtp.sendgrid.net"), starttls("smtp.sendgrid.net", 2525)),
        username=Username.fixed("apikey"),
        credential=Credential(
            title=_("An API key"),
            steps=(
                _("Verify a sender, or authenticate the domain that you send from."),
                _("Create an API key that may send mail, and copy it here as password."),
            ),
            url="https://app.sendgrid.com/settings/api_keys",
        ),
        limits=Limits(recipients=1_000, connections=10_000, octets=30_000_000),
        authentication=(_API_KEY_WORKS,),
        sender_policy=SenderPolicy.ALLOW,
        source="https://www.twilio.com/docs/sendgrid/for-developers/sending-email/integrating-with-the-smtp-api",
        checked=FIRST_CHECK,
    ),
    _smtp2go("smtp2go", "", "mail.smtp2go.com"),
    _smtp2go("smtp2go-eu", ", EU", "mail-eu.smtp2go.com"),
    _sparkpost("US", "smtp.sparkpostmail.com", "https://app.sparkpost.com/"),
    _sparkpost("EU", "smtp.eu.sparkpostmail.com", "https://app.eu.sparkpost.com/"),
)

TESTING = (
    Preset(
        slug="mailtrap-sandbox",
        name="Mailtrap Sandbox",
        kind=Kind.TESTING,
        server=starttls("sandbox.smtp.mailtrap.io", 2525),
        username=Username.shown(_("The user name of the sandbox, as its page shows it.")),
        credential=Credential(
            title=_("The credentials of a sandbox"),
            steps=(
                _("Open a sandbox, and its SMTP settings."),
                _("Copy user name and password here. What is sent there reaches nobody."),
            ),
            url="https://docs.mailtrap.io/",
        ),
        authentication=(_("The password of the sandbox works."),),
        sender_policy=SenderPolicy.ALLOW,
        source="https://docs.mailtrap.io/",
        checked=FIRST_CHECK,
    ),
)
