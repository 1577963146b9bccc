"""Journal segments as they lie in a folder, read without their writer. FORMAT.md, "Journal", has every byte.

A worker's life is an epoch. Its records are numbered from 1 and stand in segment files that follow one another. What
says that a record counts is, in this order: the seal of its segment; the segment that follows, which names the first
record that it holds itself; and, in the segment that is still written, the durable word of the journal's ring. A record
beyond that may be visible in the page cache and yet not be there after a power cut.
"""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path
from struct import Struct as Layout
from typing import ClassVar, Final, Literal, NamedTuple
from zlib import crc32

from msgspec import Struct

from tidegate.errors import TidegateError
from tidegate.record import ring
from tidegate.record._scan import whole_entries

MAGIC: Final = b"TGSEGMT1"
HEADER: Final = Layout("<8sIIQQQI")  # magic, layout, worker, epoch, number, first, crc32 of what precedes
LAYOUT: Final = 2
LAYOUTS: Final = (1, 2)  # in the first, entries stood without zeros between them
ENTRY: Final = Layout("<II")  # length, crc32
PLACE: Final = Layout("<QI")  # seq, length: what an entry's checksum covers before its record
WRITER: Final = Layout("<IQ")  # worker, epoch: what a checksum is seeded with
SEALED: Final = 0xFFFFFFFF  # the length of a seal, which no record has
SEAL: Final = Layout("<IIQ")  # length, crc32, 0: the next segment follows; 1: the epoch ends
MOST_RECORD: Final = 65_535  # what the log's entry bundles can hold
MOST_WORKER, MOST_EPOCH, MOST_NUMBER = 9_999, 10**12 - 1, 10**8 - 1  # so that names sort
MOST_SEQ: Final = 2**64 - 1
CHUNK: Final = 1 << 20
BLOCK: Final = 4096  # what a disk reads and writes at least

NAME: Final = re.compile(r"(\d{4})-(\d{12})-(\d{8})\.segment")


class Damaged(TidegateError):
    """A file of the journal is not what its writer left: the message names the file and the byte."""

    code: ClassVar[str] = "journal_damaged"

    def __init__(self, path: Path, at: int, why: str) -> None:
        super().__init__(f"`{path}` is damaged at byte {at}: {why}")
        self.path = path
        self.at = at


class Entry(NamedTuple):
    """A record and its number within the epoch."""

    seq: int
    record: bytes


class Name(NamedTuple):
    """What a segment's file name says; names sort as their segments follow one another."""

    worker: int
    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.worker:04}-{self.epoch:012}-{self.number:08}.segment"


class Header(NamedTuple):
    """Whose segment it is, and the number of the first record that counts from it on."""

    worker: int
    epoch: int
    number: int
    first: int

    def __bytes__(self) -> bytes:
        start = HEADER.pack(MAGIC, LAYOUT, *self, 0)[:-4]
        return start + crc32(start).to_bytes(4, "little")


class Segment(Struct, frozen=True):
    """A segment as it was read: its records are numbered from `first` on, `end` is the byte after the last of them."""

    worker: int
    epoch: int
    number: int
    first: int
    entries: list[bytes]
    end: int
    sealed: Literal["next", "end"] | None

    @property
    def next(self) -> int:
        """The number that the next record gets."""
        return self.first + len(self.entries)


class Scan(NamedTuple):
    """Whole records in a row, where they end, and why: a seal, the end of what was given, or something else."""

    records: list[bytes]
    end: int
    stop: Literal["next", "end", "more", "invalid"]


def name_of(path: Path) -> Name | None:
    """What a file name says, or None when it is not the name of a segment."""
    match = NAME.fullmatch(path.name)
    return Name(*map(int, match.groups())) if match else None


def listing(folder: Path, worker: int | None = None, epoch: int | None = None) -> list[tuple[Name, Path]]:
    """The segments of a folder, or of one worker or epoch, in order."""
    named = ((name_of(path), path) for path in folder.iterdir())
    return sorted(
        (name, path)
        for name, path in named
        if name is not None and worker in (None, name.worker) and epoch in (None, name.epoch)
    )


def key_of(worker: int, epoch: int) -> int:
    """What the checksums of an epoch are seeded with."""
    return crc32(WRITER.pack(worker, epoch))


def checksum(key: int, seq: int, length: int, body: bytes) -> int:
    """The checksum of an entry or a seal: it holds for one epoch and one place in it."""
    return crc32(body, crc32(PLACE.pack(seq, length), key))


def entry(key: int, seq: int, record: bytes) -> bytes:
    """An entry's bytes."""
    return ENTRY.pack(len(record), checksum(key, seq, len(record), record)) + record


def seal(key: int, seq: int, last: bool) -> bytes:
    """The bytes of a seal that stands where the record `seq` would."""
    flag = last.to_bytes(8, "little")
    return ENTRY.pack(SEALED, checksum(key, seq, SEALED, flag)) + flag


