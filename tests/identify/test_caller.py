"""Whose call it is: every way to say it, and every way to get it wrong."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.identify.making import id_of, make, now, revoke, rotate
from tidegate.errors import BadField, CallerError, KeyExpired, KeyInvalid, KeyRevoked, Unauthenticated
from tidegate.identify import caller as step
from tidegate.identify import keyfile
from tidegate.identify.caller import identify
from tidegate.identify.held import Keys
from tidegate.identify.keys import new_id, new_key
from tidegate.model import Call, Caller
from tidegate.settings import Identify
from tidegate.wire import anthropic, openai
from tidegate.wire.reader import Reader

CHAT, MESSAGES, MODELS = openai.ROUTES[0], anthropic.ROUTES[0], openai.ROUTES[-1]
OWN = b"sk-own-canary"
OPEN, CLOSED = Identify(anonymous=True), Identify(anonymous=False)
RUN = b"0123456789abcdef0123456789"


def call(headers: dict[bytes, bytes], route: Any = CHAT, **body: Any) -> Call:
    if route.body is None:
        return Call(b"r" * 26, route, headers, b"", b"", None)
    octets = msgspec.json.encode({"model": "m", "messages": [], "max_tokens": 1, **body})
    return Call(b"r" * 26, route, headers, b"", octets, Reader(route.body, 8).read(octets))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path, print)


@pytest.fixture
def key(tmp_path: Path) -> bytes:
    said = {"user": "", "roles": ("ops", "dev"), "tags": ("team=x",), "integrations": ("main",)}
    return make(tmp_path, "acme", **said).encode()


def whose(keys: Keys, headers: dict[bytes, bytes], settings: Identify = CLOSED, **more: Any) -> Caller:
    return identify(call(headers, **more), "10.0.0.1", keys, settings)


def test_a_key_says_all_that_was_said_when_it_was_made(keys: Keys, key: bytes) -> None:
    assert whose(keys, {b"authorization": b"Bearer " + key}) == Same(
        tenant="acme",
        mode="key",
        key=id_of(key.decode()),
        user=None,
        roles=("ops", "dev"),
        ip="10.0.0.1",
        session=None,
        parent=None,
        tags=("team=x",),
        integrations=("main",),
    )


class Same:
    """Compares equal to what has these fields: a Caller compares by identity."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def __eq__(self, other: object) -> bool:
        return bool(msgspec.structs.asdict(other) == self.fields)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"Same({self.fields})"


OTHER = new_key(new_id()).encode()
PLACES = [
    ("OpenAI's field", CHAT, {b"authorization": b"Bearer KEY"}, "key"),
    ("Anthropic's field", MESSAGES, {b"x-api-key": b"KEY"}, "key"),
    ("Anthropic's token", MESSAGES, {b"authorization": b"Bearer KEY"}, "key"),
    ("a list of models", MODELS, {b"authorization": b"Bearer KEY"}, "key"),
    ("a field of our own", CHAT, {b"x-tidegate-key": b"KEY"}, "key"),
    ("beside an own key", CHAT, {b"x-tidegate-key": b"KEY", b"authorization": b"Bearer OWN"}, "byok"),
    ("beside an own key", MESSAGES, {b"x-tidegate-key": b"KEY", b"x-api-key": b"OWN"}, "byok"),
    ("beside a scheme alone", CHAT, {b"x-tidegate-key": b"KEY", b"authorization": b"Bearer"}, "key"),
    ("the same twice", CHAT, {b"x-tidegate-key": b"KEY", b"authorization": b"Bearer KEY"}, "key"),
    ("the same twice", MESSAGES, {b"x-api-key": b"KEY", b"authorization": b"Bearer KEY"}, "key"),
    ("the other dialect's field", CHAT, {b"x-api-key": b"KEY"}, None),
    ("another key in our field", CHAT, {b"x-tidegate-key": b"OTHER", b"authorization": b"Bearer KEY"}, None),
    ("two virtual keys", MESSAGES, {b"x-api-key": b"KEY", b"authorization": b"Bearer OTHER"}, None),
    ("an own key in the second", MESSAGES, {b"x-api-key": b"KEY", b"authorization": b"Bearer OWN"}, None),
    ("an own key in the first", MESSAGES, {b"x-api-key": b"OWN", b"authorization": b"Bearer KEY"}, None),
    ("an own key in our field", CHAT, {b"x-tidegate-key": b"OWN"}, None),
    ("a scheme in our field", CHAT, {b"x-tidegate-key": b"Bearer KEY"}, None),
    ("an empty field of ours", CHAT, {b"x-tidegate-key": b""}, None),
    ("nothing", CHAT, {}, None),
    ("an own key alone", CHAT, {b"authorization": b"Bearer OWN"}, None),
]


