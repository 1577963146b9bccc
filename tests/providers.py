"""Providers for tests: the simulated one, with its ledger at hand, and one that keeps every byte it gets."""

import asyncio
import contextlib
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import uvloop

from tidegate.serve.simulated import Provider


@contextlib.contextmanager
def simulated(
    loop_type: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop, **options: Any
) -> Iterator[Provider]:
    """The simulated provider on a thread of this process; `options` are those of `Provider.start`."""
    loop = loop_type()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        provider = asyncio.run_coroutine_threadsafe(Provider.start(**options), loop).result(5)
        try:
            yield provider
        finally:
            asyncio.run_coroutine_threadsafe(provider.close(), loop).result(5)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def integration(port: int, provider: str = "openai", *, name: str = "one", **more: object) -> str:
    """The settings of a way to a provider on this machine."""
    keys = {"provider": provider, "base_url": f"http://127.0.0.1:{port}", "private": True} | more
    return f"[integration.{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())


def _toml(value: object) -> str:
    match value:
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{_toml(key)} = {_toml(each)}' for key, each in value.items())}}}"
    return json.dumps(value)  # of texts and numbers JSON's form is TOML's too


def until(happened: Callable[[], bool], patience: float = 10.0) -> bool:
    """Whether it happens before patience ends."""
    deadline = time.monotonic() + patience
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Received(NamedTuple):
    """One request, as its bytes came in."""

    head: bytes
    body: bytes
    connection: int  # counted from 0

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def fields(self) -> dict[str, str]:
        """Lower-case names; a name that stands twice is an error."""
        fields: dict[str, str] = {}
        for line in self.head.decode("latin-1").split("\r\n")[1:-2]:
            name, _, value = line.partition(":")
            assert name.lower() not in fields, self.head
            fields[name.lower()] = value.strip()
        return fields


Answer = Callable[[socket.socket, Received], None]  # raises StopIteration to close the connection afterwards


def reply(body: bytes = b"{}", status: str = "200 OK", fields: str = "") -> bytes:
    """A whole answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def always(*pieces: bytes, close: bool = False) -> Answer:
    """The same bytes for every request."""

    def answer(connection: socket.socket, request: Received) -> None:
        for piece in pieces:
            connection.sendall(piece)
        if close:
            raise StopIteration

    return answer


class RawProvider:
    """Answers as it is told, and keeps what it got: `requests`, and how many `connections` were made."""

    def __init__(self, answer: Answer | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer or always(reply())
        self.requests: list[Received] = []
        self.connections = 0
        self.open: set[socket.socket] = set()
        self._tls = tls
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.drop()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def drop(self) -> None:
        """Closes every connection."""
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _spawn(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number = self.connections
            self.connections += 1
            self._spawn(self._serve, connection, number)

    def _serve(self, plain: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            connection = stack.enter_context(plain)
            if self._tls is not None:
                connection = stack.enter_context(self._tls.wrap_socket(plain, server_side=True))
            self.open.add(connection)
            stack.callback(self.open.discard, connection)
            with contextlib.suppress(StopIteration):
                self._converse(connection, number)

    def _converse(self, connection: socket.socket, number: int) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                if not (piece := connection.recv(65536)):
                    return
                data += piece
            head, _, data = data.partition(b"\r\n\r\n")
            request = Received(head + b"\r\n\r\n", b"", number)
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            size = int(length[1]) if length else 0
            while len(data) < size:
                if not (piece := connection.recv(65536)):
                    return
                data += piece
            request = request._replace(body=data[:size])
            data = data[size:]
            self.requests.append(request)
            self.answer(connection, request)
