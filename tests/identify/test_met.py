"""What is remembered of a connection's last call says nothing that a connection without a past would not be told."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.identify.making import make, now, revoke, rotate
from tests.identify.test_caller import CLOSED, MESSAGES, OPEN, call
from tidegate.errors import KeyExpired, KeyInvalid, KeyRevoked, KeysUnreadable, TidegateError
from tidegate.identify import caller as step
from tidegate.identify.caller import Met, identify
from tidegate.identify.held import Keys
from tidegate.identify.keyfile import Word
from tidegate.model import Call
from tidegate.settings import Identify


def told(call: Call, keys: Keys, settings: Identify = CLOSED, met: Met | None = None) -> dict[str, Any] | str:
    """The caller's fields, or the words of the refusal."""
    try:
        return msgspec.structs.asdict(identify(call, "10.0.0.1", keys, settings, met))
    except TidegateError as error:
        return f"{error.code}: {error.message}"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path, print)


def counting(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for every key that is looked up to be hashed; a key that is only compared makes none."""
    work: list[str] = []

    def compared(one: bytes, other: bytes, compare: Any = step.compare_digest) -> bool:
        work.append("hashed" if len(one) == 32 else "compared")
        return bool(compare(one, other))

    monkeypatch.setattr(step, "compare_digest", compared)
    return work


def test_the_same_head_has_the_same_caller_and_nothing_is_compared(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers, met = {b"authorization": b"Bearer " + make(tmp_path).encode()}, Met()
    first = identify(call(headers), None, keys, CLOSED, met)
    met.known = "its pseudonyms"
    work = counting(keys, monkeypatch)
    assert identify(call(headers), None, keys, CLOSED, met) is first
    assert met.known == "its pseudonyms"
    assert not work


def test_the_same_key_in_another_head_is_compared_and_not_hashed(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers, met = {b"authorization": b"Bearer " + make(tmp_path).encode()}, Met()
    first = identify(call(headers), None, keys, CLOSED, met)
    work = counting(keys, monkeypatch)
    assert identify(call(dict(headers)), None, keys, CLOSED, met) is first
    other = identify(call(headers | {b"x-session-id": b"s"}), None, keys, CLOSED, met)
    assert other.session == "s"
    assert met.known is None
    assert work == ["compared"] * 2


@pytest.mark.parametrize("same_head", [True, False])
def test_what_happens_to_a_key_holds_for_the_next_call(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch, same_head: bool
) -> None:
    def headers(text: str, known: dict[str, dict[bytes, bytes]] = {}) -> dict[bytes, bytes]:
        made = {b"x-tidegate-key": text.encode()}
        return known.setdefault(text, made) if same_head else made

    met = Met()

    def ask(text: str) -> str:
        return identify(call(headers(text)), None, keys, CLOSED, met).tenant

    first = make(tmp_path, expires=now() + 100)
    assert ask(first) == ask(first) == "acme"
    second = rotate(tmp_path, first, 50)
    assert ask(first) == ask(second) == ask(first) == "acme"
    monkeypatch.setattr(step, "time", lambda: now() + 60.0)
    with pytest.raises(KeyExpired, match="was rotated"):
        ask(first)
    assert ask(second) == "acme"
    with pytest.raises(KeyExpired, match="was rotated"):
        ask(first)
    monkeypatch.undo()
    assert ask(second) == "acme"
    revoke(tmp_path, second)
    for _ in range(2):
        with pytest.raises(KeyRevoked):
            ask(second)
    third = make(tmp_path, expires=now() + 100)
    assert ask(third) == "acme"
    monkeypatch.setattr(step, "time", lambda: now() + 101.0)
    for _ in range(2):
        with pytest.raises(KeyExpired, match="has expired"):
            ask(third)


def test_keys_that_cannot_be_read_prove_nothing(tmp_path: Path, keys: Keys) -> None:
    headers, met = {b"x-tidegate-key": make(tmp_path).encode()}, Met()
    assert identify(call(headers), None, keys, CLOSED, met).tenant == "acme"
    file = tmp_path / "keys.jsonl"
    file.rename(tmp_path / "aside")
    Word(tmp_path).announce(file.with_name("aside").stat().st_size)
    for asked in (headers, dict(headers)):
        with pytest.raises(KeysUnreadable):
            identify(call(asked), None, keys, CLOSED, met)


def test_a_change_without_an_announcement_ends_what_is_remembered(tmp_path: Path, keys: Keys) -> None:
    """A command that was killed before it: the look once a second finds it."""
    text = make(tmp_path)
    headers, met = {b"x-tidegate-key": text.encode()}, Met()
    identify(call(headers), None, keys, CLOSED, met)
    before = Word(tmp_path).words[0]
    revoke(tmp_path, text)
    Word(tmp_path).words[0] = before
    assert keys.check(0.0)
    with pytest.raises(KeyRevoked):
        identify(call(headers), None, keys, CLOSED, met)


def test_a_wrong_key_after_a_right_one_is_wrong(tmp_path: Path, keys: Keys) -> None:
    text, met = make(tmp_path).encode(), Met()
    identify(call({b"x-tidegate-key": text}), None, keys, CLOSED, met)
    for at in range(len(text)):
        wrong = text[:at] + (b"a" if text[at : at + 1] != b"a" else b"b") + text[at + 1 :]
        with pytest.raises(KeyInvalid):
            identify(call({b"x-tidegate-key": wrong}), None, keys, CLOSED, met)
    assert identify(call({b"x-tidegate-key": text}), None, keys, CLOSED, met).tenant == "acme"


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 7),  # which head
        st.sampled_from([None, "", "ann", "bob", "u" * 300]),  # whom the body names
        st.sampled_from([CLOSED, OPEN]),
        st.sampled_from(["", "", "", "revoke", "rotate", "make", "again"]),  # what happened before
    ),
    min_size=1,
    max_size=12,
)


@given(EVENTS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_call_is_told_what_a_new_connection_is_told(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[int, str | None, Identify, str]]
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    first, second = make(folder), make(folder, "other", user="eve", tags=("t=1",))
    keys, met = Keys(folder, print), Met()
    heads: list[dict[bytes, bytes]] = [
        {b"authorization": b"Bearer " + first.encode()},
        {b"authorization": b"Bearer " + second.encode()},
        {b"x-tidegate-key": first.encode(), b"authorization": b"Bearer sk-own"},
        {b"authorization": b"Bearer " + first.encode(), b"x-session-id": b"s", b"x-tidegate-tags": b"a,b"},
        {b"authorization": b"Bearer " + first.encode(), b"x-tidegate-user": b"cat"},
        {b"authorization": b"Bearer " + first[:-1].encode() + b"_"},
        {b"authorization": b"Bearer sk-own"},
        {},
    ]
    for number, user, open_, happens in events:
        if happens == "revoke":
            revoke_if_made(folder, second)
        elif happens == "rotate":
            heads[0] = {b"authorization": b"Bearer " + rotate(folder, first, 60).encode()}
        elif happens == "make":
            make(folder)
        elif happens == "again":
            heads = [dict(head) for head in heads]
        body = {} if user is None else {"user": user}
        asked = call(heads[number], **body)
        assert told(asked, keys, open_, met) == told(asked, keys, open_)


def revoke_if_made(folder: Path, text: str) -> None:
    try:
        revoke(folder, text)
    except TidegateError:
        pass  # it was revoked before


def test_another_route_with_the_same_head_is_another_call(tmp_path: Path, keys: Keys) -> None:
    """Where a dialect's clients put their key is its own."""
    headers, met = {b"x-api-key": make(tmp_path).encode()}, Met()
    identify(call(headers, MESSAGES), None, keys, CLOSED, met)
    assert told(call(headers), keys, CLOSED, met) == told(call(headers), keys, CLOSED)
