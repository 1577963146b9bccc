"""How a worker, which touches no database, gets the key of a subject that it has not met.

The process that holds keys.db answers over a unix socket of the data directory. Workers keep the keys (`Subjects`), so
that only the first call of a subject waits, for one commit to disk. While nobody answers, calls of subjects that a
worker knows go on, and those of others wait for a second and are then refused.

Frames have a fixed length and no text. To the service: what is wanted (1 byte), a number that comes back with the
answer (8), an identity (32). From it: what it says (1), that number (8), and 32 bytes.

When a key is destroyed every worker is told to forget it. One that was not connected learns from the first frame of its
next connection that erasures have happened since, and forgets everything.
"""

import asyncio
import contextlib
import math
import os
import selectors
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple, cast

from tidegate.errors import StartError
from tidegate.record.sockets import reachable
from tidegate.record.subject_store import SubjectStore, SubjectStoreError
from tidegate.record.subjects import PSEUDONYM, Subjects

ASKED: Final = Struct(">cQ32s")
SAID: Final = Struct(">cQ32s")
KEY, ERASE = b"k", b"e"  # asked
HELLO, GIVEN, FAILED, ERASED, ABSENT, FORGET = b"h", b"k", b"f", b"e", b"a", b"x"  # said
NOTHING: Final = bytes(32)
WAIT: Final = 1.0  # seconds in which a key must come
AGAIN: Final = 0.05  # seconds between attempts to connect while somebody waits
BACKLOG: Final = 128


