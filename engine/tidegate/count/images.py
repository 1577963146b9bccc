"""How many tokens an image is, by the formulas that its providers publish.

Of an image only the header is read, and only as far as its size; nothing is ever fetched. An image whose size is not
known (it is elsewhere, or its header makes no sense) is taken for the largest that its model sees.

Three formulas are in use. Models that see tiles shrink an image into 2048 x 2048, then to a short side of 768, and
count tiles of 512 over a base. Models that see patches count those of 32 x 32, shrink an image that has too many, and
multiply. Claude counts patches of 28 x 28, of which there are only so many. `detail` = `low` has a price of its own;
`auto` is taken for `high`, which is what providers do or the more expensive guess.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor, sqrt
from typing import Final, Literal

from msgspec import Struct

from tidegate.count.families import family, is_claude, is_newer_claude

Size = tuple[int, int]  # width, height

SEGMENTS: Final = 1000  # of a JPEG before its size: real ones have some twenty
START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
STANDALONE: Final = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length
HAIR: Final = 1e-9  # by which floats miss whole numbers


class Tiles(Struct, frozen=True):
    """A base, and so much for each tile of 512 x 512."""

    base: int
    tile: int

    def tokens(self, size: Size | None, detail: str) -> int:
        if detail == "low":
            return self.base
        return self.base + self.tile * (8 if size is None else self._tiles(*size))

    def _tiles(self, width: int, height: int) -> int:
        scale = min(Fraction(1), Fraction(2048, max(width, height)), Fraction(768, min(width, height)))
        return ceil(width * scale / 512) * ceil(height * scale / 512)


class Patches(Struct, frozen=True):
    """So many hundredths of a token for each patch of 32 x 32, up to a budget of them."""

    percent: int
    high: int = 1536  # the budget
    auto: int = 1536  # that of `detail` = `auto`
    original: int = 1536  # that of `detail` = `original`

    def tokens(self, size: Size | None, detail: str) -> int:
        budget = {"low": 256, "auto": self.auto, "original": self.original}.get(detail, self.high)
        patches = budget if size is None else _patches(*size, budget)
        return -(-patches * self.percent // 100)


def _patches(width: int, height: int, budget: int) -> int:
    """The patches of an image that is shrunk until they are within the budget, and whole along one side."""
    across, down = width / 32, height / 32
    if ceil(across) * ceil(down) <= budget:
        return ceil(across) * ceil(down)
    shrink = sqrt(budget / (across * down))
    across, down = across * shrink, down * shrink
    whole = min(floor(across) / across, floor(down) / down)
    if not whole:  # so long and thin that no patch is whole
        return budget
    return min(budget, ceil(across * whole - HAIR) * ceil(down * whole - HAIR))


class Grid(Struct, frozen=True):
    """A token for each patch of 28 x 28; an image with too many is shrunk until it fits, and so has about `most`."""

    longest: int
    most: int

    def tokens(self, size: Size | None, detail: str) -> int:
        if size is None:
            return self.most
        scale = min(Fraction(1), Fraction(self.longest, max(size)))
        return min(self.most, ceil(size[0] * scale / 28) * ceil(size[1] * scale / 28))


Formula = Tiles | Patches | Grid

CLAUDE: Final = Grid(1568, 1568)
NEWER_CLAUDE: Final = Grid(2576, 4784)
UNKNOWN: Final = NEWER_CLAUDE  # nobody's formula: the model's own is not known
_FORMULAS: Final[tuple[tuple[str, Formula], ...]] = (  # the first that fits counts
    (r"o4-mini|codex-mini", Patches(172)),
    (r"gpt-4\.1-mini|gpt-5(?:\.\d+)?(?:-codex)?-mini", Patches(162)),
    (r"gpt-4\.1-nano|gpt-5(?:\.\d+)?-nano", Patches(246)),
    (r"gpt-5(?:\.1)?", Tiles(70, 140)),
    (r"gpt-5\.[23]", Patches(120)),
    (r"gpt-5\.4", Patches(120, high=2500, auto=2500, original=10_000)),
    (r"gpt-5\.\d+", Patches(120, high=2500, auto=10_000, original=10_000)),
    (r"gpt-4o-mini", Tiles(2833, 5667)),
    (r"(?:chatgpt-|gpt-)4o|gpt-4(?:\.[15])?", Tiles(85, 170)),
    (r"o1|o3", Tiles(75, 150)),
    (r"computer-use-preview", Tiles(65, 129)),
)
_KNOWN: Final = [(family(names), formula) for names, formula in _FORMULAS]


@lru_cache(maxsize=1024)
def formula(model: str) -> Formula:
    """How the model's images are counted."""
    if is_claude(model):
        return NEWER_CLAUDE if is_newer_claude(model) else CLAUDE
    return next((formula for names, formula in _KNOWN if names.match(model)), UNKNOWN)


