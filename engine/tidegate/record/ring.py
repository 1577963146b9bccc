"""What a journal's ring says, read by others than its writer. FORMAT.md, "Journal", has every byte.

The ring is shared memory: what a worker has appended is in it before anything else happens, so that no kill of the
worker loses it, and it stays there until it is durable. It says nothing any more after the machine was started anew.
"""

import re
from functools import cache
from pathlib import Path
from struct import Struct as Layout
from typing import Final, NamedTuple

MAGIC: Final = b"TGRING01"
HEADER: Final = Layout("<8sIIQQ16sQ")  # magic, worker, 0, epoch, size, boot, keep
HEAD: Final = Layout("<Q")
DURABLE: Final = Layout("<QQQQQ")  # which of two pairs counts; (bytes, seq), (bytes, seq)
HEAD_AT: Final = 64
DURABLE_AT: Final = 128
ENTRIES_AT: Final = 4096
NAME: Final = re.compile(r"(\d{4})-(\d{12})\.ring")


class Ring(NamedTuple):
    """The header of a ring, at the moment it was read."""

    worker: int
    epoch: int
    size: int
    keep: int  # the segments that hold this record or later ones are needed to recover the epoch
    head: int  # bytes appended since the epoch began
    tail: int  # of those, the bytes that are durable
    durable: int  # the last durable record


def path_of(folder: Path, worker: int, epoch: int) -> Path:
    """Where the ring of an epoch is."""
    return folder / f"{worker:04}-{epoch:012}.ring"


def listing(folder: Path) -> list[tuple[int, int]]:
    """The epochs, as (worker, epoch), that have a ring in a folder."""
    named = (NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted((int(match[1]), int(match[2])) for match in named if match)


def read(path: Path) -> Ring | None:
    """What a ring of this boot says; None when there is none, or it was not finished."""
    try:
        with open(path, "rb") as file:
            data = file.read(ENTRIES_AT)
    except FileNotFoundError:
        return None
    if len(data) < ENTRIES_AT:
        return None
    magic, worker, _, epoch, size, booted, keep = HEADER.unpack_from(data)
    if magic != MAGIC or booted != boot():
        return None
    which, *pairs = DURABLE.unpack_from(data, DURABLE_AT)
    (head,) = HEAD.unpack_from(data, HEAD_AT)
    tail, durable = pairs[2:] if which & 1 else pairs[:2]
    return Ring(worker, epoch, size, keep, head, tail, durable)


def entries(path: Path, ring: Ring) -> bytes:
    """The bytes that were appended and are not durable: entries as a segment has them, from `ring.durable` + 1 on."""
    data = path.read_bytes()[ENTRIES_AT:][: ring.size]
    start, length = ring.tail % ring.size, ring.head - ring.tail
    return (data[start:] + data[:start])[:length]


@cache
def boot() -> bytes:
    """The id of this boot of the machine, which no process outlives."""
    return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