class SubjectService:
    """Answers in a thread of its own, the only one that touches the store, until it is stopped."""

    def __init__(self, store: Callable[[], SubjectStore], place: Path) -> None:
        self._place = place
        self._selector = selectors.DefaultSelector()
        self._clients: dict[socket.socket, bytearray] = {}
        self._wake, self._woken = os.pipe()
        self._recorded: list[int] = []
        self.unrecorded: Sequence[tuple[int, bytes]] = ()  # erasures for the ledger; replaced, never changed
        started = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(store, started), name="subject keys", daemon=True)
        self._thread.start()
        started.wait()
        if self._failed is not None:
            raise self._failed

    def recorded(self, numbers: Sequence[int]) -> None:
        """The ledger has these erasures; from any thread."""
        self._recorded += numbers
        with contextlib.suppress(BrokenPipeError):
            os.write(self._woken, b"r")

    @property
    def erasures(self) -> int:
        """How many keys have been destroyed; whoever remembers keys forgets them when it grows."""
        number: int = self._store.erasures
        return number

    def check(self) -> None:
        """Raises what has ended the thread, if something has: then nobody answers, and new subjects are refused."""
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        """Lets go of the store and the socket."""
        with contextlib.suppress(BrokenPipeError):  # it has failed
            os.write(self._woken, b"s")
        self._thread.join()
        os.close(self._woken)

    def _run(self, store: Callable[[], SubjectStore], started: threading.Event) -> None:
        try:
            self._store = store()  # here, because a connection belongs to the thread that opened it
            self._listener = _listen(self._place)  # after it, because it is alone
            self.unrecorded = self._store.unrecorded()
        except BaseException as error:
            self._failed = error
            return
        finally:
            started.set()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        try:
            while self._turn():
                pass
        except BaseException as error:
            self._failed = error
        finally:
            for each in [self._listener, *self._clients]:
                each.close()
            self._place.unlink(missing_ok=True)
            self._selector.close()
            os.close(self._wake)
            self._store.close()

    def _turn(self) -> bool:
        """All that was asked since the last turn shares one commit."""
        asked: list[tuple[socket.socket, bytes, int, bytes]] = []
        for key, _ in self._selector.select():
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj == self._wake:
                stop = b"s" in os.read(self._wake, 4096)
                self._strike_off()
                if stop:
                    return False
            else:
                asked += self._read(cast(socket.socket, key.fileobj))
        wanted = [each for each in asked if each[1] == KEY]
        if wanted:
            self._give(wanted)
        for client, what, number, whose in asked:
            if what == ERASE:
                self._erase(client, number, whose)
        return True

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setblocking(False)
        self._clients[client] = bytearray()
        self._selector.register(client, selectors.EVENT_READ)
        self._say(client, HELLO, self._store.erasures, NOTHING)

    def _read(self, client: socket.socket) -> list[tuple[socket.socket, bytes, int, bytes]]:
        try:
            read = client.recv(65_536)
        except BlockingIOError:
            return []
        except OSError:
            read = b""
        if not read:
            self._leave(client)
            return []
        waiting = self._clients[client]
        waiting += read
        whole = len(waiting) // ASKED.size * ASKED.size
        frames = [(client, *frame) for frame in ASKED.iter_unpack(waiting[:whole])]
        del waiting[:whole]
        return frames

    def _give(self, wanted: Sequence[tuple[socket.socket, bytes, int, bytes]]) -> None:
        try:
            keys = self._store.keys([whose for _, _, _, whose in wanted])
        except SubjectStoreError:
            for client, _, number, _ in wanted:
                self._say(client, FAILED, number, NOTHING)
            return
        for (client, _, number, _), key in zip(wanted, keys, strict=True):
            self._say(client, GIVEN, number, key)

    def _erase(self, client: socket.socket, number: int, whose: bytes) -> None:
        try:
            pseudonym = self._store.erase(whose)
            self.unrecorded = self._store.unrecorded()
        except SubjectStoreError:
            self._say(client, FAILED, number, NOTHING)
            return
        if pseudonym is None:
            self._say(client, ABSENT, number, NOTHING)
            return
        for each in list(self._clients):
            self._say(each, FORGET, self._store.erasures, whose)
        self._say(client, ERASED, number, pseudonym.ljust(32, b"\0"))

    def _strike_off(self) -> None:
        numbers, self._recorded = self._recorded, []
        try:
            self._store.recorded(numbers)
            self.unrecorded = self._store.unrecorded()
        except SubjectStoreError:
            pass  # they are recorded once more, under the same number

    def _say(self, client: socket.socket, what: bytes, number: int, content: bytes) -> None:
        """A client that does not read is let go: it learns from the next connection what it missed."""
        if client not in self._clients:
            return
        frame = SAID.pack(what, number, content)
        try:
            if client.send(frame) == len(frame):
                return
        except OSError:
            pass
        self._leave(client)

    def _leave(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        del self._clients[client]
        client.close()


def _listen(place: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        place.unlink(missing_ok=True)  # a dead process left it: who comes here holds the lock of keys.db
        before = os.umask(0o177)
        try:
            with reachable(place) as path:
                listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(f"{place}: cannot listen: {error.strerror or error}") from None
    return listener


def erase(place: Path, whose: bytes) -> bytes | None:
    """Has a key destroyed by the process that holds it; returns the pseudonym, or None where there was no key."""
    what, content = _request(place, ERASE, whose)
    return content[:PSEUDONYM] if what == ERASED else None


def key_of(place: Path, whose: bytes) -> bytes:
    """The key of an identity, from the process that holds it; for who may wait."""
    return _request(place, KEY, whose)[1]


def _request(place: Path, wanted: bytes, whose: bytes) -> tuple[bytes, bytes]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as service:
        service.settimeout(10 * WAIT)
        try:
            with reachable(place) as path:
                service.connect(path)
            service.sendall(ASKED.pack(wanted, 1, whose))
            while True:
                what, number, content = SAID.unpack(service.recv(SAID.size, socket.MSG_WAITALL))
                if number == 1 and what not in (HELLO, FORGET):
                    break
        except (OSError, StructError):
            raise SubjectStoreError(f"{place}: nobody answers who holds the keys of subjects") from None
    if what == FAILED:
        raise SubjectStoreError("the keys of subjects cannot be written")
    return bytes(what), bytes(content)


class Asked(NamedTuple):
    """A key that somebody waits for."""

    until: float
    whose: bytes
    answer: Callable[[bytes | None], None]


class SubjectClient(asyncio.Protocol):
    """A worker's side. It is watched by the worker's clock, connects by itself, and again when the service was away:
    who asks meanwhile waits for its return, at most as long as for an answer.
    """

    def __init__(self, place: Path, loop: asyncio.AbstractEventLoop, most: int = 65_536) -> None:
        self.subjects = Subjects(self._asked, most)
        self._place = place
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._waiting: dict[int, Asked] = {}
        self._number = 0
        self._erasures: int | None = None  # of which this process knows
        self._read = bytearray()
        self._closed = False
        self.check(loop.time())

    def check(self, now: float) -> bool:
        """Gives up on keys that did not come, and connects where there is no connection."""
        self._give_up(now)
        if self._transport is None and self._connecting is None and not self._closed:
            self._connecting = self._loop.create_task(self._connect())
        return not self._closed

    async def _connect(self) -> None:
        """Tries until it is connected or nobody waits any more."""
        try:
            while self._transport is None:
                try:
                    with reachable(self._place) as path:
                        await self._loop.create_unix_connection(lambda: self, path)
                except OSError:
                    await asyncio.sleep(AGAIN)
                    self._give_up(self._loop.time())
                    if not self._waiting:
                        return
        finally:
            self._connecting = None

    def close(self) -> None:
        """No more keys."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._transport is not None:
            self._transport.close()
        self._give_up(math.inf)

    def _asked(self, whose: bytes, answer: Callable[[bytes | None], None]) -> None:
        self._number += 1
        now = self._loop.time()
        asked = self._waiting[self._number] = Asked(now + WAIT, whose, answer)
        if self._transport is not None:
            self._transport.write(ASKED.pack(KEY, self._number, asked.whose))
        else:
            self.check(now)

    def _give_up(self, now: float) -> None:
        for number in [number for number, asked in self._waiting.items() if now >= asked.until]:
            self._waiting.pop(number).answer(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        frames = [ASKED.pack(KEY, number, asked.whose) for number, asked in self._waiting.items()]
        if frames:
            self._transport.write(b"".join(frames))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._read.clear()
        self.check(self._loop.time())

    def data_received(self, data: bytes) -> None:
        self._read += data
        whole = len(self._read) // SAID.size * SAID.size
        frames = list(SAID.iter_unpack(self._read[:whole]))
        del self._read[:whole]
        for what, number, content in frames:
            self._said(what, number, content)

    def _said(self, what: bytes, number: int, content: bytes) -> None:
        if what == HELLO:
            if self._erasures is not None and number != self._erasures:
                self.subjects.clear()
            self._erasures = number
        elif what == FORGET:
            self.subjects.forget(content)
            self._erasures = number
        elif number in self._waiting:
            self._waiting.pop(number).answer(content if what == GIVEN else None)
