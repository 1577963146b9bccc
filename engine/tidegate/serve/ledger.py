"""The ledger of a gateway: made at the first start, written by a process of its own."""

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from tidegate.errors import StartError
from tidegate.record._turns import take_turns
from tidegate.record.places import Places
from tidegate.serve.aside import Aside
from tidegate.serve.channel import Channel, Message
from tidegate.settings import Settings

SHARED = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, closed to others
# Niceness: calls go first; a quarter of a full core makes up for what was left when they did. Each has its thread, for
# nobody may become less nice again.
CALM, BEHIND = 12, 5
TURN = 0.0005  # seconds of a core at a time: so long a call waits when its worker wants the core back
Taken = Callable[[Mapping[tuple[int, int], int]], None]  # told how far journals are in the log


class Origin(Struct, frozen=True):
    """As much of `ledger.json` as says whose log it is, and where its newest checkpoint is kept."""

    origin: str
    checkpoints: str = "checkpoints"


def ledger_of(settings: Settings) -> Places:
    """The ledger in the data directory, made where there is none. Raises StartError."""
    ledger = Places(Path(settings.data, "ledger").absolute())
    record = settings.record
    said = ledger.folder / "ledger.json"
    if not said.exists():
        forget(ledger)
        checkpoints = record.checkpoints or "checkpoints"
        Aside("the ledger could not be made", lambda: _make(ledger, record.origin, checkpoints)).wait()
    try:
        found = msgspec.json.decode(said.read_bytes(), type=Origin)
    except (OSError, msgspec.DecodeError) as error:
        raise StartError(f"`{said}` is not what it should be: {error}") from None
    if found.origin != record.origin:
        raise StartError(
            f"the ledger `{ledger.folder}` is that of `{found.origin}`, and `record.origin` is `{record.origin}`"
        )
    kept = os.path.realpath(ledger.folder / found.checkpoints)
    if record.checkpoints and os.path.realpath(record.checkpoints) != kept:
        moved = f"move that folder and change `{said}`"
        raise StartError(
            f"the ledger keeps its checkpoints in `{kept}`, and `record.checkpoints` is `{record.checkpoints}`: {moved}"
        )
    return ledger


def _make(ledger: Places, origin: str, checkpoints: str) -> None:
    from tidegate.record.layout import create  # here: what signs takes 8 MB

    create(ledger.folder, origin, checkpoints)


def memory_place(ledger: Places, user: int) -> Path:
    """Where that folder is when the gateway runs as this user."""
    return SHARED / f"tidegate-{user}-{sha256(str(ledger.folder).encode()).hexdigest()[:16]}"


def memory_of(ledger: Places) -> Path | None:
    """The folder in shared memory that keeps what is not durable yet; None: it is kept beside the rest."""
    place = memory_place(ledger, os.getuid())
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        status = place.stat()
    except OSError:
        return None
    return place if status.st_uid == os.getuid() and not status.st_mode & 0o077 else None


def forget(ledger: Places) -> None:
    """Where there is no ledger any more, what it has left in shared memory goes, too: it is not the next one's."""
    place = memory_place(ledger, os.getuid())
    if ledger.folder.exists() or not place.is_dir() or memory_of(ledger) is None:
        return
    for each in place.iterdir():
        each.unlink()


def let_go(ledger: Places) -> None:
    """The folder in shared memory goes with the gateway, unless something in it is still needed."""
    place = memory_of(ledger)
    if place is not None:
        with contextlib.suppress(OSError):
            place.rmdir()


def write(ledger: Places, channel: Channel, taken: Taken) -> None:
    """The process that writes the ledger, until the channel says `drain` or ends; `taken` is told how far it is."""
    for each in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    take_turns(TURN)

    def say(words: str) -> None:
        channel.send(Message("say", words=words))

    def ready() -> None:
        os.nice(BEHIND)  # not before: the thread of subjects' keys, which callers wait for, runs by now and is not nice
        channel.send(Message("ready"))

    from tidegate.serve.sequencer import run  # here, in the process that needs what it imports

    with ThreadPoolExecutor(1, initializer=os.nice, initargs=(CALM - BEHIND,)) as calm:
        run(
            ledger.folder,
            channel.fileno(),
            say,
            memory_of(ledger),
            ready=ready,
            taken=taken,
            calmly=lambda step: calm.submit(step).result(),
        )