def scan(data: bytes, at: int, seq: int, key: int, begins: int = -1, last: int = MOST_SEQ) -> Scan:
    """The records that stand whole and unharmed from a byte on, the first of them being `seq`, up to `last`. Of a
    segment, `begins` is the byte that the data begins with; a ring has none.
    """
    records, end, stop = whole_entries(data, at, seq, key, begins, last)
    return Scan(records, end, _seal_at(data, end, seq + len(records), key) if stop == "seal" else stop)


def _seal_at(data: bytes, at: int, seq: int, key: int) -> Literal["next", "end", "more", "invalid"]:
    if at + SEAL.size > len(data):
        return "more"
    for last in (False, True):
        if data.startswith(seal(key, seq, last), at):
            return "end" if last else "next"
    return "invalid"


def sealed(path: Path) -> Literal["next", "end"] | None:
    """What the last bytes of a file say, if they are a seal's; only reading it says whether the segment is whole."""
    file = _opened(path)
    try:
        return _seal_of(_read_at(file, SEAL.size, max(0, os.fstat(file).st_size - SEAL.size)))
    finally:
        os.close(file)


def _seal_of(last: bytes) -> Literal["next", "end"] | None:
    if len(last) < SEAL.size or SEAL.unpack(last)[0] != SEALED or SEAL.unpack(last)[2] > 1:
        return None
    return "end" if SEAL.unpack(last)[2] else "next"


def header(data: bytes, path: Path) -> Header:
    """The header of a segment, which must be whole and belong to the file's name."""
    if len(data) < HEADER.size:
        raise Damaged(path, len(data), "it ends within its header")
    magic, layout, worker, epoch, number, first, crc = HEADER.unpack_from(data)
    if magic != MAGIC or crc != crc32(data[: HEADER.size - 4]):
        raise Damaged(path, 0, "this is no header of a segment")
    if layout not in LAYOUTS:
        raise Damaged(path, len(MAGIC), f"layout {layout} is not known")
    if (name := name_of(path)) is not None and name != (worker, epoch, number):
        raise Damaged(path, len(MAGIC) + 4, "it belongs to another name")
    return Header(worker, epoch, number, first)


def read_header(path: Path) -> Header:
    """Only the header of a segment."""
    file = _opened(path)
    try:
        return header(_read_at(file, HEADER.size, 0), path)
    finally:
        os.close(file)


