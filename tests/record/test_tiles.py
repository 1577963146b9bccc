"""Paths of tiles, bundles of entries, and how both are read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.record.logs import entries, make
from tidegate.record._hashes import root_hash
from tidegate.record.merkle import leaf_hash
from tidegate.record.tiles import (
    TileError,
    decode_bundle,
    encode_bundle,
    parse_tile_path,
    read_bundle,
    read_tile,
    tile_nodes,
    tile_path,
    tile_width,
)

PATHS = [  # the paths of C2SP tlog-tiles' own examples, and those around them
    (0, 0, 256, "tile/0/000"),
    (0, 999, 256, "tile/0/999"),
    (0, 1000, 256, "tile/0/x001/000"),
    (0, 1234067, 256, "tile/0/x001/x234/067"),
    (1, 17, 1, "tile/1/017.p/1"),
    (63, 5, 255, "tile/63/005.p/255"),
    ("entries", 273, 112, "tile/entries/273.p/112"),
    ("entries", 123456789, 256, "tile/entries/x123/x456/789"),
]


@pytest.mark.parametrize(("level", "index", "width", "path"), PATHS)
def test_paths_are_those_of_the_specification(level: int, index: int, width: int, path: str) -> None:
    assert tile_path(level, index, width) == path
    assert parse_tile_path(path) == (level, index, width)


@given(st.sampled_from(["entries", *range(64)]), st.integers(0, 2**63), st.integers(1, 256))
def test_every_path_leads_back(level: int, index: int, width: int) -> None:
    assert parse_tile_path(tile_path(level, index, width)) == (level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/x/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x1/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/999",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/../000",
        "tile/0/٠٠٠",
        "tile/data/000",
        "tile/entries/000\n",
    ],
)
def test_what_is_not_the_path_of_a_tile_is_refused(path: str) -> None:
    with pytest.raises(TileError):
        parse_tile_path(path)


def test_the_widths_of_the_specification_s_example() -> None:
    assert [tile_width(0, index, 70_000) for index in (0, 272, 273, 274)] == [256, 256, 112, 0]
    assert [tile_width(1, index, 70_000) for index in (0, 1, 2)] == [256, 17, 0]
    assert [tile_width(2, index, 70_000) for index in (0, 1)] == [1, 0]
    assert tile_width("entries", 273, 70_000) == 112


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundles_lead_back(found: list[bytes]) -> None:
    bundle = encode_bundle(found)
    assert decode_bundle("x", bundle) == found
    assert len(bundle) == sum(2 + len(entry) for entry in found)


def test_the_length_of_an_entry_is_two_bytes_the_higher_first() -> None:
    assert encode_bundle([b"ab", b"", b"c" * 258]) == b"\x00\x02ab\x00\x00\x01\x02" + b"c" * 258


def test_a_bundle_that_ends_within_an_entry_is_refused_wherever_it_is_cut() -> None:
    bundle = encode_bundle([b"one", b"", b"x" * 300])
    whole = {0, 5, 7, len(bundle)}
    for cut in range(len(bundle)):
        if cut not in whole:
            with pytest.raises(TileError, match="ends within entry"):
                decode_bundle("x", bundle[:cut])


def test_tiles_and_bundles_are_read_whole_in_part_and_by_their_successors(tmp_path: Path) -> None:
    place = make(tmp_path, [300, 700])
    hashes = [leaf_hash(entry) for entry in entries(0, 700)]
    assert read_tile(place.log, 0, 0) == hashes[:256]
    assert read_tile(place.log, 0, 2, 188) == hashes[512:]
    assert read_tile(place.log, 1, 0, 2) == [root_hash(hashes[:256]), root_hash(hashes[256:512])]
    assert read_tile(place.log, 0, 1, 44) == hashes[256:300], "the partial tile is gone, the full one has it"
    assert read_bundle(place.log, 2, 188) == entries(512, 700)
    assert read_bundle(place.log, 1, 44) == entries(256, 300)


@pytest.mark.parametrize(
    ("path", "content", "what"),
    [
        ("tile/0/000", None, "is missing"),
        ("tile/0/000", b"", "has 0 bytes instead of 8192"),
        ("tile/0/000", b"x" * 8191, "has 8191 bytes instead of 8192"),
        ("tile/0/000", b"x" * 8193, "has 8193 bytes instead of 8192"),
    ],
)
def test_tiles_that_are_missing_or_of_a_wrong_length_are_refused(
    tmp_path: Path, path: str, content: bytes | None, what: str
) -> None:
    place = make(tmp_path, [300])
    (place.log / path).unlink()
    if content is not None:
        (place.log / path).write_bytes(content)
    with pytest.raises(TileError, match=what) as error:
        read_tile(place.log, 0, 0)
    assert error.value.path == path


def test_a_bundle_with_entries_too_many_or_too_few_is_refused(tmp_path: Path) -> None:
    place = make(tmp_path, [300])
    file = place.log / "tile/entries/001.p/44"
    for count in (0, 43, 45):
        file.write_bytes(encode_bundle(entries(256, 256 + count)))
        with pytest.raises(TileError, match=f"holds {count} entries instead of 44"):
            read_bundle(place.log, 1, 44)


def test_the_hash_of_any_full_subtree_is_read_from_tiles(tmp_path: Path) -> None:
    size = 1100
    place = make(tmp_path, [size])
    node = tile_nodes(place.log, size)
    hashes = [leaf_hash(entry) for entry in entries(0, size)]
    for level in range(11):
        for index in range(size >> level):
            assert node(level, index) == root_hash(hashes[index << level : (index + 1) << level])
        with pytest.raises(ValueError, match="not full"):
            node(level, size >> level)
