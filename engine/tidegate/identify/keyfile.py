"""The keys of a data directory, as `tidegate keys` changes them while gateways read them.

    keys.jsonl    what happened to keys, an entry a line, oldest first; lines are added and never changed
    keys.pepper   32 random bytes, without which no key of keys.jsonl can be checked
    keys.word     two words in memory that all processes share: how often keys were changed, and how long the file is
    keys.lock     held by whoever changes keys

A change is one write of whole lines at the end of the file, made durable, and only then announced in the word: whoever
sees the word finds the lines. What a killed process or a full disk left behind is a last line without its end. It was
never announced and counts as not there, and the next change takes its place.
"""

import contextlib
import fcntl
import mmap
import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

import msgspec

from tidegate.errors import KeysError
from tidegate.identify.keys import PEPPER, Begun, Digester, Entries, Key, digester, happened

PATIENCE: Final = 10.0  # seconds for another command to finish
WORDS: Final = 16  # bytes of keys.word
_decode: Final = msgspec.json.Decoder(Entries).decode
_encode: Final = msgspec.json.Encoder().encode


class Unreachable(KeysError):
    """A file could not be opened or read, which may pass by itself."""


class Contents(NamedTuple):
    """What a file held when it was read."""

    keys: dict[bytes, Key]
    digest: Digester | None  # None: there is no file yet, and no pepper
    size: int  # of its whole lines
    lines: int
    place: tuple[int, int] | None  # which file it was


def paths(folder: Path) -> tuple[Path, Path, Path, Path]:
    """The file, the pepper, the word and the lock."""
    return folder / "keys.jsonl", folder / "keys.pepper", folder / "keys.word", folder / "keys.lock"


def read(folder: Path, announced: int) -> Contents:
    """All of it; raises KeysError where it cannot be read, does not make sense or ends too early."""
    path, pepper, _, _ = paths(folder)
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read()
    except FileNotFoundError:
        not_short(path, 0, announced)
        return Contents({}, None, 0, 0, None)
    except OSError as error:
        raise unreadable(path, error) from None
    keys: dict[bytes, Key] = {}
    place = (status.st_dev, status.st_ino)
    size = data.rfind(b"\n") + 1
    not_short(path, size, announced)
    if not size:
        return Contents(keys, None, 0, 0, place)  # its maker was killed before the first line
    first, _, rest = data[:size].partition(b"\n")
    begun = entry(path, 1, first)
    if not isinstance(begun, Begun):
        raise KeysError(f"{path}:1: it does not begin like a file of keys")
    digest = digester(read_pepper(pepper))
    if digest(b"") != begun.pepper:
        raise KeysError(f"{pepper}: it is not the pepper that the keys in {path} were made with")
    lines = add(keys, path, 2, rest)
    return Contents(keys, digest, size, lines, place)


def add(keys: dict[bytes, Key], path: Path, number: int, data: bytes) -> int:
    """Puts the entries of whole lines in force, the first of which has that number; the number of the last."""
    lines = data.split(b"\n")[:-1]
    for at, line in enumerate(lines, number):
        try:
            happened(keys, entry(path, at, line))
        except ValueError as error:
            raise KeysError(f"{path}:{at}: {error}") from None
    return number + len(lines) - 1


def not_short(path: Path, size: int, announced: int) -> None:
    """Refuses a file that does not have all that was announced: revocations may be what is missing."""
    if size < announced:
        gone = f"the last {announced - size} bytes that were written are not there"
        raise KeysError(f"{path}: {gone}; if it was replaced on purpose, remove {paths(path.parent)[2]}")


