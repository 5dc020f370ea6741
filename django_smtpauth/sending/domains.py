"""Domain names as the wire wants them: A-labels (IDNA 2008 with UTS 46 mapping)."""

import ipaddress
import os

import idna

from ..smtp.endpoint import MAX_PATH, is_path


def a_label(domain: str) -> str:
    """The domain as ASCII; ASCII passes unchanged, underscore included.

    Raises ValueError when the name has no A-label.
    """
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True, transitional=False).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"{domain!r} is not a domain name: {error}") from None


def host_name(text: str) -> str:
    """A host as the engine dials it: an IP address without brackets, a name as A-label, or the
    absolute path of a Unix socket.

    Raises ValueError, with the cure, for a URL, for a port behind the name and for text that is
    no host.
    """
    host = text.strip()
    if is_path(host):
        return _socket_path(host)
    literal = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if _is_ip_address(literal):
        return literal
    if "/" in host or "@" in host:
        raise ValueError(f"{text!r} is not a host name. Give the bare name of the server.")
    if ":" in host:
        raise ValueError(f"{text!r} is not a host name. Give the port in the option port.")
    name = a_label(host)
    if not name.isprintable() or " " in name:
        raise ValueError(f"{text!r} is not a host name. Remove spaces and control characters.")
    return name


def _socket_path(path: str) -> str:
    if not path.isprintable():
        raise ValueError(f"{path!r} is not the path of a socket. Remove control characters.")
    if len(os.fsencode(path)) > MAX_PATH:
        raise ValueError(f"{path!r} is too long: a socket's path has {MAX_PATH} octets at most.")
    return path


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
