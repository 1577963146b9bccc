"""What workers have learnt as files: JSON, one a worker, each written whole or not at all."""

import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tidegate.count.evidence import Learnt

FORMAT: Final = 1
MODELS: Final = 512  # of a file; the names are the callers'
LARGEST: Final = 8 << 20  # bytes of a file; 512 models have less than half

Key = tuple[str, str]  # provider, model


class Entry(Struct, array_like=True):
    """One model of one provider."""

    provider: str
    model: str
    learnt: Learnt


class Version(Struct):
    """What can be read of a file of any format."""

    format: int


class File(Version):
    """The whole of it; the model learnt last is the last."""

    models: list[Entry]


def name(worker: int) -> str:
    return f"calibration-{worker}.json"


def names(folder: Path) -> list[Path]:
    """The files of all workers."""
    return sorted(folder.glob("calibration-*.json"))


def read(path: Path) -> dict[Key, Learnt]:
    """The models of a file; nothing where there is none. Raises OSError, or ValueError for a file that is broken."""
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST + 1)
    except FileNotFoundError:
        return {}
    if len(text) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST} bytes")
    try:
        version = msgspec.json.decode(text, type=Version).format
        if version != FORMAT:
            raise ValueError(f"it has format {version}, and this version reads {FORMAT}")
        entries = msgspec.json.decode(text, type=File).models[-MODELS:]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{str(error)[:1].lower()}{str(error)[1:]}") from None
    return {(entry.provider, entry.model): entry.learnt for entry in entries}


def write(path: Path, models: dict[Key, Learnt]) -> None:
    """Takes the file's place when it is complete. Raises OSError."""
    entries = [Entry(provider, model, learnt) for (provider, model), learnt in models.items()]
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(File(FORMAT, entries)))
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


def set_aside(path: Path) -> Path | None:
    """Renames a broken file, so that its worker can write a new one; None where that is not possible."""
    aside = path.with_name(path.name + ".broken")
    try:
        path.rename(aside)
    except OSError:
        return None
    return aside
