"""How often somebody may have a server asked.

The site's default cache counts, so all processes count together where it is shared. Where it
counts nothing (a dummy, or one that is down), each process counts for itself.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from django.core.cache import cache

logger = logging.getLogger("django_smtpauth")

#: Checks of one account by one user within `SECONDS`.
MOST: Final = 6
SECONDS: Final = 60
#: What one process remembers; the oldest is forgotten first.
MOST_REMEMBERED: Final = 1000


class Counter:
    """Counts in this process. Shared by all threads. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, key: str) -> int:
        """Counts one more; how many there are within the time that the first one began."""
        with self._lock:
            now = self._clock()
            ends, number = self._counts.get(key, (0.0, 0))
            if now >= ends:
                ends, number = now + SECONDS, 0
            self._counts[key] = ends, number + 1
            self._counts.move_to_end(key)
            while len(self._counts) > MOST_REMEMBERED:
                self._counts.popitem(last=False)
            return number + 1


_own = Counter()


def is_too_often(user: object, account: object) -> bool:
    """Counts a check; whether it is one too many. user, account: their keys."""
    key = f"smtpauth:checks:{user}:{account}"
    try:
        cache.add(key, 0, SECONDS)
        number = cache.incr(key)
    except Exception as error:
        logger.debug("The cache does not count: %s", type(error).__name__)
        number = _own.count(key)
    return number > MOST
