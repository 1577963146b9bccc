"""Plain messages that are counted where they stand count as a full parse has them.

A list in which something is nested past 64 levels is not decided by the walk, so that a message of that kind at the end
sends all of the list through the full parse: the oracle is the product itself, on its other way.
"""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tidegate.accept.routes import BY_PATH
from tidegate.count._prompt import Counts, Form
from tidegate.count.prompts import Scheme, tallied
from tidegate.count.registry import PUBLISHED
from tidegate.count.tally import Tally

UNTIMED = settings(deadline=None, max_examples=60)  # the machine may be busy
ROUTES = {route.endpoint: route for route in BY_PATH.values()}
SUMS = (
    "counted",
    "framing",
    "media",
    "characters",
    "size",
    "foreign",
    "messages",
    "tools",
    "images",
    "others",
    "strange",
)
FIELD = {"chat.completions": "messages", "responses": "input", "messages": "messages"}
DEEP = b'{"role":"user","content":"deep","unheard_of":%b}' % (b"[" * 80 + b"]" * 80)
MODEL = "gpt-4o"


def tally(endpoint: str, listed: bytes) -> Tally:
    """Of a body with this list of messages; the example is dropped where it is no body."""
    body = b'{"model":"%b","%b":%b}' % (MODEL.encode(), FIELD[endpoint].encode(), listed)
    try:
        fields = msgspec.json.decode(body, type=ROUTES[endpoint].body)
    except msgspec.MsgspecError:
        assume(False)
    return tallied(endpoint, fields, Scheme(MODEL, PUBLISHED))


def sums(counted: Tally) -> dict[str, int]:
    return {name: getattr(counted, name) for name in SUMS}


def agree(endpoint: str, messages: list[bytes], blank: bytes = b"") -> None:
    both = [b"[%b%b%b]" % (blank, (blank + b"," + blank).join(each), blank) for each in (messages, [*messages, DEEP])]
    walked, parsed = tally(endpoint, both[0]), tally(endpoint, both[1])
    empty, deep = sums(tally(endpoint, b"[]")), sums(tally(endpoint, b"[%b]" % DEEP))
    assert {n: v + deep[n] - empty[n] for n, v in sums(walked).items()} == sums(parsed)
    assert walked.plain == parsed.plain


TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('\n\t"\\/\x7f aé潮🌊\u2028'), max_size=30
) | st.sampled_from(["", "The tide comes in twice a day.\n" * 3, "潮が満ちて" * 9, "🌊" * 20])
NAMES = {
    "chat.completions": ["role", "content", "name", "refusal", "tool_calls", "function_call", "audio", "x"],
    "responses": ["role", "content", "name", "type", "summary", "output", "arguments", "x"],
    "messages": ["role", "content", "name", "x"],
}
TYPES = st.sampled_from(
    ["text", "input_text", "output_text", "refusal", "image_url", "image", "thinking", "message", ""]
)
ROLES = st.sampled_from(["system", "user", "assistant", "tool", "function"])
ODD = st.none() | st.booleans() | st.integers(-5, 5) | TEXTS | st.lists(TEXTS | st.none(), max_size=2)


class Written:
    """A JSON text as it is to be, whatever it means."""

    def __init__(self, text: str) -> None:
        self.text = text


def pairs(names: list[str], values: dict[str, Any]) -> Any:
    """The members of an object, in any order, some of them twice."""
    return st.lists(
        st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), values.get(name, ODD) | ODD)), max_size=5
    )


PARTS = pairs(["type", "text", "refusal", "image_url", "cache_control", "x"], {"type": TYPES, "text": TEXTS}).map(tuple)
PLAIN_PART = TEXTS.map(lambda text: (("type", "text"), ("text", text)))


def messages(endpoint: str) -> Any:
    content = TEXTS | st.none() | st.lists(PARTS | PLAIN_PART | ODD, max_size=3)
    plain = st.tuples(ROLES, TEXTS | st.lists(PLAIN_PART, max_size=3)).map(
        lambda said: (("role", said[0]), ("content", said[1]))
    )
    values = {"role": ROLES, "content": content, "name": TEXTS, "type": TYPES}
    return st.lists(plain | pairs(NAMES[endpoint], values).map(tuple) | ODD, max_size=4)


@st.composite
def written(draw: Any, value: Any) -> str:
    """One of the ways to write a value."""
    blank = draw(st.sampled_from(["", "", "", " ", "\n\t"]))
    if isinstance(value, tuple):
        members = []
        for name, inner in value:
            key = json.dumps(name)
            if draw(st.integers(0, 30)) == 0:
                key = f'"\\u{ord(name[0]):04x}{key[2:]}'
            members.append(f"{key}{blank}:{blank}{draw(written(inner))}")
        return "{" + blank + f"{blank},".join(members) + blank + "}"
    if isinstance(value, list):
        return "[" + blank + ",".join(draw(written(each)) for each in value) + blank + "]"
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@pytest.mark.parametrize("endpoint", sorted(FIELD))
@UNTIMED
@given(st.data())
def test_the_walk_finds_what_a_full_parse_does(endpoint: str, data: Any) -> None:
    listed = data.draw(messages(endpoint))
    spelt = [data.draw(written(each)).encode().replace(b"\x7f", b"\xff") for each in listed]
    agree(endpoint, spelt, data.draw(st.sampled_from([b"", b" ", b"\r\n"])))


