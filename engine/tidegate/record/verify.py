"""Verifying a log: every entry is hashed again, every tile compared, every checkpoint held against the others.

Only the log's files and a public key are needed. What is wrong is named by its place, and the search goes on behind it:

* an entry or a tile that was changed, a bundle with an entry too many or too few, a file that is missing or cut off
* entries and tiles that were changed together: they do not lead to the root that was signed
* a history that was written anew and signed again: it is not that of an older checkpoint, be it the store's, one that
  witnesses have cosigned, or one in a receipt; the entries between which it departs are named
* a tail that was cut off, a backup that was put back: an older checkpoint is of more entries than there are

Who can write every file and has the private key can make a log that verifies. What betrays them is a checkpoint out of
their reach; the report warns where there is none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tidegate.errors import TidegateError
from tidegate.record.checkpoints import Checkpoint, parse_checkpoint
from tidegate.record.notes import NOTE_MAX, Signature, Verifier, open_checkpoint, split_note
from tidegate.record.receipts import Proved, check_receipt
from tidegate.record.rehash import Fault, Progress, Rehash


@dataclass
class Report:
    """What was found. A log without `faults` is what `checkpoint` says; `warnings` are about what that cannot prove."""

    checkpoint: Checkpoint | None = None
    signatures: tuple[Signature, ...] = ()
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.faults

    def fault(self, place: str, what: str, entry: int | None = None) -> None:
        self.faults.append(Fault(place, entry, what))


class _Head(NamedTuple):
    """A checkpoint, where it was found, and who is known to have signed it; nobody, if it cannot be believed."""

    place: str
    checkpoint: Checkpoint
    signatures: tuple[Signature, ...] = ()


def verify_log(
    folder: Path,
    verifiers: Iterable[Verifier],
    *,
    store: Path | None = None,
    receipts: Sequence[tuple[str, str | bytes]] = (),
    progress: Progress | None = None,
) -> Report:
    """Checks a whole log, also one that is being written.

    `verifiers` are the log's public keys, and those of witnesses; `store` is the folder of its checkpoint store;
    `receipts` are names and texts. `progress` is called with the entries done and all there are.
    """
    report = Report()
    keys = list(verifiers)
    proved = _receipts(receipts, keys, report)
    heads = [
        *_heads(folder, store, keys, report),
        *(_Head(name, one.checkpoint, one.signatures) for name, one in proved),
    ]
    believed = _of_one_log([head for head in heads if head.signatures] or heads[:1], report)
    if not believed:
        return report
    newest = max(believed, key=lambda head: head.checkpoint.size)
    report.checkpoint, report.signatures = newest.checkpoint, newest.signatures
    rehash = Rehash(folder, newest.checkpoint, [head.checkpoint for head in believed])

    def seen(place: str, first: int, entries: list[bytes]) -> None:
        for name, one in proved:
            if first <= one.index < first + len(entries) and entries[one.index - first] != one.entry:
                report.fault(place, f"is not the entry that the receipt {name} proves", one.index)

    rehash.run(seen, progress)
    report.faults += rehash.faults
    if rehash.unnamed:
        report.warnings.append(f"{rehash.unnamed} faults more were found than are named")
    _compare(believed, newest, rehash, report)
    return report


def _heads(folder: Path, store: Path | None, keys: Sequence[Verifier], report: Report) -> list[_Head]:
    """The checkpoints in files: the published one, the one that witnesses have signed, and the store's."""
    heads = [_head(folder / "checkpoint", "checkpoint", keys, report)]
    if (folder / "checkpoint.witnessed").exists():
        heads.append(_head(folder / "checkpoint.witnessed", "checkpoint.witnessed", keys, report))
    if store is None:
        report.warnings.append("no checkpoint store was given: a log that was put back from a backup looks whole")
    else:
        heads.append(_head(store / "checkpoint", str(store / "checkpoint"), keys, report))
        if _disk(store) == _disk(folder) is not None:
            report.warnings.append("the checkpoint store is on the log's disk: what rolls back one may roll back both")
    return [head for head in heads if head]


def _head(path: Path, place: str, keys: Sequence[Verifier], report: Report) -> _Head | None:
    """The checkpoint in a file; one that cannot be believed is a fault, and still says what to look for."""
    try:
        with path.open("rb") as file:
            note = file.read(NOTE_MAX + 1)
    except OSError as error:
        report.fault(place, f"cannot be read: {error.strerror}")
        return None
    try:
        checkpoint, opened = open_checkpoint(note, keys)
        return _Head(place, checkpoint, opened.signatures)
    except TidegateError as error:
        report.fault(place, error.message)
    try:
        return _Head(place, parse_checkpoint(split_note(note)[0]))
    except TidegateError:
        return None


def _disk(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def _receipts(
    receipts: Sequence[tuple[str, str | bytes]], keys: Sequence[Verifier], report: Report
) -> list[tuple[str, Proved]]:
    proved = []
    for name, text in receipts:
        try:
            proved.append((name, check_receipt(text, keys)))
        except TidegateError as error:
            report.fault(name, error.message)
    return proved


def _of_one_log(heads: list[_Head], report: Report) -> list[_Head]:
    """The checkpoints that have the origin of the first."""
    for head in heads:
        if head.checkpoint.origin != heads[0].checkpoint.origin:
            origins = head.checkpoint.origin, heads[0].checkpoint.origin
            report.fault(head.place, "is of the log `{}`, not of `{}`".format(*origins))
    return [head for head in heads if head.checkpoint.origin == heads[0].checkpoint.origin]


def _compare(heads: list[_Head], newest: _Head, rehash: Rehash, report: Report) -> None:
    """Holds the checkpoints against the log and each other: none of another history, none beyond the published one."""
    agreed = [one.size for one, agrees in rehash.agrees.items() if agrees]
    for head in heads:
        size = head.checkpoint.size
        if head.checkpoint != newest.checkpoint and not rehash.agrees.get(head.checkpoint):
            start = max((other for other in agreed if other < size), default=0)
            what = f"its {size} entries are not those of the log, which differs between entries {start} and {size - 1}"
            report.fault(head.place, what, start)
        if head.place == "checkpoint" and size < newest.checkpoint.size:
            behind = f"is of {size} entries, and {newest.place} of {newest.checkpoint.size}"
            if report.ok:
                report.warnings.append(f"the published checkpoint {behind}: it stopped before it could be published")
            else:
                report.fault("checkpoint", f"{behind}: the tail was cut off, or a backup was put back", size)