def _opened(path: Path) -> int:
    """A segment that may still be written, to be read past the page cache where the file system allows it.

    A page that is being read is locked, and a commit that writes it waits: on a full core for as long as whoever reads
    it is not given the core, half a second and more.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _read_at(file: int, length: int, at: int, room: mmap | None = None) -> bytes:
    """Reads whole blocks, as such a file wants, into `room` or a room of its own."""
    start, end = at // BLOCK * BLOCK, (at + length + BLOCK - 1) // BLOCK * BLOCK
    room = room or mmap(-1, end - start)
    with memoryview(room)[: end - start] as blocks:
        try:
            got = os.preadv(file, [blocks], start)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            fcntl.fcntl(file, fcntl.F_SETFL, 0)  # its file system takes the flag, and nothing that is read by it
            got = os.preadv(file, [blocks], start)
    return room[at - start : min(got, at - start + length)]


def read(path: Path, last: int = MOST_SEQ) -> Segment:
    """A segment: all of one that is sealed, of any other what stands whole; it is for the caller to know what counts.

    A segment that ends in a seal holds every record before it, or is `Damaged`. What stands behind the record `last`
    is not looked at.
    """
    data = path.read_bytes()
    head = header(data, path)
    found = scan(data, HEADER.size, head.first, key_of(head.worker, head.epoch), 0, last)
    if found.stop == "next" or found.stop == "end":
        if data[found.end + SEAL.size :].strip(b"\0"):  # zeros: its writer was killed before it shortened the file
            raise Damaged(path, found.end + SEAL.size, "it goes on after its seal")
        return Segment(*head, found.records, found.end, found.stop)
    if _seal_of(data[-SEAL.size :]) and found.end < len(data):
        raise Damaged(path, found.end, f"record {head.first + len(found.records)} is not whole, and a seal follows")
    return Segment(*head, found.records, found.end, None)


def cut(path: Path, following: int | None = None) -> Segment:
    """Ends a segment before the record `following`, or after its last whole record; returns it as it now is.

    Whoever cuts knows that nothing beyond was promised. It is `Damaged`, and left as it is, when it does not reach to
    `following`. The cut is durable before it returns; done again it changes nothing.
    """
    found = read(path)
    if following is not None and (found.next < following or (found.sealed and found.next != following)):
        raise Damaged(path, found.end, f"record {found.next} is not whole")
    if following is not None and found.next > following:
        found = read(path, following - 1)
    size = found.end + (SEAL.size if found.sealed else 0)  # after a seal there may be zeros
    if path.stat().st_size != size:
        with open(path, "r+b") as file:
            file.truncate(size)
            os.fdatasync(file.fileno())
    return found


class Tail:
    """Follows the records of one epoch as they become durable, from segment to segment.

    `memory` is the folder of the ring, `after` the last record that is known already. Of a segment that is neither
    sealed nor followed by another only so much is returned as the ring says is durable. Without a ring of this boot
    that is nothing, until the epoch has been recovered.
    """

    def __init__(self, folder: Path, worker: int, epoch: int, memory: Path | None = None, after: int = 0) -> None:
        self.ended = False  # the last record of the epoch was returned
        self.seq = after  # the last record that was returned
        self.more = False  # whether something durable was left when `read` returned
        self.path: Path | None = None  # the segment that is read
        self._folder, self._worker, self._epoch = folder, worker, epoch
        self._ring = ring.path_of(memory or folder, worker, epoch)
        self._key = key_of(worker, epoch)
        self._file = -1
        self._number = -1
        self._at = 0  # the byte where record `_next` stands
        self._next = 0
        self._bytes: int | None = None  # of all entries before it, as the ring counts them; None: not known yet
        self._zeros = 0  # that were between the entries that were read last
        self._room = mmap(-1, CHUNK + BLOCK)  # what is read lies here; kept, for its pages would be made each time

    def read(self, most: int = CHUNK) -> list[Entry]:
        """What became durable since the last call, from about `most` bytes; nothing when there is nothing new."""
        new: list[Entry] = []
        while not new and not self.ended and (self._file >= 0 or self._first()):
            progress, new = self._step(max(min(most, CHUNK), 2 * MOST_RECORD))
            if not progress:
                break
        return new

    def close(self) -> None:
        """Lets go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _step(self, most: int) -> tuple[bool, list[Entry]]:
        """Reads on in the open segment: whether it came further, and the new records."""
        said = ring.read(self._ring)  # asked first: without a follower afterwards, so much is in this segment
        limit = 0 if said is None else said.durable
        if said is not None and limit == self._next - 1:
            self._bytes = said.tail
        after = self._follower()
        if after is not None:
            limit = after - 1
        elif self._sealed():
            limit = MOST_SEQ
        elif limit < self._next:
            self.more = False
            return False, []
        if said is not None and self._bytes is not None and limit <= said.durable:
            most = min(most, said.tail - self._bytes + self._zeros + BLOCK)
        data = _read_at(self._file, most, self._at, self._room)
        found = scan(data, 0, self._next, self._key, self._at, limit)
        whole = found.stop in ("next", "end")
        last = self._next + len(found.records) - 1
        if not whole and last < limit and (found.stop == "invalid" or len(data) < most):
            raise Damaged(self.path or self._folder, self._at + found.end, f"record {last + 1} is not whole")
        records = found.records
        new = [Entry(seq, record) for seq, record in enumerate(records, self._next) if seq > self.seq]
        length = sum(map(len, records)) + ENTRY.size * len(records)
        self._next += len(records)
        self._at += found.end
        self._bytes = None if self._bytes is None else self._bytes + length
        self._zeros = found.end - length
        self.seq = max(self.seq, self._next - 1)
        self.more = self._next <= limit
        if found.stop == "end":
            self.ended, self.more = True, False
            self.close()
        elif found.stop == "next" or self._next == after:
            self.more = self._open(self._number + 1)
            return self.more, new
        return bool(records), new

    def _sealed(self) -> bool:
        """Whether the open segment has a seal; of one that was deleted only the ring says how far it can be read."""
        try:
            return self.path is not None and sealed(self.path) is not None
        except FileNotFoundError:
            return False

    def _follower(self) -> int | None:
        """The first record of the segment after this one; None when there is none yet."""
        path = self._folder / str(Name(self._worker, self._epoch, self._number + 1))
        try:
            return read_header(path).first
        except FileNotFoundError:
            return None

    def _first(self) -> bool:
        """Opens the segment that holds the record after `seq`."""
        best = None
        for name, path in listing(self._folder, self._worker, self._epoch):
            if best is not None and read_header(path).first > self.seq + 1:
                break
            best = name.number
        return best is not None and self._open(best)

    def _open(self, number: int) -> bool:
        path = self._folder / str(Name(self._worker, self._epoch, number))
        try:
            file = _opened(path)
        except FileNotFoundError:
            return False
        self.close()
        self._file, self._number, self.path = file, number, path
        head = header(_read_at(file, HEADER.size, 0), path)
        if head.first > self.seq + 1:
            missing = self._folder / str(Name(self._worker, self._epoch, max(0, number - 1)))
            raise Damaged(missing, 0, f"it is not there, and what follows begins with record {head.first}")
        if head.first != self._next:
            self._bytes = 0 if head.first == 1 else None
        self._at, self._next = HEADER.size, head.first
        return True


def epoch_entries(folder: Path, worker: int, epoch: int) -> Iterator[Entry]:
    """Every record of an epoch that has ended, from the segments that are there; `Damaged` when one is missing."""
    tail = Tail(folder, worker, epoch)
    first = listing(folder, worker, epoch)
    if first:
        tail.seq = read_header(first[0][1]).first - 1
    try:
        while entries := tail.read():
            yield from entries
        if not tail.ended:
            raise Damaged(tail.path or folder, 0, f"the epoch {epoch} of worker {worker} has no end")
    finally:
        tail.close()
