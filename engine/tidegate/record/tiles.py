"""The files of a log (C2SP tlog-tiles): tiles of hashes and bundles of entries, their paths, and how they are read.

`tile/<level>/<index>` holds 256 hashes, each of a full tile of the level below, or of an entry at level 0;
`tile/entries/<index>` holds the 256 entries themselves. At the right edge of a tree a tile is partial and its path says
how wide it is: `tile/0/001.p/44`. Any web server can serve the folder as it is.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from tidegate.errors import TidegateError
from tidegate.record._hashes import root_hash
from tidegate.record.merkle import HASH_SIZE, TILE_WIDTH

ENTRY_MAX: Final = 0xFFFF  # what the two bytes of a length can say
BUNDLE_MAX: Final = TILE_WIDTH * (ENTRY_MAX + 2)

Level = int | Literal["entries"]

_PATH = re.compile(r"tile/(entries|\d|[1-5]\d|6[0-3])((?:/x\d{3})*)/(\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


class TileError(TidegateError):
    """A tile or a bundle is missing, or is not what its path says; `path` is within the log's folder."""

    code = "tile"

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"`{path}` {what}")
        self.path = path
        self.what = what


def tile_path(level: Level, index: int, width: int = TILE_WIDTH) -> str:
    """Where a tile is: the index in groups of three digits, all but the last marked with an x."""
    digits = f"{index % 1000:03d}"
    while index := index // 1000:
        digits = f"x{index % 1000:03d}/{digits}"
    return f"tile/{level}/{digits}" + (f".p/{width}" if width < TILE_WIDTH else "")


def parse_tile_path(path: str) -> tuple[Level, int, int]:
    """The level, index and width that a path names; a path that `tile_path` would not make is refused."""
    if found := _PATH.fullmatch(path):
        name, groups, last, partial = found.groups()
        level: Level = "entries" if name == "entries" else int(name)
        index = int("".join(groups.split("/x")) + last)
        width = int(partial or TILE_WIDTH)
        if width <= TILE_WIDTH and tile_path(level, index, width) == path:
            return level, index, width
    raise TileError(path, "is not the path of a tile")


def tile_width(level: Level, index: int, size: int) -> int:
    """How many hashes or entries this tile has in a tree of `size` leaves."""
    hashes = size >> 8 * (0 if level == "entries" else level)
    return max(0, min(TILE_WIDTH, hashes - index * TILE_WIDTH))


def read_tile(folder: Path, level: int, index: int, width: int = TILE_WIDTH) -> list[bytes]:
    """The first `width` hashes of a tile. One that is no longer there is read from the full one that replaced it."""
    path, found = _read(folder, level, index, width, width * HASH_SIZE)
    if path == tile_path(level, index, width):
        if len(found) != width * HASH_SIZE:
            raise TileError(path, f"has {len(found)} bytes instead of {width * HASH_SIZE}")
    elif len(found) != TILE_WIDTH * HASH_SIZE:
        raise TileError(path, f"has {len(found)} bytes instead of {TILE_WIDTH * HASH_SIZE}")
    return [found[at : at + HASH_SIZE] for at in range(0, width * HASH_SIZE, HASH_SIZE)]


def read_bundle(folder: Path, index: int, width: int = TILE_WIDTH) -> list[bytes]:
    """The first `width` entries of a bundle, which may be read from the full one as a tile may."""
    path, entries, expected = find_bundle(folder, index, width)
    if len(entries) != expected:
        raise TileError(path, f"holds {len(entries)} entries instead of {expected}")
    return entries[:width]


def find_bundle(folder: Path, index: int, width: int = TILE_WIDTH) -> tuple[str, list[bytes], int]:
    """The path of the bundle that has these entries, all entries that are in it, and how many there should be."""
    path, found = _read(folder, "entries", index, width, BUNDLE_MAX)
    expected = width if path == tile_path("entries", index, width) else TILE_WIDTH
    return path, decode_bundle(path, found), expected


def _read(folder: Path, level: Level, index: int, width: int, most: int) -> tuple[str, bytes]:
    """The path that was found, and what is there; never more than a file of this kind may have, and one byte."""
    wanted = tile_path(level, index, width)
    for path in dict.fromkeys((wanted, tile_path(level, index))):
        try:
            with (folder / path).open("rb") as file:
                return path, file.read(max(most, TILE_WIDTH * HASH_SIZE) + 1)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise TileError(path, f"cannot be read: {error.strerror}") from error
    raise TileError(wanted, "is missing")


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries as a bundle has them: each behind its length in two bytes, the higher first."""
    return b"".join([part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry)])


def decode_bundle(path: str, bundle: bytes) -> list[bytes]:
    """The entries of a bundle; `path` is for the error if it ends within one."""
    entries = []
    at, end = 0, len(bundle)
    while at < end:
        start = at + 2
        at = start + (bundle[at] << 8 | bundle[start - 1]) if start <= end else end + 1
        entries.append(bundle[start:at])
    if at != end:
        raise TileError(path, f"ends within entry {len(entries) - 1} of the bundle")
    return entries


def tile_nodes(folder: Path, size: int) -> Callable[[int, int], bytes]:
    """The hashes of the full subtrees of a tree of `size` leaves, read from its tiles; what proofs are made from."""

    @lru_cache(maxsize=64)
    def tile(level: int, index: int) -> list[bytes]:
        return read_tile(folder, level, index, tile_width(level, index, size))

    def node(level: int, index: int) -> bytes:
        if index + 1 << level > size:
            raise ValueError(f"subtree {index} of level {level} is not full in a tree of {size}")
        row, within = divmod(level, 8)
        first = index << within
        start = first % TILE_WIDTH
        return root_hash(tile(row, first // TILE_WIDTH)[start : start + (1 << within)])

    return node
