"""Failures of names, routes and ports, before the server says a word."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from .rule import Rule, engine, page, python, words
from .site import EXAMPLE

_DIAL = ("CONNECT", "DNS")
_USUAL = _("The usual ports are 587 (STARTTLS) and 465 (implicit TLS).")

CONNECTING: Final = (
    Rule(
        "connect.proxy",
        _("The proxy does not let this site through"),
        _("The server was not reached: the way ends at the proxy."),
        (
            _("Check the option proxy, here {place}: address, port, user name, password."),
            _("Check that the proxy lets this site connect to {server}."),
        ),
        reasons=("proxy",),
        field="proxy",
        sources=(
            engine(
                "no way through the proxy socks5://127.0.0.1:1080: it did not answer in time",
                "CONNECT",
                "timed-out",
                reason="proxy",
            ),
        ),
    ),
    Rule(
        "connect.source-address",
        _("This machine can't send from that address"),
        _("The source address that is set is none of this machine's, or of the wrong family."),
        (_("Correct {place}, or leave it empty."),),
        reasons=("source-address",),
        field="source_address",
        sources=(
            engine(
                "smtp.example.com has no IPv6 address, which the source address 2001:db8::1 needs",
                "CONNECT",
                "connect",
                reason="source-address",
            ),
        ),
    ),
    Rule(
        "connect.dns-silent",
        _("The DNS does not answer"),
        _("This machine could not look up {host}, and not because the name were wrong."),
        (
            _("Check the name servers of this machine (/etc/resolv.conf), and of its container."),
            _("Look up another name on this machine: if that fails, too, it is not the mail."),
            _("Check the spelling of {host} in {place}."),
        ),
        stages=_DIAL,
        kinds=("timed-out", "connect"),
        reasons=("dns",),
        pattern=words(r"no answer from DNS|Temporary failure in name resolution"),
        field="host",
        sources=(
            engine(
                "no answer from DNS for smtp.example.com", "CONNECT", "timed-out", reason="dns"
            ),
            python("socket.gaierror: [Errno -3] Temporary failure in name resolution"),
        ),
    ),
    Rule(
        "connect.dns-unknown",
        _("There is no server of this name"),
        _("The DNS knows no address for {host}."),
        (
            _("Check the spelling of {host} in {place}: it is a name without http:// and port."),
            _("Check that this machine can look up names."),
        ),
        stages=_DIAL,
        reasons=("dns",),
        field="host",
        sources=(
            engine(
                "the name smtp.exmaple.com could not be resolved (Name or service not known)",
                "CONNECT",
                "connect",
                reason="dns",
            ),
            python("socket.gaierror: [Errno -2] Name or service not known"),
        ),
    ),
    Rule(
        "connect.socket",
        _("Nobody serves this Unix socket"),
        _("The path is missing, nobody listens there, or this site may not write to it."),
        (
            _("Check that a mail server listens at {host}, which stands in {place}."),
            _("Check that the user that runs this site may write to it."),
        ),
        stages=("CONNECT",),
        pattern=words(r"could not connect to /"),
        field="host",
        sources=(
            engine(
                "could not connect to /run/smtp (No such file or directory)",
                "CONNECT",
                "connect",
                host="/run/smtp",
            ),
        ),
    ),
    Rule(
        "connect.lmtp",
        _("Nobody serves LMTP there"),
        _("LMTP has no port of its own (often it is 24); many servers listen on a Unix socket."),
        (
            _("Check {place}: for a Unix socket its path is written in place of the host."),
            _("Check {place[port]}, and that no firewall is in between."),
        ),
        stages=_DIAL,
        kinds=("connect", "timed-out"),
        protocols=("lmtp",),
        field="host",
        sources=(
            engine(
                "could not connect to port 24 (127.0.0.1: Connection refused)",
                "CONNECT",
                "connect",
                protocol="lmtp",
                host="localhost",
            ),
        ),
    ),
    Rule(
        "connect.django-default",
        _("No mail server listens on this machine at {server}"),
        _("That is where Django sends mail as long as the settings name no server."),
        (_("Name the server of your mail provider in {place}, for example as below."),),
        stages=("CONNECT",),
        kinds=("connect",),
        ports=(25,),
        local=True,
        account=False,
        field="host",
        settings=EXAMPLE,
        sources=(
            engine(
                "could not connect to port 25 (127.0.0.1: Connection refused)",
                "CONNECT",
                "connect",
                host="localhost",
                port=25,
            ),
        ),
    ),
    Rule(
        "connect.nobody-here",
        _("No mail server listens on this machine at {server}"),
        _("In a container, localhost is the container itself, and not the machine around it."),
        (
            _("Name the server of your mail provider in {place}, for example as below."),
            _("Or start the mail server that should listen there, and check {place[port]}."),
        ),
        stages=("CONNECT",),
        kinds=("connect",),
        local=True,
        account=False,
        field="host",
        settings=EXAMPLE,
        sources=(
            engine(
                "could not connect to port 1025 (127.0.0.1: Connection refused)",
                "CONNECT",
                "connect",
                host="localhost",
                port=1025,
            ),
        ),
    ),
    Rule(
        "connect.ipv6",
        _("IPv6 does not work here"),
        _("The server has an IPv6 address, and this machine has no way to it."),
        (
            _("Repair IPv6 on this machine or in its container, or switch it off there."),
            _(
                "Until then write an IPv4 name or address of the server into {place}, if "
                "it has one."
            ),
        ),
        stages=("CONNECT",),
        pattern=words(
            r"[0-9a-f]{1,4}:[0-9a-f:]{1,40}: (?:Network is unreachable|No route to host"
            r"|Cannot assign requested address)"
        ),
        field="host",
        sources=(
            engine(
                "could not connect to port 587 (2001:db8::25: Network is unreachable)",
                "CONNECT",
                "connect",
                port=587,
            ),
        ),
    ),
    Rule(
        "connect.no-route",
        _("This machine has no way to the server"),
        _("No route leads to {server}: the network of this machine or container is cut off."),
        (
            _("Check the network of this machine: can it reach anything outside?"),
            _("Allow outgoing connections to {server} in the firewall or the security group."),
            _("Check {place}."),
        ),
        stages=("CONNECT",),
        pattern=words(r"Network is unreachable|No route to host"),
        field="host",
        sources=(
            engine(
                "could not connect to port 587 (192.0.2.25: Network is unreachable)",
                "CONNECT",
                "connect",
                port=587,
            ),
            python("OSError: [Errno 101] Network is unreachable"),
        ),
    ),
    Rule(
        "connect.port-25-blocked",
        _("Port 25 is probably blocked"),
        _(
            "Nothing came back. Many hosting providers block port 25 against spam; it is "
            "meant for "
            "mail between servers."
        ),
        (
            _("Use port 587 with STARTTLS, or 465 with implicit TLS, in {place}."),
            _("If it must be 25, ask your hosting provider to open it."),
        ),
        stages=("CONNECT",),
        kinds=("timed-out",),
        ports=(25,),
        field="port",
        link="https://docs.digitalocean.com/support/why-is-smtp-blocked/",
        sources=(
            engine(
                "could not connect to port 25 (192.0.2.25: no answer)",
                "CONNECT",
                "timed-out",
                port=25,
            ),
            page(
                "SMTP port 25 is blocked on all Droplets for new accounts",
                "https://docs.digitalocean.com/support/why-is-smtp-blocked/",
                "CONNECT",
                kind="timed-out",
                port=25,
            ),
        ),
    ),
    Rule(
        "connect.refused",
        _("Nobody listens at {server}"),
        _("The machine is there and refuses: the port is closed, or a firewall answers for it."),
        (
            _("Check {place}."),
            _("Check {place[host]}, and that no firewall is in between."),
            _USUAL,
        ),
        stages=("CONNECT",),
        pattern=words(r"Connection refused|actively refused"),
        field="port",
        sources=(
            engine(
                "could not connect to port 587 (192.0.2.25: Connection refused)",
                "CONNECT",
                "connect",
                port=587,
            ),
            python("ConnectionRefusedError: [Errno 111] Connection refused"),
        ),
    ),
    Rule(
        "connect.silent",
        _("Nothing comes back from {server}"),
        _(
            "A firewall drops the packets, or the address is wrong. If other ports of the server "
            "are as silent, the hosting company blocks outgoing mail."
        ),
        (
            _("Check host and port: {place[host]} and {place}."),
            _("Try another port of the server: 587, 465, 2525."),
            _("Ask your hosting provider whether outgoing mail is blocked."),
        ),
        stages=("CONNECT",),
        kinds=("timed-out",),
        field="port",
        sources=(
            engine(
                "could not connect to port 587 (192.0.2.25: no answer)",
                "CONNECT",
                "timed-out",
                port=587,
            ),
            page(
                "TimeoutError: [Errno 110] Connection timed out",
                "https://thekiharani.com/notes/why-your-vps-blocks-smtp-use-an-email-api",
                "CONNECT",
            ),
        ),
    ),
)