def image_tokens(model: str, size: Size | None, detail: str = "auto") -> int:
    """The tokens of an image; without a size those of the largest."""
    return formula(model).tokens(size, detail)


def size(encoded: str) -> Size | None:
    """The width and height of an image in base64, or in a `data:` URL; None where they cannot be read."""
    if encoded.startswith("data:"):
        head, _, encoded = encoded.partition(",")
        if not head.endswith(";base64"):
            return None
    image = _Header(encoded)
    try:
        found = _size(image)
    except (Base64Error, ValueError, IndexError):
        return None
    return found if found is not None and min(found) > 0 else None


class _Header:
    """The bytes of an image in base64, decoded where they are asked for."""

    def __init__(self, encoded: str) -> None:
        self._encoded = encoded

    def at(self, offset: int, length: int) -> bytes:
        """So many bytes; IndexError where there are not so many."""
        first = offset // 3
        quads = self._encoded[first * 4 : -(-(offset + length) // 3) * 4]
        start = offset - first * 3
        found = a2b_base64(quads + "=" * (-len(quads) % 4), strict_mode=True)[start : start + length]
        if len(found) < length:
            raise IndexError
        return found

    def number(self, offset: int, length: int, order: Literal["big", "little"] = "big") -> int:
        return int.from_bytes(self.at(offset, length), order)


def _size(image: _Header) -> Size | None:
    start = image.at(0, 10)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return (image.number(16, 4), image.number(20, 4)) if image.at(12, 4) == b"IHDR" else None
    if start.startswith((b"GIF87a", b"GIF89a")):
        return image.number(6, 2, "little"), image.number(8, 2, "little")
    if start.startswith(b"\xff\xd8\xff"):
        return _jpeg(image)
    if start.startswith(b"RIFF") and image.at(8, 4) == b"WEBP":
        return _webp(image)
    return None


def _jpeg(image: _Header) -> Size | None:
    """The size stands in the segment that starts the frame; those before it are passed over unread."""
    offset = 2
    for _ in range(SEGMENTS):
        filler, marker = image.at(offset, 2)
        if filler != 0xFF:
            return None
        if marker == 0xFF:  # any number of these may stand before a marker
            offset += 1
        elif marker in STANDALONE:
            offset += 2
        elif marker in START_OF_FRAME:
            return image.number(offset + 7, 2), image.number(offset + 5, 2)
        else:
            offset += 2 + image.number(offset + 2, 2)
    return None


def _webp(image: _Header) -> Size | None:
    chunk = image.at(12, 4)
    if chunk == b"VP8X":
        return image.number(24, 3, "little") + 1, image.number(27, 3, "little") + 1
    if chunk == b"VP8 " and image.at(23, 3) == b"\x9d\x01\x2a":
        return image.number(26, 2, "little") & 0x3FFF, image.number(28, 2, "little") & 0x3FFF
    if chunk == b"VP8L" and image.at(20, 1) == b"\x2f":
        bits = image.number(21, 4, "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None