@pytest.mark.parametrize(("note", "route", "headers", "mode"), PLACES, ids=[case[0] for case in PLACES])
def test_where_a_key_may_stand(
    keys: Keys, key: bytes, note: str, route: Any, headers: dict[bytes, bytes], mode: str | None
) -> None:
    words = {b"KEY": key, b"OWN": OWN, b"OTHER": OTHER}
    for word, text in words.items():
        headers = {name: value.replace(word, text) for name, value in headers.items()}
    if mode is not None:
        found = whose(keys, headers, route=route)
        assert (found.mode, found.tenant) == (mode, "acme"), note
        return
    with pytest.raises(Unauthenticated) as refused:
        whose(keys, headers, route=route)
    said = str(refused.value) + repr(refused.value)
    assert not [secret for secret in (OWN, key[16:], OTHER[16:]) if secret.decode() in said], note


def test_without_a_key_a_caller_is_nobody_where_that_is_allowed(keys: Keys) -> None:
    for headers, mode in (({}, "anonymous"), ({b"authorization": b"Bearer " + OWN}, "byok")):
        found = whose(keys, headers, OPEN)
        assert (found.tenant, found.mode, found.key, found.roles) == ("default", mode, None, ())
        with pytest.raises(Unauthenticated, match="needs a virtual key"):
            whose(keys, headers, CLOSED)


def test_a_wrong_key_makes_nobody_anonymous(keys: Keys) -> None:
    for value in (OTHER, b"tg_", b"tg_x", b'"' + OTHER + b'"'):
        with pytest.raises(KeyInvalid):
            whose(keys, {b"authorization": b"Bearer " + value}, OPEN)


# what is not good


def mistakes(key: bytes) -> list[tuple[str, bytes]]:
    flipped = b"A" if key[-1:] != b"A" else b"B"
    return [
        ("unknown id", OTHER),
        ("its id with another secret", key[:16] + OTHER[16:]),
        ("another id with its secret", OTHER[:16] + key[16:]),
        ("the last character", key[:-1] + flipped),
        ("too short", key[:-1]),
        ("too long", key + b"A"),
        ("the id alone", key[:15]),
        ("not ASCII", key[:-1] + b"\xff"),
        ("another separator", key[:15] + b"-" + key[16:]),
        ("the id of nobody", b"tg_" + b"0" * 12 + key[15:]),
    ]


def test_every_wrong_key_gets_the_same_words(keys: Keys, key: bytes) -> None:
    said = set()
    for note, wrong in mistakes(key):
        with pytest.raises(KeyInvalid) as refused:
            whose(keys, {b"x-tidegate-key": wrong})
        assert (refused.value.status, refused.value.side) == (401, "caller"), note
        said.add(refused.value.message)
    assert said == {"the key is not valid here"}


