"""The domain of an e-mail address, as tables and the DNS want it."""

import idna


def domain_of(address: str) -> str:
    """What stands behind the last @, as A-labels in lower case; empty if it is no address."""
    local, at, domain = address.strip().rpartition("@")
    if not (local and at):
        return ""
    try:
        ascii_domain = idna.encode(domain, uts46=True, transitional=False).decode("ascii")
    except idna.IDNAError:
        return ""
    return ascii_domain.removesuffix(".").lower()


def is_within(name: str, domain: str) -> bool:
    """Whether a name is the domain or lies below it. Both are A-labels in lower case."""
    return name == domain or name.endswith(f".{domain}")
