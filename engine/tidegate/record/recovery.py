"""After its writer has died, an epoch is brought to its end: everything that was appended stands, and nothing follows.

Whatever a kill or a power cut left, and however often recovery itself is killed, running it to its end once gives the
same epoch: what it adds becomes visible in one step, by the name of a last segment that is durable before and after.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Final

from tidegate.errors import TidegateError
from tidegate.record import ring, segments
from tidegate.record.segments import Damaged, Entry, Header, Name

TRIES: Final = 10
SEGMENT: Final = ".segment"
SPARE: Final = ".spare"
END: Final = ".end"
Aborted = Callable[[Iterator[Entry]], Iterable[bytes]]


class StillWritten(TidegateError):
    """The epoch cannot be recovered: its writer lives."""

    code: ClassVar[str] = "journal_still_written"


def unended(folder: Path, memory: Path | None = None) -> list[tuple[int, int]]:
    """The epochs, as (worker, epoch), that have no end, or a ring or a spare: of writers that live, or to recover."""
    last = {(name.worker, name.epoch): path for name, path in segments.listing(folder)}
    found = {epoch for epoch, path in last.items() if not _ended(path)}
    spares = (segments.name_of(path.with_suffix(SEGMENT)) for path in folder.glob(f"*{SPARE}"))
    found |= {(name.worker, name.epoch) for name in spares if name is not None}
    return sorted(found | {(worker, epoch) for worker, epoch in ring.listing(memory or folder)})


def _ended(path: Path) -> bool:
    try:
        return segments.sealed(path) == "end"
    except FileNotFoundError:  # the log has taken it over just now, and it was dropped
        return True


def recover(
    folder: Path,
    worker: int,
    epoch: int,
    aborted: Aborted = lambda entries: (),
    *,
    memory: Path | None = None,
    clear: bool = True,
    bereft: bool = False,
) -> int:
    """Ends an epoch whose writer is dead; returns the seq of its last record, 0 when it has none.

    `aborted` is given the epoch's records in order, from the ring's `keep` on, and returns those to be added: the
    outcomes of calls that had none. They, and what the ring had and the segments did not, are durable when this
    returns. An epoch that has ended is left as it is. StillWritten when the writer lives, Damaged when a record that
    counts is not whole; nothing that counts is ever removed.

    Without `clear` the ring stays, and with it all records from `keep` on: `ending` reads them. Recovering the epoch
    again clears it away. `bereft` ends an epoch, too, whose segments somebody has deleted or changed: with what its
    ring has. What is missing before that is stated by who reads on; calls that it may have ended get no other end.
    """
    path = ring.path_of(memory or folder, worker, epoch)
    for left in reversed(range(TRIES)):
        try:
            last = _recover(folder, worker, epoch, aborted, path, bereft)
            break
        except FileNotFoundError:  # one that is not needed was dropped between two looks
            if not left:
                raise
    left_over = [each for suffix in (SPARE, END) for each in _files(folder, worker, epoch, suffix)]
    for each in (*left_over, *([path] if clear else [])):
        each.unlink(missing_ok=True)
    return last


def _recover(folder: Path, worker: int, epoch: int, aborted: Aborted, path: Path, bereft: bool) -> int:
    with ExitStack() as locks:
        if path.exists():
            _lock(locks, path)
        found = ring.read(path)
        names = segments.listing(folder, worker, epoch)
        if names and segments.sealed(names[-1][1]) != "end":
            _lock(locks, names[-1][1])
        if _renamed(locks, folder, worker, epoch):
            names = segments.listing(folder, worker, epoch)
        if not names and (found is None or not found.head):
            last = 0
        elif not names and not bereft:
            raise Damaged(folder, 0, f"epoch {epoch} of worker {worker} has no segment, and its ring has records")
        elif names and segments.sealed(names[-1][1]) == "end":
            _flush(names[-1][1])  # whoever ended it may have been killed before this
            _flush(folder)
            last = segments.read(names[-1][1]).next - 1
        else:
            number = names[-1][0].number if names else _spared(folder, worker, epoch)
            end, paths = Name(worker, epoch, number + 1), [each for _, each in names]
            try:
                last = _end(folder, end, paths, path, found, aborted)
            except Damaged as error:
                if not bereft or found is None or error.path == path:
                    raise
                last = _end(folder, end, [], path, found, lambda entries: ())
    return last


def _files(folder: Path, worker: int, epoch: int, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"{worker:04}-{epoch:012}-*{suffix}"))


def _renamed(locks: ExitStack, folder: Path, worker: int, epoch: int) -> bool:
    """Gives segments the names back that a power cut took, if there are any: a spare that was begun has a header."""
    renamed = False
    for spare in _files(folder, worker, epoch, SPARE):
        path = spare.with_suffix(SEGMENT)
        with open(spare, "rb") as file:
            start = file.read(segments.HEADER.size)
        try:
            segments.header(start, path)
        except Damaged:
            continue
        _lock(locks, spare)
        spare.rename(path)
        _flush(folder)
        renamed = True
    return renamed


def ending(folder: Path, worker: int, epoch: int, memory: Path | None = None) -> Iterator[Entry]:
    """The records of an epoch that has ended, from its ring's `keep` on; without a ring all that are still there."""
    found = ring.read(ring.path_of(memory or folder, worker, epoch))
    paths = [path for _, path in segments.listing(folder, worker, epoch)]
    if paths:
        yield from _entries(paths, 1 if found is None else found.keep, segments.read(paths[-1]).next, [])


