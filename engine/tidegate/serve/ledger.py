"""The ledger of a gateway: made at the first start, brought to order after a crash, written by a process of its own."""

import contextlib
import os
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from tidegate.errors import StartError, TidegateError
from tidegate.record.aborted import abort
from tidegate.record.places import Places
from tidegate.record.recovery import recover, unended
from tidegate.record.segments import Damaged
from tidegate.serve.channel import Channel, Message
from tidegate.settings import Settings

SHARED = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, closed to others
Say = Callable[[str], None]


class Origin(Struct, frozen=True):
    """As much of `ledger.json` as says whose log it is."""

    origin: str


def ledger_of(settings: Settings) -> Places:
    """The ledger in the data directory, made where there is none. Raises StartError."""
    ledger = Places(Path(settings.data, "ledger").absolute())
    record = settings.record
    said = ledger.folder / "ledger.json"
    if not said.exists():
        _make_aside(ledger, record.origin, record.checkpoints or "checkpoints")
    try:
        origin = msgspec.json.decode(said.read_bytes(), type=Origin).origin
    except (OSError, msgspec.DecodeError) as error:
        raise StartError(f"`{said}` is not what it should be: {error}") from None
    if origin != record.origin:
        raise StartError(
            f"the ledger `{ledger.folder}` is that of `{origin}`, and `record.origin` is `{record.origin}`"
        )
    return ledger


def _make_aside(ledger: Places, origin: str, checkpoints: str) -> None:
    """Makes a ledger in a process of its own: what signs takes 8 MB, which every worker would inherit."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            from tidegate.record.layout import create

            create(ledger.folder, origin, checkpoints)
        except TidegateError as error:
            os.write(write, error.message.encode())
        except BaseException as error:
            os.write(write, f"the ledger could not be made: {type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        flaw = pipe.read()
    os.waitpid(child, 0)
    if flaw:
        raise StartError(flaw.decode())


def memory_of(ledger: Places) -> Path | None:
    """The folder in shared memory that keeps what is not durable yet; None: it is kept beside the rest."""
    place = SHARED / f"tidegate-{os.getuid()}-{sha256(str(ledger.folder).encode()).hexdigest()[:16]}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        status = place.stat()
    except OSError:
        return None
    return place if status.st_uid == os.getuid() and not status.st_mode & 0o077 else None


def let_go(ledger: Places) -> None:
    """The folder in shared memory goes with the gateway, unless a worker could not bring its journal to its end."""
    place = memory_of(ledger)
    if place is not None:
        with contextlib.suppress(OSError):
            place.rmdir()


def end(ledger: Places, say: Say, worker: int | None = None) -> None:
    """Brings the epochs of dead workers to their end: their calls that had not ended are recorded as aborted."""
    for who, epoch in unended(ledger.journal):
        if worker is None or who == worker:
            try:
                recover(ledger.journal, who, epoch, abort(who, epoch), memory=memory_of(ledger))
            except (Damaged, OSError, TidegateError) as error:
                say(f"the journal of worker {who}, epoch {epoch}, could not be brought to its end: {error}")


def write(ledger: Places, channel: Channel) -> None:
    """The process that writes the ledger, until the channel says `drain` or ends."""
    for each in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)

    def say(words: str) -> None:
        channel.send(Message("say", words=words))

    from tidegate.serve.sequencer import run  # here, in the process that needs what it imports

    run(ledger.folder, channel.fileno(), say, memory_of(ledger), lambda: channel.send(Message("ready")))
