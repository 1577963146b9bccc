"""What the supervisor tells a worker, and hears from it: messages over a socket pair.

SOCK_SEQPACKET keeps messages whole. The end of the channel is a message too: when the supervisor is gone, its workers
drain.
"""

import socket
from typing import Literal

import msgspec

from tidegate.settings import Settings

LARGEST = 1024 * 1024


class Message(msgspec.Struct, frozen=True):
    """supervisor: `drain`, or `use` with other settings. worker: `ready`."""

    kind: Literal["drain", "use", "ready"]
    settings: Settings | None = None


class Channel:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)

    def fileno(self) -> int:
        """For selectors."""
        return self.end.fileno()

    def send(self, message: Message) -> bool:
        """False when the other side is gone or does not read."""
        try:
            self.end.send(msgspec.msgpack.encode(message))
        except OSError:
            return False
        return True

    def receive(self) -> Message | None:
        """The next message; None at the end of the channel."""
        try:
            data = self.end.recv(LARGEST)
        except ConnectionError:
            return None
        return msgspec.msgpack.decode(data, type=Message) if data else None

    def close(self) -> None:
        """Says goodbye."""
        self.end.close()


def pair() -> tuple[Channel, Channel]:
    """Two ends."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(one), Channel(other)
