"""Playwright in a thread of its own.

Its synchronous interface runs an event loop in the thread that uses it, and in such a thread
Django refuses the database (SynchronousOnlyOperation). So the browser lives in another thread,
and tests hold `Remote`s: what is asked of one is done over there.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

_PLAIN = (str, bytes, int, float, bool, type(None), list, dict, tuple)


class Remote:
    """An object of another thread: reading its attributes and calling it happens there.

    Plain data comes back as it is, everything else as a Remote again.
    """

    def __init__(self, thread: ThreadPoolExecutor, target: Any) -> None:
        self._thread = thread
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return self._in_thread(getattr, self._target, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self._in_thread(setattr, self._target, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._in_thread(
            self._target,
            *map(_unwrapped, args),
            **{name: _unwrapped(value) for name, value in kwargs.items()},
        )

    def _in_thread(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        result = self._thread.submit(call, *args, **kwargs).result()
        return result if isinstance(result, _PLAIN) else Remote(self._thread, result)


def _unwrapped(value: Any) -> Any:
    return value._target if isinstance(value, Remote) else value
