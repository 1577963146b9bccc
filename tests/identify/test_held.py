"""The keys in force in a process: what was announced holds for the next call, and what cannot be read holds nothing."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.identify.making import id_of, make, now, revoke, rotate
from tidegate.clock import Clock
from tidegate.errors import KeyInvalid, KeyRevoked, KeysError, KeysUnreadable
from tidegate.identify.caller import prove
from tidegate.identify.held import Keys
from tidegate.identify.keyfile import Word, changing
from tidegate.identify.keys import Made


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def keys(tmp_path: Path, said: list[str]) -> Keys:
    return Keys(tmp_path, said.append)


def good(keys: Keys, text: str) -> bool:
    try:
        return prove(text.encode(), keys).made.id == id_of(text)
    except (KeyInvalid, KeyRevoked):
        return False


def test_every_change_holds_for_the_next_call(tmp_path: Path, keys: Keys) -> None:
    for _ in range(3):
        first = make(tmp_path)
        assert good(keys, first)
        second = rotate(tmp_path, first, 60)
        assert good(keys, first)
        assert good(keys, second)
        revoke(tmp_path, first)
        assert not good(keys, first)
        assert not good(keys, second)


def test_a_key_that_is_in_force_stays_as_it_is_for_who_has_it(tmp_path: Path, keys: Keys) -> None:
    """A call that began with one state of the keys never sees another."""
    text = make(tmp_path)
    began = prove(text.encode(), keys)
    revoke(tmp_path, text)
    assert not good(keys, text)
    assert not began.revoked


def test_a_change_costs_what_it_says_however_many_keys_there_are(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with changing(tmp_path) as file:
        digest = file.digest("x")
        file.append([Made(f"tg_{number:012d}", digest, now(), "acme") for number in range(5000)])
    keys.refresh()
    read: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: (read.append(args[1]), pread(*args))[1])
    revoke(tmp_path, "tg_000000000042")
    keys.refresh()
    assert sum(read) < 100
    assert len(keys.keys) == 5000
    assert keys.keys[b"tg_000000000042"].revoked


def test_children_of_a_fork_see_what_happens_after_it(tmp_path: Path, keys: Keys) -> None:
    text = make(tmp_path)
    assert good(keys, text)
    there, ours = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.read(there[0], 1)
        os.write(ours[1], b"1" if good(keys, text) else b"0")
        os._exit(0)
    revoke(tmp_path, text)
    os.write(there[1], b"x")
    assert os.read(ours[0], 1) == b"0"
    os.waitpid(child, 0)
    for end in (*there, *ours):
        os.close(end)


# what cannot be read


def test_an_announced_change_that_cannot_be_read_takes_every_key_away(
    tmp_path: Path, keys: Keys, said: list[str]
) -> None:
    text = make(tmp_path)
    assert good(keys, text)
    path = tmp_path / "keys.jsonl"
    aside = tmp_path / "aside"
    revoke(tmp_path, make(tmp_path))
    path.rename(aside)
    for _ in range(3):
        with pytest.raises(KeysUnreadable) as refused:
            good(keys, text)
        assert (refused.value.status, refused.value.side) == (503, "ours")
    assert len(said) == 1
    assert "no virtual key is taken" in said[0]
    aside.rename(path)
    assert keys.check(0)
    assert good(keys, text)


def test_an_announced_line_that_makes_no_sense_takes_every_key_away(
    tmp_path: Path, keys: Keys, said: list[str]
) -> None:
    text = make(tmp_path)
    assert good(keys, text)
    path = tmp_path / "keys.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event":"banned","id":"' + id_of(text).encode() + b'"}\n')
    Word(tmp_path).announce(path.stat().st_size)
    with pytest.raises(KeysUnreadable):
        good(keys, text)
    keys.check(0)
    keys.check(0)
    assert len(said) == 1
    path.write_bytes(whole)
    Word(tmp_path).announce(len(whole))
    assert good(keys, text)


def test_lines_before_one_that_makes_no_sense_are_not_read_twice(tmp_path: Path, keys: Keys) -> None:
    """The file is put right where it stands: the good line in front of the bad one was in force already."""
    text = make(tmp_path)
    assert good(keys, text)
    path = tmp_path / "keys.jsonl"
    revoke(tmp_path, text)
    whole = path.read_bytes()
    path.write_bytes(whole + b"nonsense\n")
    Word(tmp_path).announce(len(whole))
    with pytest.raises(KeysUnreadable):
        good(keys, text)
    path.write_bytes(whole)
    keys.check(0)
    assert not good(keys, text)
    assert not keys.failed


def test_what_was_not_announced_and_makes_no_sense_leaves_the_last_good_keys(
    tmp_path: Path, keys: Keys, said: list[str]
) -> None:
    text = make(tmp_path)
    assert good(keys, text)
    path = tmp_path / "keys.jsonl"
    whole = path.read_bytes()
    for broken in (whole + b"nonsense\n", b"", b"nonsense\n"):
        path.write_bytes(broken)
        keys.check(0)
        keys.check(0)
        assert good(keys, text)
    assert [each.endswith("the keys that were read last stay in force") for each in said] == [True] * 3
    path.write_bytes(whole)
    keys.check(0)
    revoke(tmp_path, text)
    assert not good(keys, text)


def test_a_change_that_nobody_announced_is_seen_within_a_second(tmp_path: Path, keys: Keys, said: list[str]) -> None:
    """Its command was killed between the file and the word."""
    text = make(tmp_path)
    assert good(keys, text)
    before = Word(tmp_path).words[0]
    revoke(tmp_path, text)
    Word(tmp_path).words[0] = before

    async def follow() -> bool:
        clock = Clock(asyncio.get_running_loop())
        keys.follow(clock, said.append)
        for _ in range(30):
            await asyncio.sleep(0.1)
            if not good(keys, text):
                break
        clock.stop()
        return good(keys, text)

    assert not asyncio.run(follow())
    assert not said


def test_another_file_in_its_place_is_read_as_a_whole(tmp_path: Path, keys: Keys) -> None:
    text = make(tmp_path)
    assert good(keys, text)
    path = tmp_path / "keys.jsonl"
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    copy.rename(path)
    other = make(tmp_path)
    assert good(keys, text)
    assert good(keys, other)


def test_a_gateway_does_not_start_with_keys_that_cannot_be_read(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "keys.pepper").unlink()
    with pytest.raises(KeysError, match="it is missing"):
        Keys(tmp_path, print)


def test_a_hundred_thousand_keys(tmp_path: Path, keys: Keys) -> None:
    with changing(tmp_path) as file:
        digest = file.digest("x")
        file.append([Made(f"tg_{number:012d}", digest, now(), "acme", f"app {number}") for number in range(100_000)])
    text = make(tmp_path)
    assert good(keys, text)
    assert len(keys.keys) == 100_001
    revoke(tmp_path, text)
    assert not good(keys, text)
