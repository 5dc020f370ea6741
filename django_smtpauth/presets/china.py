"""Providers of mailboxes in China. All of them want an authorisation code as password."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from .preset import FIRST_CHECK, Credential, Kind, Preset, Server, implicit_tls, starttls

_CODE_ONLY = _("An authorisation code works; the password of the account does not.")
_NODEMAILER = "https://github.com/nodemailer/nodemailer/blob/master/lib/well-known/services.json"


def _mailbox(
    slug: str,
    name: str,
    server: Server,
    url: str,
    source: str,
    *,
    domains: tuple[str, ...] = (),
    mx_suffixes: tuple[str, ...] = (),
    alternatives: tuple[Server, ...] = (),
) -> Preset:
    return Preset(
        slug=slug,
        name=name,
        kind=Kind.MAILBOX,
        server=server,
        alternatives=alternatives,
        domains=domains,
        mx_suffixes=mx_suffixes,
        credential=Credential(
            title=_("An authorisation code (授权码)"),
            steps=(
                _("Open the settings of the mailbox on the web and turn on SMTP."),
                _("Let it make an authorisation code for a mail program."),
                _("Copy the code here, in place of the password."),
            ),
            url=url,
        ),
        authentication=(_CODE_ONLY,),
        source=source,
        checked=FIRST_CHECK,
    )


CHINA = (
    _mailbox(
        "netease-163",
        "NetEase 163 (网易)",
        implicit_tls("smtp.163.com"),
        "https://mail.163.com/",
        "https://github.com/chatmail/provider-db/blob/master/_providers/163.md",
        domains=("163.com",),
    ),
    _mailbox(
        "netease-126",
        "NetEase 126 (网易)",
        implicit_tls("smtp.126.com"),
        "https://mail.126.com/",
        _NODEMAILER,
        domains=("126.com",),
    ),
    _mailbox(
        "263",
        "263 (企业邮箱)",
        implicit_tls("smtp.263.net"),
        "https://www.263.net/",
        "https://laifa.xin/youxiang/202-263-qiyeyouxiang-263-business-mail",
        domains=("263.net",),
    ),
    _mailbox(
        "qq",
        "QQ Mail (腾讯)",
        implicit_tls("smtp.qq.com"),
        "https://mail.qq.com/",
        "https://github.com/chatmail/provider-db/blob/master/_providers/qq.md",
        domains=("qq.com", "foxmail.com"),
        alternatives=(starttls("smtp.qq.com"),),
    ),
    _mailbox(
        "tencent-exmail",
        "Tencent Exmail (腾讯企业邮箱)",
        implicit_tls("smtp.exmail.qq.com"),
        "https://exmail.qq.com/",
        _NODEMAILER,
        mx_suffixes=("mxbiz1.qq.com", "mxbiz2.qq.com"),
    ),
    _mailbox(
        "sina",
        "Sina Mail (新浪)",
        implicit_tls("smtp.sina.com"),
        "https://mail.sina.com.cn/",
        "https://www.topmailsender.com/en/youxiang/109-xinlang-sinayouxiang-sina-personal-email",
        domains=("sina.com", "sina.cn"),
    ),
)
