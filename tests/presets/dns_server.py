"""A real DNS server on loopback (UDP) that answers from a few lines of zone data.

    with DNSServer({"_submissions._tcp.example.com SRV": ["0 1 465 mail.example.com."]}) as server:
        server.resolver()               a resolver that asks nobody else
        server.asked                    the questions, as "name TYPE", in order

A value in place of the list: `SILENT` gives no answer, `BROKEN` gives SERVFAIL. A name with other
records only has no answer (NODATA); any other name does not exist (NXDOMAIN).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset

SILENT = "silent"
BROKEN = "broken"

Zone = Mapping[str, Sequence[str] | str]


class DNSServer:
    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port: int = self._sock.getsockname()[1]
        self.asked: list[str] = []

    def __enter__(self) -> DNSServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
            knock.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._sock.close()

    def resolver(self) -> dns.resolver.Resolver:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self.port
        return resolver

    def _serve(self) -> None:
        while True:
            data, client = self._sock.recvfrom(4096)
            if not data:
                return
            answer = self._answer(dns.message.from_wire(data))
            if answer is not None:
                with contextlib.suppress(OSError):
                    self._sock.sendto(answer.to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True)
        key = f"{name} {dns.rdatatype.to_text(question.rdtype)}"
        self.asked.append(key)
        records = self._zone.get(key)
        if records == SILENT:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        if records == BROKEN:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            response.answer.append(
                dns.rrset.from_text(question.name, 60, "IN", question.rdtype, *records)
            )
        elif not any(known.split()[0] == name for known in self._zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response
