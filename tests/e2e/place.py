"""A gateway in front of a simulated provider whose ledger the test can read."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.gateway import Gateway, post, running
from tests.providers import integration, simulated
from tidegate.serve.simulated import Ledger, Provider

FORWARD = "[forward]\nfirst_byte_timeout = 1.5\nidle_timeout = 1.5\n"  # so that silence is soon over

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 200}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


def fits(arguments: Any) -> bool:
    """Whether arguments are what SCHEMA asks for."""
    return arguments.keys() == {"city", "days"} and type(arguments["city"]) is str and arguments["days"] >= 200


class Place(NamedTuple):
    """Both ends of the path."""

    gateway: Gateway
    provider: Provider

    @property
    def ledger(self) -> Ledger:
        return self.provider.ledger


@contextlib.contextmanager
def placed(folder: Path, settings: str = "") -> Iterator[Place]:
    """A gateway with a provider of its own; no worker may fall."""
    with simulated() as provider:
        ways = integration(provider.port, "simulated", name="sim")
        with running(folder, settings + ways) as gateway:
            workers = gateway.worker_pids()
            yield Place(gateway, provider)
            assert gateway.worker_pids() == workers


class Wire(NamedTuple):
    """An answer as it stood on the wire."""

    head: bytes
    body: bytes  # without chunks
    ended: bool  # where its framing says

    @property
    def events(self) -> list[bytes]:
        """The events of a stream, each with the empty line that ends it."""
        *whole, rest = self.body.split(b"\n\n")
        return [event + b"\n\n" for event in whole] + ([rest] if rest else [])


def wire(port: int, path: str, body: bytes, patience: float = 10.0) -> Wire:
    """What a port answers to a call, until it closes or is silent."""
    data = b""
    with socket.create_connection(("127.0.0.1", port), patience) as connection:
        connection.sendall(post(body, path, fields="Connection: close\r\n"))
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while piece := connection.recv(1 << 20):
                data += piece
    head, _, framed = data.partition(b"\r\n\r\n")
    if b"chunked" not in head:
        return Wire(head, framed, True)
    chunks: list[bytes] = []
    while not framed.startswith(b"0\r\n\r\n"):
        size, line, rest = framed.partition(b"\r\n")
        try:
            length = int(size, 16)
        except ValueError:
            return Wire(head, b"".join(chunks), False)
        if not line or len(rest) < length + 2:
            return Wire(head, b"".join(chunks), False)
        chunks.append(rest[:length])
        framed = rest[length + 2 :]
    return Wire(head, b"".join(chunks), framed == b"0\r\n\r\n")
