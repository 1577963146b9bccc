"""The provider as a server: on the running loop for tests, or as a program of its own."""

import asyncio
import signal
import socket
from typing import Self

import uvloop

from ...errors import StartError
from .connection import Connection
from .ledger import Ledger


class Provider:
    """A provider that listens; `await Provider.start(...)` makes one, `await close()` ends it.

    `port` is where it listens, `ledger` what it saw and billed.
    """

    def __init__(self, server: asyncio.Server, ledger: Ledger, connections: set[Connection]) -> None:
        self.ledger = ledger
        self.port: int = server.sockets[0].getsockname()[1]
        self._server = server
        self._connections = connections

    @classmethod
    async def start(
        cls,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        seed: int = 0,
        pace_ms: float = 0.0,
        sock: socket.socket | None = None,
    ) -> Self:
        """Listen on host and port (0: any free one), or on a socket that is bound already."""
        ledger, connections = Ledger(), set[Connection]()

        def accept() -> Connection:
            return Connection(ledger, connections, seed, pace_ms)

        loop = asyncio.get_running_loop()
        try:
            if sock is not None:
                server = await loop.create_server(accept, sock=sock)
            else:
                server = await loop.create_server(accept, host, port)
        except OSError as error:
            raise StartError(f"the simulated provider cannot listen on `{host}:{port}`: {error.strerror}") from None
        return cls(server, ledger, connections)

    async def close(self) -> None:
        """Stop listening and drop every connection; when it returns, none is left."""
        self._server.close()
        while self._connections:
            for connection in self._connections:
                connection.transport.abort()
            await asyncio.sleep(0)
        await self._server.wait_closed()


def run(host: str, port: int, seed: int, pace_ms: float) -> None:
    """Serve until SIGINT or SIGTERM; one line on standard output says where."""
    uvloop.run(_serve(host, port, seed, pace_ms))


async def _serve(host: str, port: int, seed: int, pace_ms: float) -> None:
    provider = await Provider.start(host, port, seed=seed, pace_ms=pace_ms)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    address = f"[{host}]" if ":" in host else host
    print(
        f"simulated provider listens on http://{address}:{provider.port} (seed {seed}, pace {pace_ms:g} ms)", flush=True
    )
    await stopped.wait()
    await provider.close()
