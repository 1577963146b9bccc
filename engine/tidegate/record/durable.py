"""Files that are whole or not there, whatever cuts the power, and that are there once these functions have returned.

A file is written under another name, flushed to the disk, and renamed; then the folder is flushed, for the name is the
folder's. Whoever sees the name sees the whole file. A failed flush is an error that nobody may retry: the kernel
forgets what it could not write (fsyncgate), so that a second flush may succeed over a hole.

Several files are flushed at once, by threads: a disk then writes its own journal once for all of them, and not once for
each (measured on ext4: 120 files in 0.1 s instead of 0.5 s).
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

UNFINISHED: Final = ".unfinished"  # how the name of a file that is being written ends
AT_ONCE: Final = 64  # files that are open at a time, waiting to be flushed together
THREADS: Final = 8


class Files:
    """Files that are put in place together. Nothing is durable before `settle` returns; if it raises, anything may be.

    They are renamed in the order in which they were put, and folders that were made for them are flushed with them.
    """

    def __init__(self) -> None:
        self._written: list[tuple[int, Path]] = []
        self._folders: dict[Path, None] = {}

    def put(self, path: Path, data: bytes) -> None:
        """Writes a file, to take the place of whatever has its name."""
        self._folders.update(dict.fromkeys(make_folder(path.parent)))
        self._written.append((_write(_unfinished(path), os.O_TRUNC, data, 0o644), path))
        self._folders[path.parent] = None
        if len(self._written) == AT_ONCE:
            self._finish()

    def remove(self, path: Path) -> None:
        """Removes a file."""
        os.unlink(path)
        self._folders[path.parent] = None

    def settle(self) -> None:
        """Makes everything durable."""
        self._finish()
        folders = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in self._folders]
        self._folders.clear()
        _flush(folders)

    def abandon(self) -> None:
        """Closes what was not settled."""
        for file, path in self._written:
            os.close(file)
            with suppress(OSError):
                os.unlink(_unfinished(path))
        self._written.clear()

    def _finish(self) -> None:
        written, self._written = self._written, []
        _flush([file for file, _ in written])
        for _, path in written:
            os.rename(_unfinished(path), path)


def write(path: Path, data: bytes) -> None:
    """Puts a file in place of whatever was there, durably."""
    files = Files()
    try:
        files.put(path, data)
        files.settle()
    finally:
        files.abandon()


def create(path: Path, data: bytes, mode: int) -> None:
    """Makes a file that must not exist, durably; `FileExistsError` else."""
    _flush([_write(path, os.O_EXCL, data, mode)])
    flush_folder(path.parent)


def remove(path: Path) -> None:
    """Removes a file, durably."""
    os.unlink(path)
    flush_folder(path.parent)


def discard_folder(path: Path) -> None:
    """Removes a folder of files that nobody needs; it may come back with a crash, and what cannot be removed stays."""
    with suppress(OSError):
        for name in os.listdir(path):
            os.unlink(path / name)
        os.rmdir(path)


def make_folder(path: Path) -> list[Path]:
    """Makes a folder and those above it that are missing; gives the folders that have a new name in them, to flush."""
    if path.is_dir():
        return []
    above = make_folder(path.parent)
    os.mkdir(path)
    return [*above, path.parent]


def flush_folder(path: Path) -> None:
    """Makes the names in a folder durable."""
    _flush([os.open(path, os.O_RDONLY | os.O_DIRECTORY)])


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + UNFINISHED)


def _write(path: Path, flags: int, data: bytes, mode: int) -> int:
    """Writes a new file, which is left open: an error of the disk is told to who has it open."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flags, mode)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]  # a disk that fills up may take only a part
    except BaseException:
        os.close(file)
        os.unlink(path)
        raise
    return file


def _flush(files: Sequence[int]) -> None:
    """Flushes open files or folders, and closes them; raises if one could not be flushed."""
    try:
        if len(files) == 1:
            os.fsync(files[0])
        elif files:
            with ThreadPoolExecutor(min(THREADS, len(files))) as threads:
                list(threads.map(os.fsync, files))
    finally:
        for file in files:
            os.close(file)
