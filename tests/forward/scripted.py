"""A provider that writes what a script says, byte for byte, whether that is HTTP or not.

A call names its script by its model. Each piece of a script is a write of its own.
"""

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from typing import NamedTuple

LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n").search
PAUSE = 0.0005  # between two pieces, so that they are two reads most of the time


class Script(NamedTuple):
    """One answer."""

    pieces: tuple[bytes, ...]
    closes: bool = False


class Scripted:
    """The provider: its scripts by name, and which connection each was asked for on."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.asked: dict[str, list[int]] = {}
        self.port = 0
        self._connections = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number = self._connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                stated = LENGTH(head)
                assert stated is not None
                name = json.loads(await reader.readexactly(int(stated[1])))["model"]
                self.asked.setdefault(name, []).append(number)
                script = self.scripts[name]
                for piece in script.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(PAUSE)
                if script.closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the gateway has closed
        finally:
            writer.close()

    async def run(self, ready: threading.Event, over: asyncio.Event) -> None:
        """Serves until it is over."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await over.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@contextlib.contextmanager
def scripted() -> Iterator[Scripted]:
    """One in a thread of its own."""
    provider, ready, over = Scripted(), threading.Event(), asyncio.Event()
    runner = asyncio.Runner()
    thread = threading.Thread(target=runner.run, args=(provider.run(ready, over),))
    thread.start()
    try:
        ready.wait()
        yield provider
    finally:
        runner.get_loop().call_soon_threadsafe(over.set)
        thread.join()
        runner.close()
