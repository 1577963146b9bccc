"""What the supervisor tells a worker, and hears from it: messages over a socket pair.

A message travels as a file in memory, its descriptor over the socket: settings may be larger than a socket's buffer.
The end of the channel is a message too: when the supervisor is gone, its workers drain.
"""

import os
import socket
from typing import Literal

import msgspec

from tidegate.settings import Settings


class Message(msgspec.Struct, frozen=True):
    """supervisor: `drain`, or `use` with other settings. worker: `ready`, or `say` with words for the operator."""

    kind: Literal["drain", "use", "ready", "say"]
    settings: Settings | None = None
    words: str = ""


class Channel:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    def fileno(self) -> int:
        """For selectors."""
        return self._end.fileno()

    def send(self, message: Message) -> bool:
        """False when the other side is gone or does not read."""
        try:
            file = os.memfd_create("message", os.MFD_CLOEXEC)
            try:
                os.pwrite(file, msgspec.msgpack.encode(message), 0)
                socket.send_fds(self._end, [b"m"], [file])
            finally:
                os.close(file)
        except OSError:
            return False
        return True

    def receive(self) -> Message | None:
        """The next message; None at the end of the channel."""
        try:
            _, files, _, _ = socket.recv_fds(self._end, 1, 1)
        except ConnectionError:
            return None
        if not files:
            return None
        try:
            return msgspec.msgpack.decode(os.pread(files[0], os.fstat(files[0]).st_size, 0), type=Message)
        finally:
            os.close(files[0])

    def close(self) -> None:
        """Says goodbye."""
        self._end.close()


def pair() -> tuple[Channel, Channel]:
    """Two ends."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(one), Channel(other)
