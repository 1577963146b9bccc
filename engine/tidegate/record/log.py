"""The writer of the log: the one place that adds entries to the tree and signs what it has become.

    with Log(folder, "example.com/ledger", keys.load(secrets), CheckpointStore(elsewhere)) as log:
        first = log.append(entries)               # in the tree, not yet promised to anybody
        note = log.checkpoint(int(time.time()))   # durable, in store, published: now they are

The order is what makes it safe. Bundles and tiles are on the disk before the checkpoint that names them is signed; the
checkpoint is in the store (compared and swapped) before anybody sees it; partial tiles go only when a checkpoint stands
on the full ones. After a crash the store's newest checkpoint is the log, and what lies beyond it in the folder says
nothing: it is written over by whatever comes to its place.

An error of the disk or the store leaves the object unusable, for what reached the disk is not known then; open the log
again and append from `size`. One process at a time has a folder open: a lock sees to it.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tidegate.errors import TidegateError
from tidegate.record import durable
from tidegate.record._hashes import leaf_hashes
from tidegate.record.checkpoints import Checkpoint, CheckpointError, parse_checkpoint
from tidegate.record.merkle import EMPTY_ROOT, TILE_WIDTH, Edge
from tidegate.record.notes import (
    NOTE_MAX,
    NoteError,
    Signer,
    Verifier,
    add_signatures,
    open_checkpoint,
    sign,
    split_note,
)
from tidegate.record.store import CheckpointStore
from tidegate.record.tiles import (
    ENTRY_MAX,
    Level,
    TileError,
    encode_bundle,
    read_bundle,
    read_tile,
    tile_path,
    tile_width,
)

PUBLISHED: Final = "checkpoint"
WITNESSED: Final = "checkpoint.witnessed"


class LogError(TidegateError):
    """The log cannot be made, opened or written; nothing that a checkpoint promised is lost by it."""

    code = "ledger_log"


class Log:
    """An open log. `size` is what has been appended; `signed` is the newest checkpoint, and `note` its text."""

    def __init__(
        self,
        folder: Path,
        origin: str,
        signers: Sequence[Signer],
        store: CheckpointStore,
        verifiers: Iterable[Verifier] = (),
    ) -> None:
        """Opens a log that `create` has made; `verifiers` are former keys, which may have signed what is in store."""
        _check_apart(folder, store.folder)
        _check_names(origin, signers)
        self.folder = folder
        self.origin = origin
        self._signers = list(signers)
        self._store = store
        self._broken = False
        self._files = durable.Files()
        self._partial: dict[Level, tuple[int, int]] = {}  # the partial tile last written at each level: index and width
        self._superseded: list[Path] = []  # folders of partial tiles whose full ones wait for their checkpoint
        known = {str(key): key for key in [*(signer.verifier for signer in signers), *verifiers]}.values()
        self._lock = _lock(folder)
        try:
            with _disk():
                self._stored, self.note, self.signed = self._newest(known)
                self._edge, self._entries = self._recover()
                self._forget_unsigned()
                self._publish(self.note)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(
        cls, folder: Path, origin: str, signers: Sequence[Signer], store: CheckpointStore, seconds: int
    ) -> "Log":
        """Makes a log without entries where there is none, with its first checkpoint in store, and opens it."""
        _check_apart(folder, store.folder)
        _check_names(origin, signers)
        with _disk():
            for changed in durable.make_folder(folder):
                durable.flush_folder(changed)
            if (folder / PUBLISHED).exists() or (folder / "tile").exists():
                raise LogError(f"`{folder}` has a log already")
            store.swap(None, sign(Checkpoint(origin, 0, EMPTY_ROOT).text, signers, seconds))
        return cls(folder, origin, signers, store)

    @property
    def size(self) -> int:
        return self._edge.size

    # growing

    def append(self, entries: Sequence[bytes]) -> int:
        """Puts entries at the end of the tree and gives the index of the first. All of them, or an error and none.

        They are promised to nobody before the next `checkpoint`: a crash until then forgets them.
        """
        if entries and max(map(len, entries)) > ENTRY_MAX:
            raise LogError(f"an entry is longer than {ENTRY_MAX} bytes")
        first = self.size
        with self._unbroken():
            start = 0
            while start < len(entries):
                end = start + self._edge.room
                self._take(entries[start:end])
                start = end
        return first

    def _take(self, entries: Sequence[bytes]) -> None:
        self._entries.extend(entries)
        for level, index, hashes in self._edge.extend(leaf_hashes(entries)):
            if level == 0:
                self._write("entries", index, encode_bundle(self._entries))
                self._entries = []
            self._write(level, index, b"".join(hashes))

    def checkpoint(self, seconds: int) -> str:
        """Makes all that was appended durable, signs it, and returns the published note once the store has it.

        Where nothing was appended and every key has signed already, it is the note that there is.
        """
        with self._unbroken():
            if self.size == self.signed.size and self._signed_by_all():
                return self.note
            self._write_partials()
            self._files.settle()
            checkpoint = Checkpoint(self.origin, self.size, self._edge.root())
            note = sign(checkpoint.text, self._signers, seconds)
            self._store.swap(self._stored, note)
            self._stored, self.note, self.signed = note, note, checkpoint
            self._publish(note)
            self._drop_superseded()
        return self.note

    def cosign(self, note: str) -> None:
        """Publishes a checkpoint of this log again, with the signatures that witnesses have added to it.

        The newest of them stays as `checkpoint.witnessed` when later checkpoints follow; of the newest checkpoint,
        `checkpoint` has the signatures too.
        """
        text, signatures = split_note(note)
        checkpoint = parse_checkpoint(text)
        if checkpoint.origin != self.origin or checkpoint.size > self.signed.size:
            raise LogError("a checkpoint that this log has not signed is not published")
        with self._unbroken():
            former = _read(self.folder / WITNESSED) or note
            witnessed = parse_checkpoint(split_note(former)[0])
            if checkpoint == witnessed:
                note = add_signatures(former, signatures)
            if checkpoint.size >= witnessed.size:
                self._files.put(self.folder / WITNESSED, note.encode())
            if checkpoint == self.signed:
                self.note = add_signatures(self.note, signatures)
                self._files.put(self.folder / PUBLISHED, self.note.encode())
            self._files.settle()

    def close(self) -> None:
        """Gives up the folder; what was appended after the last checkpoint is forgotten."""
        self._broken = True
        self._files.abandon()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # the disk

    @contextmanager
    def _unbroken(self) -> Iterator[None]:
        if self._broken:
            raise LogError("the log is closed, or an earlier error has left it unusable: open it again")
        self._broken = True
        with _disk():
            yield
        self._broken = False

    def _write(self, level: Level, index: int, data: bytes) -> None:
        """A full tile or bundle; the partial ones before it are dropped after the next checkpoint."""
        path = self.folder / tile_path(level, index)
        partials = path.with_name(path.name + ".p")
        if not self._partial.pop(level, None):
            self._clear(partials, 0)
        self._files.put(path, data)
        self._superseded.append(partials)

    def _write_partials(self) -> None:
        rows: list[tuple[Level, Sequence[bytes]]] = [("entries", self._entries), *enumerate(self._edge.levels)]
        for level, row in rows:
            index = (self.size >> 8 * (0 if level == "entries" else level)) // TILE_WIDTH
            if row and self._partial.get(level) != (index, len(row)):
                path = self.folder / tile_path(level, index, len(row))
                if level not in self._partial:
                    self._clear(path.parent, 0)
                self._files.put(path, encode_bundle(row) if level == "entries" else b"".join(row))
                self._partial[level] = (index, len(row))

    def _publish(self, note: str) -> None:
        published = _read(self.folder / PUBLISHED)
        if published != note:
            self._files.put(self.folder / PUBLISHED, note.encode())
            self._files.settle()

    def _drop_superseded(self) -> None:
        for partials in self._superseded:
            durable.discard_folder(partials)  # what a crash brings back is a copy of what the full tile has
        self._superseded.clear()

    def _clear(self, partials: Path, width: int) -> None:
        """Removes partial tiles above a width, which a crash has left and no checkpoint knows."""
        try:
            names = os.listdir(partials)
        except FileNotFoundError:
            return
        for name in names:
            if not name.isdecimal() or int(name) > width:
                self._files.remove(partials / name)

    # opening

    def _newest(self, keys: Iterable[Verifier]) -> tuple[str, str, Checkpoint]:
        """The note in store, the one to publish (the same, perhaps with cosignatures), and what they say."""
        stored = self._store.newest()
        if stored is None:
            raise LogError(
                f"`{self._store.folder}` has no checkpoint: it is not this log's store, or the log is not made"
            )
        checkpoint = self._open(stored, keys)
        published = _read(self.folder / PUBLISHED)
        if published is None:
            return stored, stored, checkpoint
        shown = self._open(published, keys)
        if shown == checkpoint:
            return stored, published, checkpoint
        if shown.size >= checkpoint.size:
            raise LogError(
                f"the log has published a checkpoint of {shown.size} entries and the store knows one of"
                f" {checkpoint.size}: the store is another log's, or an older one was put back"
            )
        return stored, stored, checkpoint

    def _open(self, note: str, keys: Iterable[Verifier]) -> Checkpoint:
        try:
            checkpoint = open_checkpoint(note, keys)[0]
        except (NoteError, CheckpointError) as error:
            raise LogError(f"a checkpoint of the log cannot be believed: {error.message}") from error
        if checkpoint.origin != self.origin:
            raise LogError(f"the checkpoint is of the log `{checkpoint.origin}`, not of `{self.origin}`")
        return checkpoint

    def _recover(self) -> tuple[Edge, list[bytes]]:
        """The edge of the tree that the checkpoint is of, and the entries of its last bundle."""
        size = self.signed.size
        try:
            levels: list[list[bytes]] = []
            while size >> 8 * len(levels):
                index = (size >> 8 * len(levels)) // TILE_WIDTH
                width = tile_width(len(levels), index, size)
                levels.append(read_tile(self.folder, len(levels), index, width) if width else [])
            index = size // TILE_WIDTH
            entries = read_bundle(self.folder, index, size % TILE_WIDTH) if size % TILE_WIDTH else []
        except TileError as error:
            raise LogError(f"{self._behind()}: {error.message}") from error
        edge = Edge(size, levels)
        if edge.root() != self.signed.root:
            raise LogError(f"{self._behind()}: the tiles of its edge do not lead to the root that was signed")
        if leaf_hashes(entries) != edge.levels[0]:
            raise LogError(f"{self._behind()}: the entries of its last bundle are not those of the tree")
        return edge, entries

    def _behind(self) -> str:
        return (
            f"the store knows {self.signed.size} entries of this log and `{self.folder}` has not got them as they were"
            " (has a backup been put back, or does another instance write to this store?)"
        )

    def _forget_unsigned(self) -> None:
        """Clears the edge of partial tiles that a crash has left."""
        levels: list[Level] = ["entries", *range(len(self._edge.levels))]
        for level in levels:
            index = (self.size >> 8 * (0 if level == "entries" else level)) // TILE_WIDTH
            if width := tile_width(level, index, self.size):
                self._partial[level] = (index, width)
                self._clear((self.folder / tile_path(level, index, width)).parent, width)

    def _signed_by_all(self) -> bool:
        present = {(signature.name, signature.key_id) for signature in split_note(self.note)[1]}
        return all((signer.name, signer.key_id) in present for signer in self._signers)


@contextmanager
def _disk() -> Iterator[None]:
    """Errors of the disk are the log's."""
    try:
        yield
    except OSError as error:
        raise LogError(f"the log cannot be written: {error.strerror}") from error


def _check_apart(folder: Path, store: Path) -> None:
    if store.resolve().is_relative_to(folder.resolve()):
        raise LogError(f"the store `{store}` is in the folder of the log, and would be put back together with it")


def _check_names(origin: str, signers: Sequence[Signer]) -> None:
    if not signers or any(signer.name != origin for signer in signers):
        raise LogError(f"the keys of the log `{origin}` have its name, and there is at least one")


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(NOTE_MAX + 1).decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def _lock(folder: Path) -> int:
    """Takes the folder for this process until the file is closed."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LogError(f"`{folder}` cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise LogError(f"`{folder}` is open in another process") from error
    return lock