def test_an_unknown_and_a_wrong_key_cost_the_same_work(
    tmp_path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[str] = []

    def counted(pepper: bytes, make: Any = keyfile.digester) -> Any:
        digest = make(pepper)
        return lambda text: (work.append("digest"), digest(text))[1]

    def compared(one: bytes, other: bytes, compare: Any = step.compare_digest) -> bool:
        work.append("compare")
        return bool(compare(one, other))

    monkeypatch.setattr(keyfile, "digester", counted)
    monkeypatch.setattr(step, "compare_digest", compared)
    keys = Keys(tmp_path, print)
    for text in (OTHER, key[:16] + OTHER[16:], b"tg_" + b"0" * 12 + key[15:], key):
        work.clear()
        try:
            whose(keys, {b"x-tidegate-key": text})
        except KeyInvalid:
            pass
        assert work == ["digest", "compare", "compare"]


def test_who_has_the_secret_is_told_why_it_is_no_longer_good(keys: Keys, tmp_path: Path) -> None:
    ended, over = make(tmp_path).encode(), make(tmp_path, expires=now()).encode()
    lasting = make(tmp_path, expires=now() + 60).encode()
    revoke(tmp_path, ended.decode())
    assert whose(keys, {b"x-tidegate-key": lasting}).tenant == "acme"
    for key, kind, code in ((ended, KeyRevoked, "key_revoked"), (over, KeyExpired, "key_expired")):
        with pytest.raises(kind) as refused:
            whose(keys, {b"x-tidegate-key": key})
        assert (refused.value.code, refused.value.status) == (code, 401)
        assert key[:15].decode() in refused.value.message
        assert key[16:].decode() not in refused.value.message
        with pytest.raises(KeyInvalid):
            whose(keys, {b"x-tidegate-key": key[:16] + OTHER[16:]})


def test_two_secrets_are_good_for_the_overlap_and_never_three(keys: Keys, tmp_path: Path) -> None:
    first = make(tmp_path, user="ann")
    second = rotate(tmp_path, first, 60)
    for text in (first, second):
        found = whose(keys, {b"x-tidegate-key": text.encode()})
        assert (found.key, found.user) == (id_of(first), "ann")
    third = rotate(tmp_path, first, 60)
    with pytest.raises(KeyInvalid):
        whose(keys, {b"x-tidegate-key": first.encode()})
    assert whose(keys, {b"x-tidegate-key": second.encode()}).key == id_of(first)
    fourth = rotate(tmp_path, first, 0)
    with pytest.raises(KeyExpired, match="was rotated"):
        whose(keys, {b"x-tidegate-key": third.encode()})
    assert whose(keys, {b"x-tidegate-key": fourth.encode()}).key == id_of(first)


# what the client says


def test_what_a_client_may_say(keys: Keys, key: bytes) -> None:
    said = {
        b"x-tidegate-key": key,
        b"x-session-id": b"chat 7".replace(b" ", b"-"),
        b"x-tidegate-parent-run": RUN,
        b"x-tidegate-tags": b"a, b,a ,team=x",
        b"x-tidegate-user": b"ann@example.com",
    }
    found = whose(keys, said, user="from the body")
    assert (found.session, found.parent, found.user) == ("chat-7", RUN.decode(), "ann@example.com")
    assert found.tags == ("team=x", "a", "b", "team=x")
    empty = whose(keys, dict.fromkeys(said, b"") | {b"x-tidegate-key": key})
    assert (empty.session, empty.parent, empty.user, empty.tags) == (None, None, None, ("team=x",))


def test_the_user_of_the_key_comes_before_the_word_of_the_client(keys: Keys, tmp_path: Path) -> None:
    key = make(tmp_path, user="ann").encode()
    assert whose(keys, {b"x-tidegate-key": key, b"x-tidegate-user": b"bob"}, user="carl").user == "ann"


@pytest.mark.parametrize(
    ("route", "body", "user"),
    [
        (CHAT, {"user": "ann"}, "ann"),
        (CHAT, {"user": ""}, None),
        (CHAT, {}, None),
        (CHAT, {"user": "\u2603" * 256}, "\u2603" * 256),
        (MESSAGES, {"metadata": {"user_id": "ann"}}, "ann"),
        (MODELS, {}, None),
    ],
)
def test_the_user_of_the_body(keys: Keys, route: Any, body: dict[str, Any], user: str | None) -> None:
    assert whose(keys, {}, OPEN, route=route, **body).user == user


BAD = [
    (b"x-session-id", b"a b", "a blank"),
    (b"x-session-id", b"a" * 129, "too long"),
    (b"x-session-id", b"\xc3\xa9", "not ASCII"),
    (b"x-tidegate-parent-run", RUN[:-1], "too short"),
    (b"x-tidegate-parent-run", RUN.upper(), "capitals"),
    (b"x-tidegate-parent-run", RUN + b"0", "too long"),
    (b"x-tidegate-user", b"a" * 257, "too long"),
    (b"x-tidegate-user", b"a\x80", "not ASCII"),
    (b"x-tidegate-tags", b"a,,b", "an empty one"),
    (b"x-tidegate-tags", b"a,b c", "a blank in one"),
    (b"x-tidegate-tags", b"-a", "begins with a sign"),
    (b"x-tidegate-tags", b"a" * 65, "too long"),
    (b"x-tidegate-tags", b",".join([b"a"] * 17), "too many"),
]


@pytest.mark.parametrize(("name", "value", "note"), BAD, ids=[f"{case[0].decode()}: {case[2]}" for case in BAD])
def test_what_is_not_of_its_form_is_refused_by_name(keys: Keys, name: bytes, value: bytes, note: str) -> None:
    with pytest.raises(BadField) as refused:
        whose(keys, {name: value}, OPEN)
    assert (refused.value.code, refused.value.status) == ("bad_field", 400)
    assert name.decode() in refused.value.message
    assert value.decode("latin-1") not in refused.value.message


def test_a_user_of_the_body_that_is_too_long_is_refused(keys: Keys) -> None:
    with pytest.raises(CallerError, match="the user that the body names"):
        whose(keys, {}, OPEN, user="a" * 257)
