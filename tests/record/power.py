"""What a disk may hold after the power was cut, by the rules that a file system promises and no kinder ones.

A recorder notes every change that is made under a folder. From the notes up to any moment `Disk` builds a state that a
crash at that moment may leave:

* of what was written to a file since its last fsync: nothing, all, a part up to some sector, or zeros of that length
* of the names made, renamed and removed in a folder since its last fsync: none, all, the first few, or any of them
* a folder whose own name was lost is lost with all that is in it

A rename within a folder is atomic. An fsync of a file makes no name durable.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SECTOR = 512

Note = tuple[str, Any, Any]  # what was done, and to what


@dataclass
class _File:
    safe: bytes = b""
    loose: bytes = b""  # written since

    def after(self, chance: random.Random) -> bytes:
        cut = chance.randrange(len(self.loose) // SECTOR + 1) * SECTOR
        return self.safe + chance.choice([b"", self.loose, self.loose[:cut], bytes(len(self.loose))])


@dataclass
class _Folder:
    safe: dict[str, Any] = field(default_factory=dict)  # files and folders by their names
    loose: list[tuple[tuple[str, Any], ...]] = field(default_factory=list)  # names put (None: removed) since, in order
    live: dict[str, Any] = field(default_factory=dict)

    def put(self, *changes: tuple[str, Any]) -> None:
        """Changes that are made together, or not at all."""
        self.loose.append(changes)
        for name, what in changes:
            self.live.pop(name, None) if what is None else self.live.__setitem__(name, what)

    def fsync(self) -> None:
        self.safe, self.loose = dict(self.live), []

    def after(self, chance: random.Random) -> dict[str, Any]:
        kept = self.loose
        match chance.randrange(4):
            case 0:
                kept = []
            case 1:
                kept = kept[: chance.randrange(len(kept) + 1)]
            case 2:
                kept = [change for change in kept if chance.random() < 0.5]
        names = dict(self.safe)
        for changes in kept:
            for name, what in changes:
                names.pop(name, None) if what is None else names.__setitem__(name, what)
        return names


class Disk:
    """The state of a folder after some of the notes, of which the power is cut."""

    def __init__(self, notes: list[Note]) -> None:
        self._root = _Folder()
        files: dict[int, _File] = {}
        for what, one, other in notes:
            if what == "write":
                files[one].loose += other
            elif what == "fsync":
                files[one].safe, files[one].loose = files[one].safe + files[one].loose, b""
            elif what == "fsync folder":
                self._folder(one).fsync()
            elif what == "mkdir":
                self._put(one, _Folder())
            elif what == "create":
                files[other] = _File()
                self._put(one, files[other])
            elif what == "rename":
                folder = self._folder(one.parent)
                folder.put((one.name, None), (other.name, folder.live[one.name]))
            elif what != "nothing":
                self._put(one, None)

    def _folder(self, path: Path) -> _Folder:
        folder = self._root
        for name in path.parts:
            folder = folder.live[name]
        return folder

    def _put(self, path: Path, what: _File | _Folder | None) -> None:
        self._folder(path.parent).put((path.name, what))

    def after_power_loss(self, chance: random.Random, folder: Path) -> None:
        """Writes one of the states that the crash may leave to a folder that does not exist."""
        folder.mkdir()
        self._leave(self._root, chance, folder)

    def _leave(self, left: _Folder, chance: random.Random, folder: Path) -> None:
        for name, what in left.after(chance).items():
            if isinstance(what, _File):
                (folder / name).write_bytes(what.after(chance))
            else:
                (folder / name).mkdir()
                self._leave(what, chance, folder / name)


@contextmanager
def recorded(root: Path, patch: pytest.MonkeyPatch) -> Iterator[list[Note]]:
    """Notes what this process changes under a folder, whatever is there already being noted as durable first."""
    notes: list[Note] = []
    opened: dict[int, Any] = {}  # by descriptor: the number of a file, or the path of a folder
    numbers = iter(range(1 << 30))
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            notes += [("mkdir", path.relative_to(root), None)]
        else:
            number = next(numbers)
            notes += [("create", path.relative_to(root), number), ("write", number, path.read_bytes())]
            notes += [("fsync", number, None)]
    notes += [("fsync folder", path.relative_to(root), None) for path in [root, *root.rglob("*")] if path.is_dir()]

    def inside(path: Any) -> Path | None:
        return (
            Path(path).relative_to(root) if isinstance(path, (str, Path)) and Path(path).is_relative_to(root) else None
        )

    def wrap(name: str, note: Callable[..., None]) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            existed = name == "open" and os.path.exists(arguments[0])
            result = real(*arguments, **options)
            note(existed, result, *arguments)
            return result

        patch.setattr(os, name, call)

    def on_open(existed: bool, file: int, path: Any, flags: int, *_: Any) -> None:
        if where := inside(path):
            if os.path.isdir(path):
                opened[file] = where
            elif flags & os.O_TRUNC or not existed:
                opened[file] = next(numbers)
                notes.append(("create", where, opened[file]))

    def on_write(_: bool, count: int, file: int, data: Any) -> None:
        if file in opened:
            notes.append(("write", opened[file], bytes(data[:count])))

    def on_fsync(_: bool, __: Any, file: int) -> None:
        if file in opened:
            one = opened[file]
            notes.append(("fsync folder" if isinstance(one, Path) else "fsync", one, None))

    def on_rename(_: bool, __: Any, one: Any, other: Any) -> None:
        if where := inside(one):
            notes.append(("rename", where, inside(other)))

    def on_path(what: str) -> Callable[..., None]:
        def note(_: bool, __: Any, path: Any, *___: Any) -> None:
            if where := inside(path):
                notes.append((what, where, None))

        return note

    wrap("open", on_open)
    wrap("write", on_write)
    wrap("fsync", on_fsync)
    wrap("rename", on_rename)
    wrap("close", lambda _, __, file: opened.pop(file, None))
    for name in ("mkdir", "unlink", "rmdir"):
        wrap(name, on_path(name))
    try:
        yield notes
    finally:
        patch.undo()
