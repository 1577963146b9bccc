"""Compiled bundles on disk, so that a start need not compile what was compiled before.

What is kept is code, so nothing is read but what this user wrote: the folder is ours and closed to others, so are the
files, and each begins with the digest of its content. Anything else counts as not there, and the bundle is compiled
anew. A cache can fail in no way that its user would notice, but by its absence.
"""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

KEPT: Final = 16  # bundles: those in force, their shadows, and some to go back to
DIGEST: Final = hashlib.sha256().digest_size


class Cache:
    """A folder of our own. Any number of processes may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> bytes | None:
        """What was put there under this key, whole."""
        if not self._is_private():
            return None
        try:
            with open(
                os.open(self.folder / key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
            ) as file:
                if not _ours(os.fstat(file.fileno()), stat.S_IFREG):
                    return None
                written = file.read()
        except OSError:
            return None
        content = written[DIGEST:]
        return content if hashlib.sha256(content).digest() == written[:DIGEST] else None

    def put(self, key: str, content: bytes) -> None:
        """Keeps it; the oldest beyond `KEPT` are forgotten. Readers see all of it or nothing."""
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_private():
                return
            unfinished = self.folder / f"{key}.{os.getpid()}"
            descriptor = os.open(
                unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            with open(descriptor, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            unfinished.rename(self.folder / key)
            for old in sorted(self.folder.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)[KEPT:]:
                old.unlink()

    def _is_private(self) -> bool:
        try:
            return _ours(self.folder.lstat(), stat.S_IFDIR)
        except OSError:
            return False


def _ours(status: os.stat_result, kind: int) -> bool:
    """Whether it is of this kind, belongs to this user, and nobody else may write to it or read it."""
    return stat.S_IFMT(status.st_mode) == kind and status.st_uid == os.geteuid() and not status.st_mode & 0o077
