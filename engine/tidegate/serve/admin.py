"""The admin listener: health for orchestrators, on a loopback port of its own, answered by the supervisor itself.

So it answers also while no worker does. One small request, one answer, then the connection closes. An answer that does
not fit the socket's buffer goes on as the client reads it.
"""

import selectors
import socket
import time
from collections.abc import Callable, Mapping

import msgspec

from tidegate.wire.reply import STATUS_LINES

HEAD_LIMIT = 8192
CONNECTIONS = 64
PATIENCE = 5.0
TEXT = b"text/plain; version=0.0.4; charset=utf-8"  # as Prometheus asks for it

Answer = Callable[[], tuple[int, dict[str, object] | str]]


class Admin:
    """Serves a handful of paths on the supervisor's selector."""

    def __init__(
        self, listener: socket.socket, selector: selectors.BaseSelector, answers: Mapping[bytes, Answer]
    ) -> None:
        self._listener = listener
        self._selector = selector
        self._answers = answers
        self._open: dict[socket.socket, tuple[bytes, float]] = {}
        selector.register(listener, selectors.EVENT_READ, self.accept)

    def accept(self) -> None:
        """A client has connected."""
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        if len(self._open) >= CONNECTIONS:
            self._drop(next(iter(self._open)))  # who has waited longest without finishing a question makes room
        client.setblocking(False)
        self._open[client] = (b"", time.monotonic() + PATIENCE)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._read(client))

    def expire(self) -> None:
        """Lets go of clients that do not finish their request."""
        now = time.monotonic()
        for client in [each for each, (_, deadline) in self._open.items() if deadline < now]:
            self._drop(client)

    def close(self) -> None:
        """No more answers."""
        for client in list(self._open):
            self._drop(client)
        self._selector.unregister(self._listener)
        self._listener.close()

    def _read(self, client: socket.socket) -> None:
        if client not in self._open:  # it has just made room for another
            return
        head, deadline = self._open[client]
        try:
            data = client.recv(HEAD_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        head += data
        self._open[client] = (head, deadline)
        if b"\r\n\r\n" in head:
            self._open[client] = (b"", time.monotonic() + PATIENCE)  # to take the answer
            self._write(client, memoryview(self._answer(head)))
        elif not data or len(head) > HEAD_LIMIT:
            self._drop(client)

    def _write(self, client: socket.socket, rest: memoryview) -> None:
        if client not in self._open:
            return
        try:
            sent = client.send(rest)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(rest)
        if sent == len(rest):
            self._drop(client)
        else:
            self._selector.modify(client, selectors.EVENT_WRITE, lambda: self._write(client, rest[sent:]))

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _reply(400, {"error": "not an HTTP/1.1 request"})
        answer = self._answers.get(words[1].partition(b"?")[0])
        if answer is None:
            return _reply(404, {"error": "no such path"})
        if words[0] not in (b"GET", b"HEAD"):
            return _reply(405, {"error": "GET only"})
        whole = _reply(*answer())
        return whole if words[0] == b"GET" else whole[: whole.index(b"\r\n\r\n") + 4]

    def _drop(self, client: socket.socket) -> None:
        del self._open[client]
        self._selector.unregister(client)
        client.close()


def _reply(status: int, document: dict[str, object] | str) -> bytes:
    body, media = msgspec.json.encode(document), b"application/json"
    if isinstance(document, str):
        body, media = document.encode(), TEXT
    return b"%bContent-Type: %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
        STATUS_LINES[status],
        media,
        len(body),
        body,
    )
