"""A real SMTP server inside the process, for tests and demonstrations. Needs aiosmtpd.

    with MailServer() as server:
        ...  # send through server.host, server.port with server.username, server.password
        server.messages[0].content

It listens on loopback only, on a free port, offers STARTTLS with a certificate of its own
authority (`server.ca_text`) and takes mail only after log-in.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import socket
import ssl
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any

from .certificates import Authority

try:
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
except ImportError as missing:
    raise ImportError(
        "The SMTP server for tests needs aiosmtpd: pip install 'django-smtpauth[demo]'"
    ) from missing

#: Seconds for starting and for stopping.
PATIENCE = 10.0


@dataclass(frozen=True)
class ReceivedMessage:
    """A message as the server got it.

    sender, recipients: of the envelope. content: octets with CRLF, dots as before stuffing.
    username: of the log-in, "" without one. tls: protocol version, "" without TLS.
    queue_id: the name that the server gave it in its reply.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    username: str
    tls: str
    queue_id: str

    @property
    def message(self) -> EmailMessage:
        """The content, parsed."""
        return message_from_bytes(self.content, policy=policy.default)


class MailServer:
    """A server that runs in a thread from `start()` to `stop()`; also a context manager.

    messages: what it took so far. refuse: address -> reply that RCPT gets, for instance
    {"nobody@example.org": "550 5.1.1 No such user"}. log_in: whether log-in over TLS is demanded.
    """

    host = "localhost"

    def __init__(
        self, username: str = "tester", password: str | None = None, *, log_in: bool = True
    ) -> None:
        self.username = username
        self.password = secrets.token_urlsafe(12) if password is None else password
        self.log_in = log_in
        self.messages: list[ReceivedMessage] = []
        self.refuse: dict[str, str] = {}
        authority = Authority()
        self.ca_text = authority.pem
        self._tls = authority.server_context("localhost", "127.0.0.1")
        self._sessions: set[_Session] = set()
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        assert self._socket is not None, "The server is not running."  # noqa: S101
        return int(self._socket.getsockname()[1])

    def start(self) -> MailServer:
        """Listens from its return on."""
        # The protocol is named because asyncio sends small replies at once only then.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_ignore)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        logging.getLogger("mail.log").addFilter(self._is_foreign)
        self._listener: asyncio.Server = self._call(
            self._loop.create_server(self._new_session, sock=self._socket)
        )
        return self

    def stop(self) -> None:
        """Ends every session and waits for the thread."""
        if self._loop is None or self._thread is None:
            return
        self._call(self._end_sessions())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
        logging.getLogger("mail.log").removeFilter(self._is_foreign)
        self._loop = self._thread = self._socket = None

    def __enter__(self) -> MailServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        assert self._loop is not None  # noqa: S101
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def _is_foreign(self, record: logging.LogRecord) -> bool:
        """Keeps aiosmtpd's log of this server, tracebacks included, from the tests' output."""
        return self._thread is None or record.thread != self._thread.ident

    def _new_session(self) -> _Session:
        session = _Session(
            _Handler(self),
            hostname="localhost",
            ident="django_smtpauth test server",
            enable_SMTPUTF8=True,
            tls_context=self._tls,
            require_starttls=self.log_in,
            auth_required=self.log_in,
            authenticator=self._authenticate,
            loop=self._loop,
        )
        session.sessions = self._sessions
        return session

    def _authenticate(self, *arguments: Any) -> AuthResult:
        data = arguments[-1]
        known = isinstance(data, LoginPassword) and (
            hmac.compare_digest(data.login, self.username.encode())
            and hmac.compare_digest(data.password, self.password.encode())
        )
        # Not handled: aiosmtpd itself answers 535.
        return AuthResult(success=known, handled=False, auth_data=self.username)

    async def _end_sessions(self) -> None:
        self._listener.close()
        for session in list(self._sessions):
            session.end()
        await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._listener.wait_closed(), PATIENCE)


class _Session(SMTP):
    """One connection, which the server can end."""

    sessions: set[_Session]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.sessions.discard(self)
        super().connection_lost(error)

    def end(self) -> None:
        transports: tuple[Any, ...] = (self.transport, self._original_transport)
        for transport in transports:
            if transport is not None:
                transport.abort()


class _Handler:
    """What aiosmtpd asks at RCPT and at the end of DATA."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        refusal = self._server.refuse.get(address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        queue_id = secrets.token_hex(5).upper()
        tls: ssl.SSLObject | None = session.ssl and session.ssl.get("ssl_object")
        self._server.messages.append(
            ReceivedMessage(
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                content=bytes(envelope.content),
                username=session.auth_data if session.authenticated else "",
                tls=(tls.version() or "") if tls is not None else "",
                queue_id=queue_id,
            )
        )
        return f"250 2.0.0 OK: queued as {queue_id}"


def _ignore(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """Clients that go away in the middle of something are no news to a test."""
