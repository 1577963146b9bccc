"""Images are counted by their headers alone, by each model's published formula; one that is unknown is the largest."""

import struct
from base64 import b64encode
from math import ceil, floor, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.count import images
from tidegate.count.images import image_tokens, size

UNTIMED = settings(deadline=None)  # the machine may be busy


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x06\x00\x00\x00crc!"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\x00\x00"


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def frame(width: int, height: int, marker: int = 0xC0) -> bytes:
    return segment(marker, struct.pack(">BHHB", 8, height, width, 3) + bytes(9))


def jpeg(width: int, height: int) -> bytes:
    return b"\xff\xd8" + segment(0xE0, b"JFIF\x00") + frame(width, height)


def photograph(width: int, height: int) -> bytes:
    """With a thumbnail inside, large profiles, tables, fillers, and a progressive frame."""
    before = segment(0xE1, b"Exif\x00\x00" + jpeg(160, 120)) + 4 * segment(0xE2, bytes(65_533))
    return b"\xff\xd8" + before + segment(0xC4, bytes(200)) + b"\xff\xff" + frame(width, height, 0xC2) + b"\xff\xd9"


def riff(chunk: bytes, content: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(content) + 12) + b"WEBP" + chunk + struct.pack("<I", len(content)) + content


def webp(width: int, height: int) -> bytes:
    return riff(b"VP8 ", b"\x30\x01\x00\x9d\x01\x2a" + struct.pack("<HH", width, height))


