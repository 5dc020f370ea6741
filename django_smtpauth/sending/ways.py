"""The way to a route's server: straight or through a proxy, and guarded if it is an account's."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from ..smtp.connection import Dial
from ..smtp.dialling import Dialled, Resolve, dial, resolve
from ..smtp.endpoint import is_path
from .guard import PATIENCE, Guard, Reach, guard_of
from .passwords import Password
from .proxies import Proxy, dial_through, read_proxy
from .routing import Route


def dial_of(
    route: Route, *, dial: Callable[..., Dialled] = dial, resolve: Resolve = resolve
) -> Dial:
    """What connects to the server; a Unix socket is on this machine, where no proxy is needed.

    dial, resolve: what makes the first connection, and looks its name up. `dial` gets a
    `resolve` of its own, which gives the addresses that may be reached.

    Raises ImproperlyConfigured for unusable limits of accounts.
    """
    proxy = None if is_path(route.endpoint.host) else route.options.proxy
    guard, straight = guard_of(route.account), partial(dial, resolve=resolve)
    if guard is None:
        return partial(dial_through, proxy, dial=straight) if proxy else straight
    if not proxy:
        return partial(guard.dial, dial=dial, resolve=resolve)
    reach: Reach = straight
    if _names_itself(route, proxy):
        reach = partial(guard.for_proxy().dial, dial=dial, resolve=resolve)
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
