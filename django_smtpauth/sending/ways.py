"""The way to a route's server: straight or through a proxy, and guarded if it is an account's."""

from __future__ import annotations

import time
from functools import partial

from ..smtp.connection import Dial
from ..smtp.dialling import Dialled, dial
from ..smtp.endpoint import is_path
from .guard import PATIENCE, Guard, Reach, guard_of
from .passwords import Password
from .proxies import Proxy, dial_through, read_proxy
from .routing import Route


def dial_of(route: Route) -> Dial:
    """What connects to the server; a Unix socket is on this machine, where no proxy is needed.

    Raises ImproperlyConfigured for unusable limits of accounts.
    """
    proxy = None if is_path(route.endpoint.host) else route.options.proxy
    guard = guard_of(route.account)
    if guard is None:
        return partial(dial_through, proxy) if proxy else dial
    if not proxy:
        return guard.dial
    reach = guard.for_proxy().dial if _names_itself(route, proxy) else dial
    return partial(_dial_guarded_through, guard, proxy, reach)


def _names_itself(route: Route, proxy: Proxy) -> bool:
    """Whether it is the account that names this proxy."""
    own = route.account.proxy if route.account else ""
    return bool(own) and str(read_proxy(Password(own))) == str(proxy)


def _dial_guarded_through(
    guard: Guard,
    proxy: Proxy,
    reach: Reach,
    host: str,
    port: int,
    timeout: float,
    source_address: str | None = None,
) -> Dialled:
    end = time.monotonic() + timeout
    guard.check_relayed(host, port, min(timeout, PATIENCE))
    left = max(end - time.monotonic(), 0.001)
    return dial_through(proxy, host, port, left, source_address, dial=reach)
