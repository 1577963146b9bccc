"""The listening sockets. The supervisor owns them all, so that a worker's death refuses nobody.

Every worker slot has a TCP socket of its own (SO_REUSEPORT): the kernel spreads connections evenly, and what waits on
a dead worker's socket is served by the worker that gets the slot next. A unix socket is one, shared by all.
"""

import os
import socket
import stat

from tidegate.configuration import address
from tidegate.errors import StartError

BACKLOG = 4096


def open_listeners(listen: tuple[str, ...], slots: int) -> list[list[socket.socket]]:
    """For every worker slot the sockets it accepts from."""
    sockets: list[list[socket.socket]] = [[] for _ in range(slots)]
    for text in listen:
        place = address(text)
        if isinstance(place, str):
            shared = _open_unix(place)
            for each in sockets:
                each.append(shared)
        else:
            probe = open_tcp(place, text, reuse_port=False)  # without it, two gateways could share a port unnoticed
            port = probe.getsockname()[1]
            probe.close()
            for each in sockets:
                each.append(open_tcp((place[0], port), text, reuse_port=True))
    return sockets


def open_tcp(place: tuple[str, int], text: str, *, reuse_port: bool) -> socket.socket:
    """One listening TCP socket."""
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setblocking(False)
        listener.bind(place)
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise StartError(f"cannot listen on `{text}`: {_reason(error)}") from None
    return listener


def _open_unix(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode) and not _answers(path):
            os.unlink(path)  # left behind by a gateway that was killed
        listener.setblocking(False)
        listener.bind(path)
        os.chmod(path, 0o660)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(f"cannot listen on `unix:{path}`: {_reason(error)}") from None
    return listener


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def _reason(error: Exception) -> str:
    return ((error.strerror if isinstance(error, OSError) else None) or str(error)).lower()