def webp_lossless(width: int, height: int) -> bytes:
    return riff(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def webp_extended(width: int, height: int) -> bytes:
    return riff(b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


FORMATS = [png, gif, jpeg, photograph, webp, webp_lossless, webp_extended]


def encoded(image: bytes) -> str:
    return b64encode(image).decode()


@pytest.mark.parametrize("made", FORMATS)
@UNTIMED
@given(st.integers(1, 16_383), st.integers(1, 16_383), st.binary(max_size=5))
def test_the_size_stands_in_the_header(made: object, width: int, height: int, rest: bytes) -> None:
    image = encoded(made(width, height) + rest)  # type: ignore[operator]
    assert size(image) == (width, height)
    assert size(f"data:image/any;base64,{image}") == (width, height)
    assert size(image.rstrip("=")) == (width, height)


@pytest.mark.parametrize("made", FORMATS)
def test_nothing_behind_the_header_is_looked_at(made: object) -> None:
    image = made(640, 480) + b"xx"  # type: ignore[operator]
    image = encoded(image[: len(image) // 3 * 3])
    assert size(image + "?" * 1_000_000) == (640, 480)


@pytest.mark.parametrize("made", FORMATS)
def test_a_header_that_is_cut_short_has_no_size(made: object) -> None:
    image = made(640, 480)  # type: ignore[operator]
    ends = {size(encoded(image[:length])) for length in (*range(40), len(image) // 2)}
    assert ends <= {None, (640, 480)}
    assert size(encoded(image[:9])) is None


UNREADABLE = [
    ("nothing", ""),
    ("no base64", "!!!!" * 10),
    ("text", encoded(b"hello there, this is no image at all")),
    ("a width of nothing", encoded(png(0, 10))),
    ("a vector image", "data:image/svg+xml;utf8,<svg/>"),
    ("a vector image in base64", encoded(b"<svg width='10' height='10'></svg>")),
    ("an address", "https://example.com/image.png"),
    ("another first chunk", encoded(png(5, 5).replace(b"IHDR", b"CgBI"))),
    ("lines", encoded(png(5, 5))[:8] + "\n" + encoded(png(5, 5))[8:]),
    ("a JPEG without a frame", encoded(b"\xff\xd8" + segment(0xE0, bytes(10)) + b"\xff\xd9" + bytes(20))),
    ("a JPEG that loses its way", encoded(b"\xff\xd8" + segment(0xE0, bytes(10)) + bytes(20) + frame(5, 5))),
    ("a JPEG of segments without end", encoded(b"\xff\xd8" + segment(0xE0, b"") * 5000 + frame(5, 5))),
    ("a JPEG of fillers without end", encoded(b"\xff\xd8" + b"\xff" * 50_000 + frame(5, 5))),
    ("no WebP that anybody knows", encoded(riff(b"VP9 ", bytes(20)))),
    ("a WebP without its signature", encoded(riff(b"VP8 ", bytes(20)))),
]


@pytest.mark.parametrize(("note", "image"), UNREADABLE, ids=[note for note, _ in UNREADABLE])
def test_an_unreadable_image_has_no_size(note: str, image: str) -> None:
    assert size(image) is None


@UNTIMED
@given(st.binary(max_size=60), st.sampled_from([b"", *(made(640, 480)[:20] for made in FORMATS)]))
def test_any_bytes_are_an_image_or_none(rest: bytes, start: bytes) -> None:
    found = size(encoded(start + rest))
    assert found is None or min(found) > 0


# `note` has where the number is from
COUNTS = [
    ("OpenAI's guide", "gpt-4o", (1024, 1024), "high", 765),
    ("OpenAI's guide", "gpt-4o", (2048, 4096), "high", 1105),
    ("OpenAI's guide", "gpt-4o", (4096, 8192), "low", 85),
    ("one tile", "gpt-4o", (512, 512), "high", 255),
    ("auto is high", "gpt-4o", (1024, 1024), "auto", 765),
    ("a word nobody knows is high", "gpt-4o", (1024, 1024), "ultra", 765),
    ("OpenAI's guide, times its base", "gpt-4o-mini", (1024, 1024), "high", 2833 + 4 * 5667),
    ("the same family", "gpt-4.1", (1024, 1024), "high", 765),
    ("o1 and o3", "o3-2025-04-16", (1024, 1024), "high", 75 + 4 * 150),
    ("gpt-5", "gpt-5", (1024, 1024), "high", 70 + 4 * 140),
    ("gpt-5.1 sees as gpt-5", "gpt-5.1", (1024, 1024), "high", 70 + 4 * 140),
    ("computer use", "computer-use-preview", (1024, 1024), "high", 65 + 4 * 129),
    ("OpenAI's guide: 1024 patches", "gpt-4.1-mini", (1024, 1024), "high", 1659),
    ("OpenAI's guide: shrunk to 1452 patches", "o4-mini", (1800, 2400), "high", 2498),
    ("nano", "gpt-5-nano", (1024, 1024), "high", 2520),
    ("codex mini", "gpt-5.1-codex-mini", (1024, 1024), "high", 1659),
    ("low is 512 by 512", "gpt-5-mini", (4000, 4000), "low", 415),
    ("measured by others", "gpt-5.5", (256, 256), "auto", 77),
    ("measured by others", "gpt-5.5", (512, 512), "auto", 308),
    ("measured by others", "gpt-5.5", (1280, 720), "auto", 1104),
    ("measured by others", "gpt-5.5", (1920, 1080), "auto", 2448),
    ("measured by others", "gpt-5.5", (3840, 2160), "auto", 9792),
    ("measured by others", "gpt-5.5", (4032, 3024), "auto", 11_868),
    ("measured by others", "gpt-5.5", (2560, 1440), "high", 2931),
    ("measured by others", "gpt-5.5", (3840, 2160), "high", 2931),
    ("measured by others", "gpt-5.5", (4032, 3024), "high", 2942),
    ("auto is high here", "gpt-5.4", (3840, 2160), "auto", 2931),
    ("and original is more", "gpt-5.4", (3840, 2160), "original", 9792),
    ("long and thin", "gpt-5-mini", (60_000, 2), "high", ceil(1536 * 1.62)),
    ("Claude's formula", "claude-sonnet-4-5", (1024, 1024), "auto", 37 * 37),
    ("Claude's formula", "claude-sonnet-4-5", (1280, 720), "auto", 46 * 26),
    ("at most", "claude-sonnet-4-5", (3840, 2160), "auto", 1568),
    ("a later Claude sees more", "claude-opus-4-7", (1920, 1080), "auto", 69 * 39),
    ("at most", "anthropic.claude-opus-5-5-v1:0", (3840, 2160), "auto", 4784),
    ("an older name", "claude-3-5-sonnet@20240620", (3840, 2160), "auto", 1568),
    ("nobody's", "vision-9", (28, 28), "auto", 1),
    ("nobody's", "vision-9", (8000, 8000), "auto", 4784),
]


@pytest.mark.parametrize(("note", "model", "dimensions", "detail", "expected"), COUNTS)
def test_images_are_what_is_published(
    note: str, model: str, dimensions: tuple[int, int], detail: str, expected: int
) -> None:
    assert image_tokens(model, dimensions, detail) == expected


MODELS = sorted({model for _, model, *_ in COUNTS})
SIZES = st.tuples(st.integers(1, 20_000), st.integers(1, 20_000))


@pytest.mark.parametrize("model", MODELS)
@UNTIMED
@given(SIZES, st.sampled_from(["low", "high", "auto", "original"]))
def test_an_unknown_size_is_the_largest(model: str, dimensions: tuple[int, int], detail: str) -> None:
    assert 1 <= image_tokens(model, dimensions, detail) <= image_tokens(model, None, detail)


@UNTIMED
@given(SIZES)
def test_tiles_are_those_of_the_steps_in_the_guide(dimensions: tuple[int, int]) -> None:
    width, height = map(float, dimensions)
    if max(width, height) > 2048:
        width, height = width * 2048 / max(width, height), height * 2048 / max(width, height)
    if min(width, height) > 768:
        width, height = width * 768 / min(width, height), height * 768 / min(width, height)
    tiles = ceil(width / 512 - 1e-9) * ceil(height / 512 - 1e-9)
    assert image_tokens("gpt-4o", dimensions, "high") == 85 + 170 * tiles


@UNTIMED
@given(st.tuples(st.integers(200, 9000), st.integers(200, 9000)))
def test_patches_are_those_of_the_steps_in_the_guide(dimensions: tuple[int, int]) -> None:
    width, height = dimensions
    if ceil(width / 32) * ceil(height / 32) > 1536:
        r = sqrt(1536 * 32 * 32 / (width * height))
        r *= min(floor(width * r / 32) / (width * r / 32), floor(height * r / 32) / (height * r / 32))
        patches = ceil(width * r / 32 - 1e-9) * ceil(height * r / 32 - 1e-9)
        assert patches <= 1536
    else:
        patches = ceil(width / 32) * ceil(height / 32)
    assert image_tokens("gpt-4.1-mini", dimensions, "high") == -(-patches * 162 // 100)


def test_only_as_much_is_decoded_as_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = 0
    real = images.a2b_base64

    def watched(text: str, **how: bool) -> bytes:
        nonlocal decoded
        decoded += len(text)
        return real(text, **how)

    monkeypatch.setattr(images, "a2b_base64", watched)
    assert size(encoded(photograph(4000, 3000) + bytes(10_000_000))) == (4000, 3000)
    assert decoded < 200
