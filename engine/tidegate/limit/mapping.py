"""Where the table lives: a file that processes of one machine map, or memory that a process shares with its children.

A file of this boot and this layout is used as it is. Any other is set aside by a new one, which takes its name when it
is complete; processes that still map the old one keep it, and draw from it alone.
"""

import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

from tidegate.limit._table import Table, numbers_of, size_of

HEAD: Final = 4096  # bytes in which a table says what it is


def anonymous(slots: int, workers: int, quota: int, seed: bytes | None) -> Table:
    """A table of this process and of those that it forks."""
    return _new(mmap.mmap(-1, size_of(slots, workers)), slots, workers, quota, seed)


def opened(
    path: Path, slots: int, workers: int, quota: int, seed: bytes | None, fill: Callable[[Table], None]
) -> tuple[Table, str | None]:
    """The table of a file, and why it is a new one; None when it was there.

    A new one has its name only when `fill` has done its part: none is ever found without the totals from before.
    """
    size = size_of(slots, workers)
    try:
        with open(path, "r+b") as file:
            if os.fstat(file.fileno()).st_size != size:
                raise ValueError
            table = Table(mmap.mmap(file.fileno(), size), slots, workers, quota)
        flaw = table.flaw(boot(), seed)
    except FileNotFoundError:
        flaw = "there was none"
    except ValueError:
        flaw = "of another size"
    return (table, None) if flaw is None else (_made(path, size, slots, workers, quota, seed, fill), flaw)


def numbers(path: Path) -> tuple[int, int] | None:
    """(slots, workers) of the table of this boot in a file; None where there is none."""
    try:
        with open(path, "rb") as file:
            found = numbers_of(file.read(HEAD), boot())
            whole = found is not None and os.fstat(file.fileno()).st_size == size_of(*found)
    except FileNotFoundError:
        return None
    return found if whole else None


def _made(
    path: Path, size: int, slots: int, workers: int, quota: int, seed: bytes | None, fill: Callable[[Table], None]
) -> Table:
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    try:
        with open(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # else a full file system would kill whoever touches a page
            table = _new(mmap.mmap(file.fileno(), size), slots, workers, quota, seed)
        fill(table)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    new.rename(path)
    return table


def _new(memory: mmap.mmap, slots: int, workers: int, quota: int, seed: bytes | None) -> Table:
    table = Table(memory, slots, workers, quota)
    table.format(boot(), os.urandom(16) if seed is None else seed)
    return table


@contextmanager
def alone(path: Path | None) -> Iterator[None]:
    """One process at a time opens a table and joins it; whoever is killed meanwhile lets go."""
    if path is None:
        yield
        return
    with open(os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def boot() -> bytes:
    """The id of this boot of the machine, whose clock the table's times belong to."""
    return UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip()).bytes


def born(pid: int) -> int | None:
    """When a process started, in ticks since the boot: with its id it is known for certain. None: it is gone."""
    try:
        _, _, rest = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")
    except OSError:
        return None
    state, *fields = rest.split()
    return None if state in (b"Z", b"X") else int(fields[18])