def _spared(folder: Path, worker: int, epoch: int) -> int:
    """The number of the last segment of an epoch that has none any more, as its spare tells; at least 0."""
    names = [segments.name_of(each.with_suffix(SEGMENT)) for each in _files(folder, worker, epoch, SPARE)]
    return max((name.number - 1 for name in names if name is not None), default=0)


def _end(
    folder: Path, end: Name, paths: list[Path], path: Path, found: ring.Ring | None, aborted: Aborted
) -> int:  # fmt: skip
    for each, after in pairwise(paths):
        if segments.sealed(each) is None:
            _finish(each, segments.read_header(after).first)
    following = None if found is None else found.durable + 1
    seq = _finish(paths[-1], following) if paths else following
    assert seq is not None
    key = segments.key_of(end.worker, end.epoch)
    waiting = b"" if found is None else ring.entries(path, found)
    left = segments.scan(waiting, 0, seq, key)
    if left.end != len(waiting):
        raise Damaged(path, ring.ENTRIES_AT, f"record {seq + len(left.records)} is not whole")
    keep = 1 if found is None else found.keep
    records = [*left.records, *aborted(_entries(paths, keep, seq, left.records))]
    for record in records:
        if not 0 < len(record) <= segments.MOST_RECORD:
            raise ValueError(f"a record of {len(record)} bytes: 1 to {segments.MOST_RECORD} are taken")
    body = [segments.entry(key, each, record) for each, record in enumerate(records, seq)]
    last = seq + len(records) - 1
    head = bytes(Header(end.worker, end.epoch, end.number, seq))
    _place(folder, end, head + b"".join(body) + segments.seal(key, last + 1, True))
    return last


def _entries(paths: list[Path], keep: int, seq: int, left: list[bytes]) -> Iterator[Entry]:
    """The records from `keep` on: those of segments, and those that only the ring had."""
    firsts = []
    for path in list(paths):
        try:
            firsts.append(segments.read_header(path).first)
        except FileNotFoundError:  # dropped just now: all of it is before `keep`
            paths = [each for each in paths if each != path]
    for path, after in zip(paths, [*firsts, seq][1:], strict=True):
        if after > keep:
            segment = segments.read(path)
            for number, record in enumerate(segment.entries, segment.first):
                if number >= keep:
                    yield Entry(number, record)
    for number, record in enumerate(left, seq):
        if number >= keep:
            yield Entry(number, record)


def _finish(path: Path, following: int | None) -> int:
    """Cuts a segment before the record `following` and seals it; returns the seq of the next record.

    None: what stands whole counts, as after a power cut there is nobody who knows more.
    """
    found = segments.cut(path, following)
    if found.sealed is None:
        key = segments.key_of(found.worker, found.epoch)
        with open(path, "r+b") as file:
            file.seek(found.end)
            file.write(segments.seal(key, found.next, False))
            file.flush()
            os.fdatasync(file.fileno())
    return found.next


def _place(folder: Path, name: Name, data: bytes) -> None:
    """A whole file, durable before it has its name, and its name durable too."""
    new = (folder / str(name)).with_suffix(END)
    with open(new, "wb") as file:
        file.write(data)
        file.flush()
        os.fdatasync(file.fileno())
    new.rename(folder / str(name))
    _flush(folder)


def _flush(path: Path) -> None:
    """What a file holds, or which names a folder has, is durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(locks: ExitStack, path: Path) -> None:
    file = locks.enter_context(path.open("rb"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StillWritten(f"the writer of `{path.name}` lives") from None
