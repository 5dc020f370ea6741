"""Pytest fixtures around the test servers; `tests/conftest.py` loads them as a plugin.

    scripted_server(behaviour=None, **options) -> ScriptedServer     options: fields of Behaviour
    cutting_proxy(target_port, cut=None, connections=1) -> CuttingProxy
    mute(where) -> Mute                                              answers nobody
    certificates -> Certificates                                     one for the whole session

What the factories made is closed after the test, and errors of its threads fail the test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any, Protocol

import pytest

from tests.servers.certificates import Certificates
from tests.servers.cutting import CutAt, CuttingProxy
from tests.servers.mute import Mute
from tests.servers.scripted import Behaviour, ScriptedServer


class ServerFactory(Protocol):
    def __call__(self, behaviour: Behaviour | None = None, **options: Any) -> ScriptedServer: ...


class MuteFactory(Protocol):
    def __call__(self, where: Any) -> Mute: ...


class ProxyFactory(Protocol):
    def __call__(
        self, target_port: int, cut: CutAt | None = None, connections: int | None = 1
    ) -> CuttingProxy: ...


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def scripted_server() -> Iterator[ServerFactory]:
    with ExitStack() as servers:

        def start(behaviour: Behaviour | None = None, **options: Any) -> ScriptedServer:
            bent = dataclasses.replace(behaviour or Behaviour(), **options)
            return servers.enter_context(ScriptedServer(bent))

        yield start


@pytest.fixture
def mute() -> Iterator[MuteFactory]:
    with ExitStack() as listeners:

        def start(where: Any) -> Mute:
            return listeners.enter_context(closing(Mute(where)))

        yield start


@pytest.fixture
def cutting_proxy() -> Iterator[ProxyFactory]:
    with ExitStack() as proxies:

        def start(
            target_port: int, cut: CutAt | None = None, connections: int | None = 1
        ) -> CuttingProxy:
            return proxies.enter_context(CuttingProxy(target_port, cut, connections))

        yield start
