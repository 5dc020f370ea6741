"""What providers say of a log-in, each in its own words."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from .rule import Rule, page, words

_AUTH = ("AUTH",)
_MICROSOFT_HELP = (
    "https://learn.microsoft.com/en-us/exchange/clients-and-mobile-in-exchange-online/"
    "authenticated-client-smtp-submission"
)
_TENANT_HELP = "https://docs.bookyourpto.com/features/smtp-troubleshoot"
_RETIRED = (
    "https://techcommunity.microsoft.com/blog/exchange/"
    "updated-exchange-online-smtp-auth-basic-authentication-deprecation-timeline/4489835"
)
_APP_PASSWORDS = "https://support.google.com/accounts/answer/185833"


PROVIDER_LOGINS: Final = (
    Rule(
        "auth.google-app-password",
        _("Google wants an app password"),
        _("The account has 2-Step Verification, so its own password does not open SMTP."),
        (_("Create an app password and enter it in {place} in place of the account's own."),),
        stages=_AUTH,
        pattern=words(r"Application-specific password required|InvalidSecondFactor"),
        field="password",
        link=_APP_PASSWORDS,
        credential=True,
        sources=(
            page(
                "(534, b'5.7.9 Application-specific password required. For more information, go to"
                "\\n5.7.9 https://support.google.com/mail/?p=InvalidSecondFactor 21-20020a "
                "- gsmtp')",
                "https://github.com/Der-Henning/tgtg/issues/517",
                "AUTH",
            ),
        ),
    ),
    Rule(
        "auth.google-password",
        _("Google does not take this user name with this password"),
        _(
            "The account's own password ended for SMTP (2022 for Gmail, 2025 for "
            "Workspace). An app "
            "password of another or a changed account is refused with the same words."
        ),
        (
            _("Create an app password and enter it in {place}."),
            _("Check {place[username]}: it is the whole address of the same account."),
        ),
        stages=_AUTH,
        log_ins=("password", ""),
        pattern=words(r"Username and Password not accepted|p=BadCredentials"),
        field="password",
        link=_APP_PASSWORDS,
        credential=True,
        sources=(
            page(
                "535-5.7.8 Username and Password not accepted. Learn more at\n"
                "535 5.7.8 https://support.google.com/mail/?p=BadCredentials "
                "t66sm6271302pjb - gsmtp",
                "https://pastebin.com/uXqSaYa4",
                "AUTH",
            ),
        ),
    ),
    Rule(
        "auth.google-browser",
        _("Google wants somebody to sign in in a browser first"),
        _("It finds the log-in from this machine suspicious."),
        (
            _("Sign in to the account in a browser, best from the network of this site."),
            _("Then create an app password and enter it in {place}."),
        ),
        stages=_AUTH,
        pattern=words(r"log in (?:via|with) your web browser"),
        field="password",
        link=_APP_PASSWORDS,
        sources=(
            page(
                "534 Please log in via your web browser and then try again",
                "https://github.com/gogs/docs/pull/241/files",
                "AUTH",
            ),
        ),
    ),
    Rule(
        "auth.microsoft-passwords-ended",
        _("Microsoft does not take passwords here any more"),
        _(
            "Passwords for SMTP are turned off for this tenant or mailbox: for existing "
            "tenants at "
            "the end of December 2026, for Outlook.com before. OAuth 2.0 works."
        ),
        (
            _("Let this site log in with an access token (OAuth 2.0) in place of {place}."),
            _("Until it does, an administrator may turn passwords on again for an older tenant."),
        ),
        pattern=words(
            r"Basic authentication is not supported for Client Submission"
            r"|basic authentication is disabled"
        ),
        field="password",
        link=_RETIRED,
        sources=(
            page(
                "550 5.7.30 Basic authentication is not supported for Client Submission.",
                "https://techcommunity.microsoft.com/t5/exchange-team-blog/"
                "exchange-online-to-retire-basic-auth-for-client-submission-smtp/ba-p/4114750",
                "AUTH",
            ),
            page(
                "basic authentication is disabled for outlook.live.com.",
                "https://taourl.com/read-2634170.html",
                "AUTH",
                kind="refused",
            ),
        ),
    ),
    Rule(
        "auth.microsoft-smtp-off",
        _("SMTP log-in is switched off at Microsoft 365"),
        _("The tenant or the mailbox does not allow authenticated SMTP, whatever the password."),
        (
            _("Let an administrator switch on \u201cAuthenticated SMTP\u201d for the mailbox."),
            _("Let an administrator allow SMTP AUTH for the tenant, if it is off there."),
            _("Check that {place} is the mailbox for which it was switched on."),
        ),
        stages=_AUTH,
        pattern=words(r"SmtpClientAuthentication is disabled"),
        field="username",
        link=_MICROSOFT_HELP,
        sources=(
            page(
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is "
                "disabled for the "
                "Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. "
                "[MN2PR05CA0004.namprd05.prod.outlook.com]",
                "https://github.com/simonrob/email-oauth2-proxy/issues/193",
                "AUTH",
            ),
        ),
    ),
    Rule(
        "auth.microsoft-security-defaults",
        _("Microsoft's security defaults forbid the log-in"),
        _("Security defaults of the organization turn SMTP with a password off for everybody."),
        (
            _("Let this site log in with an access token (OAuth 2.0) in place of {place}."),
            _("Or let an administrator replace the security defaults by rules that allow it."),
        ),
        stages=_AUTH,
        pattern=words(r"security defaults policy"),
        field="password",
        link=_MICROSOFT_HELP,
        sources=(
            page(
                "535 5.7.139 Authentication unsuccessful, user is locked by your organization's "
                "security defaults policy.",
                _TENANT_HELP,
                "AUTH",
            ),
        ),
    ),
    Rule(
        "auth.microsoft-conditions",
        _("The log-in does not meet Microsoft's conditions"),
        _("Wrong password, or a rule of the organization: a second factor, a country, a device."),
        (
            _("Enter {place} again to be sure of it."),
            _("Let an administrator look up this log-in among the sign-ins: it tells the rule."),
            _("Let an administrator switch on \u201cAuthenticated SMTP\u201d for the mailbox."),
        ),
        stages=_AUTH,
        enhanced=("5.7.139",),
        field="password",
        link=_MICROSOFT_HELP,
        sources=(
            page(
                "535 5.7.139 Authentication unsuccessful, the request did not meet the "
                "criteria to be "
                "authenticated successfully.",
                _TENANT_HELP,
                "AUTH",
            ),
        ),
    ),
    Rule(
        "auth.microsoft-token",
        _("Microsoft does not take this access token"),
        _(
            "It lacks the permission for SMTP, is for another mailbox, or the mailbox "
            "forbids SMTP."
        ),
        (
            _(
                "Check that the token has SMTP.Send, or SMTP.SendAsApp for an application "
                "of its own."
            ),
            _("Check that {place} is the mailbox that the token was granted for."),
            _("Let an administrator switch on \u201cAuthenticated SMTP\u201d for the mailbox."),
        ),
        stages=_AUTH,
        codes=(535,),
        enhanced=("5.7.3",),
        log_ins=("token",),
        field="username",
        link=_MICROSOFT_HELP,
        sources=(
            page(
                "535 5.7.3 Authentication unsuccessful "
                "[AM0PR06CA0126.eurprd06.prod.outlook.com 2024-02-14T14:50:26.590Z "
                "08DC2D372B4C3DED]",
                "https://github.com/jstedfast/MailKit/issues/1712",
                "AUTH",
                log_in="token",
            ),
        ),
    ),
    Rule(
        "auth.microsoft-password",
        _("Microsoft does not take this user name with this password"),
        _("Or the mailbox forbids SMTP log-in: older servers of Microsoft say the same to both."),
        (
            _("Enter {place} again, and check {place[username]}: it is the whole address."),
            _("Let an administrator switch on \u201cAuthenticated SMTP\u201d for the mailbox."),
        ),
        stages=_AUTH,
        codes=(535,),
        enhanced=("5.7.3",),
        field="password",
        link=_MICROSOFT_HELP,
        sources=(
            page(
                "5.7.3 Authentication unsuccessful [DB6P18901CA0015.EURP189.PROD.OUTLOOK.COM]",
                "https://github.com/mageplaza/magento-2-smtp/issues/108",
                "AUTH",
                code=535,
                enhanced="5.7.3",
                kind="refused",
            ),
        ),
    ),
    Rule(
        "auth.authorization-code",
        _("The provider wants an authorization code in place of the password"),
        _("It is made on the pages of the mailbox, where SMTP is switched on."),
        (_("Create an authorization code and enter it in {place}."),),
        stages=_AUTH,
        pattern=words(r"enter your authorization code"),
        field="password",
        credential=True,
        sources=(
            page(
                "535 Login Fail. Please enter your authorization code to login. More "
                "information in "
                "http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=28&&no=1001256",
                "https://github.com/YMFE/yapi/issues/2219",
                "AUTH",
            ),
        ),
    ),
    Rule(
        "auth.amazon-ses",
        _("Amazon SES wants SMTP credentials, and no access key"),
        _(
            "The SMTP password is made from a secret access key and the region. The key "
            "itself, the "
            "password of the console, or credentials of another region are refused."
        ),
        (
            _("Create SMTP credentials in the console of SES, in the region of {host}."),
            _("Enter both in {place[username]} and {place}."),
        ),
        stages=_AUTH,
        codes=(535,),
        presets=("amazon-ses",),
        field="password",
        link="https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html",
        sources=(
            page(
                "535 Authentication Credentials Invalid",
                "https://github.com/knadh/listmonk/issues/1053",
                "AUTH",
                host="email-smtp.eu-west-1.amazonaws.com",
            ),
        ),
    ),
    Rule(
        "auth.address-not-allowed",
        _("The log-in is not allowed from the address of this site"),
        _("The provider knows the credentials, but takes them from certain IP addresses only."),
        (
            _("Add the IP address of this site to the list at the provider."),
            _("Check {place}: another user of the account may have another list."),
        ),
        stages=_AUTH,
        pattern=words(r"IP not authorized"),
        field="username",
        sources=(
            page(
                "535 IP not authorized",
                "https://support.jetemail.com/outbound/smtp-error-codes/535-IP-not-authorized",
                "AUTH",
            ),
        ),
    ),
    Rule(
        "auth.credits",
        _("The plan at the provider is used up"),
        _("The credentials may be fine: the provider takes no more mail in this period."),
        (
            _("Look at the plan and its limit on the provider's pages, and pay or enlarge it."),
            _("Wait until the count begins anew."),
        ),
        stages=("AUTH", "MAIL", "CONTENT"),
        pattern=words(r"Maximum credits exceeded"),
        link="https://support.sendgrid.com/hc/en-us/articles/35466138799899",
        sources=(
            page(
                "451 Authentication failed: Maximum credits exceeded",
                "https://www.twilio.com/docs/sendgrid/for-developers/sending-email/"
                "smtp-errors-and-troubleshooting",
                "AUTH",
            ),
        ),
    ),
)
