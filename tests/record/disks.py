"""A disk that can be looked at after every power cut: what a process did to it is read from a log, and every disk that
the rules allow at an instant is built.

The rules: what was flushed is there. Of writes and truncations that were not, each 512-byte piece is there or not. Of
names that were made, changed or removed since the folder was last flushed, those up to some moment are there.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SECTOR = 512


@cache
def library() -> Path:
    """The preloaded disk, compiled once."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler is absent")
    made = Path(tempfile.mkdtemp(prefix="tidegate-disk-"), "disk.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, HERE / "disk.c", "-ldl", "-pthread"], check=True)
    return made


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder whose flushes cost nothing: in memory where there is such a place."""
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared, prefix="tidegate-") as folder:
        yield Path(folder)


def run(code: str, disk: Path, *arguments: object, log: Path | None = None, lies: str = "", plain: bool = False) -> str:
    """Runs Python on the disk; what it printed. It may call `disk_fail` and the like of disk.c, as `disk.fail`...
    On a `plain` one the kernel takes no requests.
    """
    environment = {**os.environ, "LD_PRELOAD": str(library()), "DISK_FOLDER": str(disk), "PYTHONPATH": str(ROOT)}
    environment |= {"DISK_LOG": str(log)} if log else {}
    environment |= {"DISK_LIES": lies} if lies else {}
    environment |= {"DISK_PLAIN": "1"} if plain else {}
    command = [sys.executable, "-c", code, str(disk), *map(str, arguments)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


class Op(NamedTuple):
    """What was done: create, write, truncate, sync, rename, unlink, or a mark of the process (a). A request (q) is a
    write that ends by itself, durable (d) or not (e), without a word about others.
    """

    kind: str
    name: str
    other: str
    at: int
    data: bytes


def read_log(path: Path) -> list[Op]:
    ops, data, at = [], path.read_bytes(), 0
    while at < len(data):
        end = data.index(b"\n", at)
        kind, name, other, offset, length = data[at:end].decode().split(" ")
        at = end + 1
        body = data[at : at + int(length)] if kind in "wq" else b""
        ops.append(Op(kind, name, other, int(offset), body))
        at += len(body)
    return ops


@dataclass
class File:
    """A file, whatever its name is: what is on the disk for certain, and what was done since."""

    sure: bytearray = field(default_factory=bytearray)
    since: list[Op] = field(default_factory=list)

    def sync(self) -> None:
        for each in self.since:
            if each.kind != "q":
                _apply(self.sure, each)
        self.since = [each for each in self.since if each.kind == "q"]

    def end(self, op: Op) -> None:
        asked = max(number for number, each in enumerate(self.since) if each.kind == "q" and each.at == op.at)
        if op.kind == "d":
            _apply(self.sure, self.since.pop(asked))
        else:
            self.since[asked] = self.since[asked]._replace(kind="w")


class Disk:
    """What may be on the disk after so many operations."""

    def __init__(self, ops: list[Op]) -> None:
        self.now: dict[str, File] = {}  # as the process sees it
        self.sure: dict[str, File] = {}  # the names that are there for certain
        self.since: list[dict[str, File]] = []  # the names after every change of them since
        self.acked = 0
        for op in ops:
            self._do(op)

    def _do(self, op: Op) -> None:
        if op.kind == "a":
            self.acked = max(self.acked, op.at)
        elif op.kind in "wtq":
            self.now[op.name].since.append(op)
        elif op.kind in "de":
            self.now[op.name].end(op)
        elif op.kind == "s" and op.name == ".":
            self.sure, self.since = dict(self.now), []
        elif op.kind == "s":
            self.now[op.name].sync()
        else:
            if op.kind == "c":
                self.now[op.name] = File()
            else:
                file = self.now.pop(op.name)
                if op.kind == "r":
                    self.now[op.other] = file
            self.since.append(dict(self.now))

    def build(self, folder: Path, chance: random.Random) -> None:
        """One of the disks that may be there."""
        names = chance.choice([self.sure, *self.since, (self.since or [self.sure])[-1]])
        how = chance.randrange(4)
        for name, file in names.items():
            data = bytearray(file.sure)
            for op in file.since:
                if how == 1 or (how > 1 and chance.random() < 0.5):
                    for part in _pieces(op) if how == 3 else [op]:
                        if how < 3 or chance.random() < 0.5:
                            _apply(data, part)
            (folder / name).write_bytes(data)


def _pieces(op: Op) -> Iterator[Op]:
    """A write in the pieces in which a disk may take it."""
    if op.kind == "t":
        yield op
        return
    at, end = op.at, op.at + len(op.data)
    while at < end:
        to = min(end, (at // SECTOR + 1) * SECTOR)
        yield op._replace(at=at, data=op.data[at - op.at : to - op.at])
        at = to


def _apply(data: bytearray, op: Op) -> None:
    if op.kind == "t":
        del data[op.at :]
        data.extend(bytes(op.at - len(data)))
    else:
        data.extend(bytes(max(0, op.at + len(op.data) - len(data))))
        data[op.at : op.at + len(op.data)] = op.data