def entry(path: Path, number: int, line: bytes) -> Entries:
    """The entry of a line."""
    try:
        return cast(Entries, _decode(line))
    except msgspec.ValidationError as error:
        raise KeysError(f"{path}:{number}: {str(error)[:1].lower()}{str(error)[1:]}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise KeysError(f"{path}:{number}: it is not an entry of a file of keys") from None


def unreadable(path: Path, error: OSError) -> Unreachable:
    """What is said of a file that could not be read."""
    return Unreachable(f"{path}: cannot be read: {(error.strerror or type(error).__name__).lower()}")


def read_pepper(path: Path) -> bytes:
    """The pepper, which nobody else may be able to read."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pepper = file.read(PEPPER + 1)
    except FileNotFoundError:
        raise Unreachable(f"{path}: it is missing, and no key can be checked without it; restore it") from None
    except OSError as error:
        raise unreadable(path, error) from None
    if stat.S_IMODE(mode) & 0o077:
        raise Unreachable(f"{path}: others may read or change it; set its mode to 0600")
    if len(pepper) != PEPPER:
        raise Unreachable(f"{path}: it is damaged, and no key can be checked without it; restore it")
    return pepper


def announced_size(folder: Path) -> int:
    """How long the file was said to be, for who only looks and may not be able to write; 0 where nobody said it."""
    word = paths(folder)[2]
    try:
        with open(word, "rb") as file:
            if os.fstat(file.fileno()).st_size < WORDS:
                return 0
            return memoryview(mmap.mmap(file.fileno(), WORDS, access=mmap.ACCESS_READ)).cast("Q")[1]
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise unreadable(word, error) from None


class Word:
    """How often the keys of a folder were changed, and how long the file was then; seen by all who map it."""

    def __init__(self, folder: Path) -> None:
        file = _open(paths(folder)[2], os.O_RDWR)
        try:
            if os.fstat(file).st_size < WORDS:
                os.ftruncate(file, WORDS)
            self._memory = mmap.mmap(file, WORDS)
        finally:
            os.close(file)
        self.words = memoryview(self._memory).cast("Q")  # aligned words: each is seen whole or not at all

    def announce(self, size: int) -> None:
        """Says that the file has changed. Only who holds the lock does."""
        self.words[1] = size
        self.words[0] += 1


class Changing:
    """The keys of a folder while nobody else changes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._word = Word(folder)
        self._contents = read(folder, self._word.words[1])
        self.keys = self._contents.keys

    def digest(self, key: str) -> bytes:
        """The keyed hash of a key; makes the pepper and the file where these are the first."""
        if self._contents.digest is None:
            self._begin()
        assert self._contents.digest is not None
        return self._contents.digest(key.encode())

    def append(self, entries: Sequence[Entries]) -> None:
        """Adds entries: when this returns they are durable and announced; where it raises nothing has changed."""
        for each in entries:
            try:
                happened(self.keys, each)
            except ValueError as error:
                raise KeysError(str(error)) from None
        data = b"".join(_encode(each) + b"\n" for each in entries)
        size = self._contents.size + len(data)
        _write_at(paths(self._folder)[0], self._contents.size, data)
        self._contents = self._contents._replace(size=size)
        self._word.announce(size)

    def _begin(self) -> None:
        path, pepper, _, _ = paths(self._folder)
        if not pepper.exists():
            fresh = pepper.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            _write_at(fresh, 0, os.urandom(PEPPER))
            fresh.rename(pepper)
            _sync_folder(self._folder)
        digest = digester(read_pepper(pepper))
        line = _encode(Begun(1, digest(b""))) + b"\n"
        _write_at(path, 0, line)
        _sync_folder(self._folder)
        self._contents = self._contents._replace(digest=digest, size=len(line))


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[Changing]:
    """Holds the lock of a folder; whoever is killed meanwhile lets go of it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(folder):
            yield Changing(folder)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise KeysError(f"{error.filename or folder}: cannot be changed: {reason}") from None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = _open(paths(folder)[3], os.O_RDWR)
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise KeysError(f"{folder}: another command has been changing keys for {PATIENCE:g} s") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(lock)


def _open(path: Path, flags: int) -> int:
    """A file of ours: nobody else may read it, and it belongs to whom the folder belongs, also where root makes it."""
    file = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    owner = path.parent.stat()
    if os.geteuid() == 0 and os.fstat(file).st_uid != owner.st_uid:
        os.fchown(file, owner.st_uid, owner.st_gid)
    return file


def _write_at(path: Path, start: int, data: bytes) -> None:
    """Writes at a place of a file, in the stead of all that follows it, and waits until that is durable."""
    file = _open(path, os.O_RDWR)
    try:
        os.ftruncate(file, start)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(file, data[written:], start + written)
            os.fsync(file)
        except OSError as error:
            os.ftruncate(file, start)
            error.filename = str(path)
            raise
    finally:
        os.close(file)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
