"""A threaded SMTP server on loopback or a Unix socket; it speaks correct ESMTP and can be bent.

    with ScriptedServer(Behaviour(users={"club": "secret"}, count_flights=True)) as server:
        ...                                   # talk to server.host, server.port
        assert server.messages[0].recipients == ["a@example.org"]
        assert server.flights[-1] == ("CONTENT",)
        assert server.violations == []

`Behaviour` (see there) says what is announced and how replies leave. `replies` bends single
answers; a key is looked up first with, then without its argument:

    "GREETING"  "EHLO"  "HELO"  "LHLO"  "STARTTLS"  "RSET"  "NOOP"  "VRFY"  "QUIT"  any other verb
    "AUTH:LOGIN", "AUTH"                    the AUTH line
    "AUTH-RESPONSE"                         every line of the client after a 334
    "MAIL:a@example.org", "MAIL"            "RCPT:b@example.org", "RCPT"
    "DATA"                                  the command
    "CONTENT:a@example.org", "CONTENT"      the final dot (or BDAT LAST), by sender; after LHLO
                                            once for each recipient, by recipient
    "BDAT"                                  every chunk; its octets are swallowed first

An entry is

    bytes                   sent as they are: may be several lines, several replies, or none (b"")
    Answer(text, then, drip)   text=None is the ordinary reply; `then` and `drip` bend the rest
    CLOSE, RESET, SILENCE, STOP_READING     without an answer
    callable(connection, line) -> bytes | Answer | None     None is CLOSE; `line` is the command
                            line, or the content after un-stuffing; `connection` is the record
    list of these           used up one by one, across all connections; then the next key or the
                            ordinary reply applies. ORDINARY holds a place.

The server's state follows what was answered: 250 to a MAIL opens a transaction, 354 to DATA lets
content follow even if no recipient was accepted, 334 keeps AUTH going for ever.

Recipes:

    EHLO unknown, HELO works        replies={"EHLO": b"502 no\\r\\n"}
    closes after the verdict        replies={"CONTENT": Answer(then=Then.CLOSE)}
    421 and the end                 replies={"MAIL": Answer(b"421 4.3.2 bye\\r\\n", Then.CLOSE)}
    injects before TLS              replies={"STARTTLS": b"220 go\\r\\n250 evil\\r\\n"}
    never greets                    replies={"GREETING": SILENCE}
    never reads the content         receive_buffer=4096,
                                    replies={"DATA": Answer(b"354 go\\r\\n", Then.STOP_READING)}
    every octet a packet            drip=Drip()
    an octet whenever the test says   replies={"CONTENT": Answer(drip=Drip(pace=semaphore))}
    no octet of the TLS handshake   handshake_drip=Drip(pace=threading.Semaphore(0))
    first connection turned away    replies={"GREETING": [Answer(b"421 busy\\r\\n", Then.CLOSE)]}

CLOSE ends the server's stream (with close_notify inside TLS) and discards further input until the
client closes; RESET is the rude end. That a reset leaves earlier octets readable holds on Linux.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from types import TracebackType

from tests.servers.behaviour import (
    CLOSE,
    EXTENSIONS,
    ORDINARY,
    RESET,
    SILENCE,
    STOP_READING,
    Answer,
    Behaviour,
    Drip,
    PlainCut,
    Script,
    Then,
)
from tests.servers.dialogue import Dialogue
from tests.servers.records import AuthAttempt, Connection, Message, TLSFacts
from tests.servers.threads import Bell, StoppedError, wait_until_finished
from tests.servers.transport import Transport

__all__ = [
    "CLOSE",
    "EXTENSIONS",
    "ORDINARY",
    "RESET",
    "SILENCE",
    "STOP_READING",
    "Answer",
    "AuthAttempt",
    "Behaviour",
    "Connection",
    "Drip",
    "Message",
    "PlainCut",
    "ScriptedServer",
    "TLSFacts",
    "Then",
]


class ScriptedServer:
    """Listens from construction on, one thread per connection; a context manager.

    Leaving the block ends all connections and joins all threads. An exception in one of them
    (a failing callable of the script, for instance) is raised there, unless the block itself
    raised. `connections` grows in the order of acceptance; everything else is derived from it.
    """

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.connections: list[Connection] = []
        self._script = Script(self.behaviour.replies)
        self._errors: list[BaseException] = []
        self._finished = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._bell = Bell()
        self._listener = socket.socket(_family(self.behaviour.address))
        for option, size in (
            (socket.SO_RCVBUF, self.behaviour.receive_buffer),
            (socket.SO_SNDBUF, self.behaviour.send_buffer),
        ):
            if size is not None:
                self._listener.setsockopt(socket.SOL_SOCKET, option, size)
        is_path = self._listener.family == socket.AF_UNIX
        self.host, self.port = self.behaviour.address, 0
        self._listener.bind(self.host if is_path else (self.host, 0))
        if not is_path:
            self.port = self._listener.getsockname()[1]
        self._listener.listen(128)
        self._listener.setblocking(False)
        self._acceptor = threading.Thread(target=self._accept, name=f"accept-{self.port}")
        self._acceptor.start()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is None and self._errors:
            raise self._errors[0]

    @property
    def messages(self) -> list[Message]:
        """All messages whose content came in whole, accepted or not."""
        return [message for one in list(self.connections) for message in one.messages]

    @property
    def accepted(self) -> list[Message]:
        """The messages that were answered with 2xx: what would be delivered."""
        return [message for message in self.messages if message.accepted]

    @property
    def commands(self) -> list[bytes]:
        return [line for one in list(self.connections) for line in one.commands]

    @property
    def flights(self) -> list[tuple[str, ...]]:
        """One entry per round trip (see `Connection.flights`); only with `count_flights`."""
        return [flight for one in list(self.connections) for flight in one.flights]

    @property
    def violations(self) -> list[str]:
        return [violation for one in list(self.connections) for violation in one.violations]

    def settle(self, connections: int = 0, timeout: float = 5.0) -> None:
        """Wait until at least so many connections have come and all have ended.

        Raises TimeoutError after `timeout` seconds. For tests whose client doesn't wait for the
        server: after a cut, after a QUIT that nobody reads.
        """
        wait_until_finished(self._finished, self.connections, connections, timeout)

    def close(self) -> None:
        """End everything; may be called again."""
        if self._listener.fileno() < 0:
            return
        self._bell.ring()
        self._acceptor.join()
        self._listener.close()
        for thread in list(self._threads):
            thread.join()
        self._bell.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            stopped = False
            while not stopped:
                stopped = any(key.fileobj is self._bell for key, _ in selector.select())
                self._accept_all()

    def _accept_all(self) -> None:
        """Take whoever has connected, also when the test is over: they belong to the record."""
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # the client has left already
                continue
            connection = Connection(len(self.connections) + 1)
            thread = threading.Thread(target=self._serve, args=(sock, connection))
            self._threads.add(thread)
            self.connections.append(connection)
            thread.start()

    def _serve(self, sock: socket.socket, connection: Connection) -> None:
        transport = Transport(sock, self._bell)
        try:
            Dialogue(connection, transport, self.behaviour, self._script).run()
        except StoppedError:
            connection.ended = connection.ended or "stopped"
        except (ConnectionError, ssl.SSLError) as error:
            connection.ended, connection.error = "lost", error
        except BaseException as error:  # shown when the server is left
            connection.ended = "lost"
            self._errors.append(error)
        finally:
            transport.close()
            self._threads.discard(threading.current_thread())
            with self._finished:
                connection.finished.set()
                self._finished.notify_all()


def _family(address: str) -> socket.AddressFamily:
    if address.startswith("/"):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address else socket.AF_INET
