"""Which addresses are out on the internet, told by their digits alone.

Python's own `is_global` changed its answers between 3.10 and 3.13; what a site may reach must not
depend on that. So the ranges of IANA's registries of special-purpose addresses (RFC 6890) stand
here. Of IPv6 only what IANA gives out (2000::/3) counts. An IPv6 address that carries an IPv4
address is as public as that one.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

IPAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared address space of providers (RFC 6598)
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; clouds answer here with credentials
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4, given up (RFC 7526)
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
#: What IANA gives out for the internet. Loopback, unique local, link-local, site-local and
#: multicast addresses are outside of it.
_PUBLIC_V6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation (RFC 9637)
    )
)
#: Translators to IPv4 (RFC 6052 2.1). 64:ff9b:1::/48 is for networks of one's own (RFC 8215).
_NAT64: Final = IPv6Network("64:ff9b::/96")

#: What a connection to the unspecified address reaches.
_STANDS_FOR: Final = {
    IPv4Address(0): IPv4Address("127.0.0.1"),
    IPv6Address(0): IPv6Address("::1"),
}


def is_public(address: str) -> bool:
    """Whether an IP address is out on the internet; False for any other text, and with a zone."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        return _is_public_v4(ip)
    if ip.scope_id is not None:
        return False
    if carried := _carried(ip):
        return all(map(_is_public_v4, carried))
    return ip in _PUBLIC_V6 and not any(ip in network for network in _NOT_PUBLIC_V6)


def forms(address: str) -> tuple[IPAddress, ...]:
    """The address without its zone, and what it is another way of writing for.

    Raises ValueError for text that is no address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    plain = (ip,) if mapped is None else (ip, mapped)
    return (*plain, *(_STANDS_FOR[form] for form in plain if form in _STANDS_FOR))


def _is_public_v4(ip: IPv4Address) -> bool:
    return not any(ip in network for network in _NOT_PUBLIC_V4)


def _carried(ip: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses inside: mapped, behind NAT64, 6to4, or Teredo's server and client."""
    if ip in _NAT64:
        return (IPv4Address(int(ip) & 0xFFFF_FFFF),)
    return tuple(filter(None, (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ()))))
