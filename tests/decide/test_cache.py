"""Compiled bundles on disk: what was put is there, and nothing else ever counts."""

import os
from pathlib import Path

import pytest

from tidegate.decide import cache
from tidegate.decide.cache import Cache


@pytest.fixture
def kept(tmp_path: Path) -> Cache:
    made = Cache(tmp_path / "a" / "compiled")
    made.put("key", b"content")
    return made


def test_what_was_put_is_there(kept: Cache) -> None:
    assert kept.get("key") == b"content"
    assert kept.get("other") is None
    kept.put("key", b"another")
    assert Cache(kept.folder).get("key") == b"another"
    assert sorted(os.listdir(kept.folder)) == ["key"]


def test_it_is_closed_to_others(kept: Cache) -> None:
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert (kept.folder / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("at", [0, 31, 32, -1])
def test_a_changed_file_counts_as_absent(kept: Cache, at: int) -> None:
    written = bytearray((kept.folder / "key").read_bytes())
    written[at] ^= 1
    (kept.folder / "key").write_bytes(written)
    assert kept.get("key") is None


@pytest.mark.parametrize("size", [0, 10, 32, 38])
def test_a_cut_file_counts_as_absent(kept: Cache, size: int) -> None:
    os.truncate(kept.folder / "key", size)
    assert kept.get("key") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602, 0o620])
def test_a_file_that_others_reach_counts_as_absent(kept: Cache, mode: int) -> None:
    (kept.folder / "key").chmod(mode)
    assert kept.get("key") is None


@pytest.mark.parametrize("mode", [0o755, 0o701, 0o770])
def test_a_folder_that_others_reach_is_not_used(kept: Cache, mode: int) -> None:
    kept.folder.chmod(mode)
    assert kept.get("key") is None
    kept.put("more", b"content")
    assert sorted(os.listdir(kept.folder)) == ["key"]


def test_links_are_not_followed(kept: Cache, tmp_path: Path) -> None:
    (kept.folder / "key").rename(tmp_path / "elsewhere")
    (kept.folder / "key").symlink_to(tmp_path / "elsewhere")
    assert kept.get("key") is None
    (tmp_path / "link").symlink_to(kept.folder)
    kept.put("more", b"content")
    assert Cache(tmp_path / "link").get("more") is None


def test_what_is_no_file_is_not_waited_for(kept: Cache) -> None:
    (kept.folder / "key").unlink()
    os.mkfifo(kept.folder / "key", 0o600)
    assert kept.get("key") is None


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    unusable = Cache(tmp_path / "file" / "compiled")
    unusable.put("key", b"content")
    assert unusable.get("key") is None


def test_the_oldest_are_forgotten(kept: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT", 2)
    for age, name in enumerate(("new", "newer")):
        os.utime(kept.folder / "key", (age, age))
        kept.put(name, b"content")
    assert kept.get("key") is None
    assert kept.get("newer") == b"content"