@pytest.mark.parametrize("endpoint", sorted(FIELD))
@pytest.mark.parametrize(
    ("note", "message"),
    [
        ("nothing", b"{}"),
        ("nothing but null", b'{"role":null,"content":null,"name":null}'),
        ("a name twice", b'{"role":"user","content":"a tide","content":"b"}'),
        ("an escaped name", b'{"role":"user","c\\u006fntent":"a tide"}'),
        ("both", b'{"role":"user","content":"a tide","c\\u006fntent":"b"}'),
        ("a role with escapes", b'{"role":"to\\u006fl","content":"a tide"}'),
        ("a type with escapes", b'{"role":"user","content":[{"type":"te\\u0078t","text":"a tide"}]}'),
        ("a part without a type", b'{"role":"user","content":[{"text":"a tide"}]}'),
        ("a part without a text", b'{"role":"user","content":[{"type":"text"}]}'),
        ("a part with a number for a text", b'{"role":"user","content":[{"type":"text","text":5}]}'),
        ("a part that is a text", b'{"role":"user","content":["a tide"]}'),
        ("more parts than are noted", b'{"content":[%b]}' % b",".join([b'{"type":"text","text":"tide"}'] * 100)),
        ("a pair of surrogates", b'{"role":"user","content":"\\ud83c\\udf0a \\uD83C\\uDF0A"}'),
        ("bytes that are no text", b'{"role":"user","content":"a \xff tide"}'),
        ("half a character", b'{"role":"user","content":"a tide \xe6\xbd"}'),
        ("a long text", b'{"role":"user","content":"%b"}' % (b"The tide comes in. " * 1000)),
        ("a long text with escapes", b'{"role":"user","content":"%b"}' % (b"The tide comes in.\\n" * 1000)),
        ("a number", b"5"),
        ("a list", b"[]"),
        ("a tool's result", b'{"role":"tool","content":"a tide"}'),
        ("depth that is passed over", b'{"role":"user","content":"a","x":%b}' % (b"[" * 60 + b"]" * 60)),
    ],
)
def test_what_is_hardly_ever_sent(endpoint: str, note: str, message: bytes) -> None:
    agree(endpoint, [message])
    agree(endpoint, [b'{"role":"user","content":"before"}', message, b'{"role":"user","content":"after"}'])


@UNTIMED
@given(TEXTS.filter(bool))
@example("\x00")
@example("a\ud800b")
def test_a_text_by_itself_has_its_kind_and_its_tokens(text: str) -> None:
    counts = Counts(MODEL, PUBLISHED.vocabulary(PUBLISHED.encoding(MODEL)))
    counts.text(text)
    utf8 = text.encode("utf-8", "replace")
    assert (counts.characters, counts.size) == (len(text), len(utf8))
    assert counts.foreign == sum(byte >= 0x80 for byte in utf8)
    assert counts.counted == counts.vocabulary.count(utf8)


CHAT = Form(("role", "content", "refusal"), ("type", "text", "image"), ("text",), roles=("tool",))


def walked(listed: bytes) -> tuple[list[msgspec.Raw] | None, int]:
    counts = Counts(MODEL, PUBLISHED.vocabulary(PUBLISHED.encoding(MODEL)))
    return counts.odd(msgspec.Raw(listed), CHAT, 3, 1), counts.messages


def test_what_is_plain_needs_no_full_parse() -> None:
    said = b'{"role":"user","content":"a \\"tide\\"\\n","refusal":null,"cache":{"a":[1]}}'
    parts = b'{"role":"user","content":[{"type":"text","text":"a","image":null},{"text":"b","type":"text"}]}'
    odd = b'{"role":"tool","content":"a"}'
    assert walked(b" [%b , %b]"[1:] % (said, parts)) == ([], 2)
    assert walked(b"[%b,%b,%b]" % (odd, said, odd)) == ([msgspec.Raw(odd)] * 2, 1)
    assert walked(b"[]") == ([], 0)


@pytest.mark.parametrize(
    "listed", [b"", b"[", b"{}", b"5", b"[]]", b"[{}", b"[{},]", b"[,]", b'["]', b"[{}{}]", b"[DEEP]"]
)
def test_what_is_no_list_is_not_decided(listed: bytes) -> None:
    assert walked(listed.replace(b"DEEP", DEEP)) == (None, 0)


@pytest.mark.parametrize(
    ("note", "message", "texts"),
    [("a long name", ("a" * 30,), ("text",)), ("no name", ("",), ("text",)),
     ("many names", map(str, range(25)), ("text",)), ("many words", ("role",), map(str, range(9)))],
)  # fmt: skip
def test_a_form_that_cannot_be_walked_is_refused(note: str, message: Any, texts: Any) -> None:
    with pytest.raises(ValueError):
        Form(message, ("type", "text"), texts)
