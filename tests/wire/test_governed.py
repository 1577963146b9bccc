"""The governed fields as they are read in one pass are those that msgspec reads, and what it refuses is refused."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, Struct

from tidegate.errors import BadBody
from tidegate.wire import anthropic, openai
from tidegate.wire._governed import Fields
from tidegate.wire._strict import Fault, check
from tidegate.wire.dialect import Governed
from tidegate.wire.reader import Reader
from tidegate.wire.shape import shape_of

BODIES = sorted({route.body for route in (*openai.ROUTES, *anthropic.ROUTES) if route.body}, key=lambda b: b.__name__)
READERS = {body: Reader(body, 8) for body in BODIES}  # shared: what one body leaves behind must not show in another
FIELDS = {body: Fields(body, shape_of(body)) for body in BODIES}
SHAPES = {body: shape_of(body) for body in BODIES}


LATER = "`background` is refused: an answer that is made later could not be metered"


def told(struct: Struct) -> dict[str, Any]:
    """Every field, what is only pointed at as its bytes, and everything with its type."""
    values = {name: getattr(struct, name) for name in struct.__struct_fields__}
    return {n: (type(v), bytes(v) if isinstance(v, Raw) else v) for n, v in values.items()}


def oracle(body: type[Governed], octets: bytes) -> dict[str, Any] | str:
    """What the two readers say one after the other."""
    fault = check(octets, SHAPES[body], 8)
    if fault is not None:
        return fault.explain()
    try:
        struct = msgspec.json.decode(octets, type=body)
        return LATER if getattr(struct, "background", None) else told(struct)
    except msgspec.MsgspecError as error:
        return str(error)[0].lower() + str(error)[1:]


def read(body: type[Governed], octets: bytes) -> dict[str, Any] | str:
    try:
        return told(READERS[body].read(octets))
    except BadBody as error:
        return error.message


def usual(body: type[Governed], octets: bytes) -> bool:
    """Whether msgspec is not needed."""
    return not isinstance(FIELDS[body].read(octets, 8), Fault | None)


@pytest.mark.parametrize(
    ("octets", "refused"),
    [
        (b'{"model":"m","input":"a","background":true}', True),
        (b'{"background":true,"input":"\\u0061","model":"m"}', True),
        (b'{"model":"m","input":"a","background":false}', False),
        (b'{"model":"m","input":"a","background":null}', False),
        (b'{"model":"m","input":"a"}', False),
    ],
)
def test_an_answer_that_is_made_later_is_refused(octets: bytes, refused: bool) -> None:
    assert (read(openai.Responses, octets) == LATER) is refused


@pytest.mark.parametrize(
    ("said", "most", "note"),
    [
        (b"", None, "nothing is stated"),
        (b',"max_tokens":7', 7, "by the old name"),
        (b',"max_completion_tokens":7', 7, "by the new one"),
        (b',"max_tokens":9,"max_completion_tokens":7', 9, "servers differ in which of them wins"),
        (b',"max_tokens":7,"max_completion_tokens":9', 9, "so that the larger one counts"),
        (b',"max_tokens":null,"max_completion_tokens":7', 7, "null states nothing"),
    ],
)
def test_the_most_that_an_answer_of_chat_may_have(said: bytes, most: int | None, note: str) -> None:
    read = READERS[openai.Chat].read(b'{"model":"m","messages":[]%b}' % said)
    assert read.output_limit == most, note


CHAT = b'{"model":"gpt-4o","messages":[{"role":"user","content":"a"}]'
ONE_PASS = [
    ("a plain call", CHAT + b"}"),
    ("a field of every form", CHAT + b',"stream":true,"max_tokens":12,"n":1,"user":"ann","tools":[]}'),
    ("nothing in fields that may be null", CHAT + b',"stream":null,"max_tokens":null,"n":null,"user":null}'),
    ("null where anything may stand", CHAT + b',"tools":null,"tool_choice":null}'),
    ("the widest numbers", CHAT + b',"max_tokens":1000000000,"n":1024,"max_completion_tokens":0}'),
    ("an object of its own", CHAT + b',"stream_options":{"include_usage":true,"x":[1]}}'),
    ("blanks", b' { "model" : "m" , "messages" : [ ] , "stream" : false } \n'),
    ("other letters than ASCII", b'{"messages":[],"model":"\xc3\xbc\xe6\xbc\xa2","user":"\xf0\x9f\x8c\x8a"}'),
    ("an escaped key", b'{"messages":[],"mod\\u0065l":"m"}'),
    ("a name of 256 characters", b'{"messages":[],"model":"' + b"\xc3\xbc" * 256 + b'"}'),
    ("what nobody knows", CHAT + b',"temperature":0.5,"seed":1e9,"metadata":{"model":"x"}}'),
    ("an empty user", CHAT + b',"user":""}'),
]
BY_MSGSPEC = [
    ("an escape in a text", b'{"messages":[],"model":"\\u006d"}'),
    ("no model", b'{"messages":[]}'),
    ("no messages", b'{"model":"m"}'),
    ("an empty model", b'{"messages":[],"model":""}'),
    ("a name of 257 characters", b'{"messages":[],"model":"' + b"m" * 257 + b'"}'),
    ("no model, but null", b'{"messages":[],"model":null}'),
    ("a number for a text", b'{"messages":[],"model":1}'),
    ("a text for a number", CHAT + b',"max_tokens":"1"}'),
    ("a fraction", CHAT + b',"max_tokens":1.5}'),
    ("a whole number with a point", CHAT + b',"max_tokens":1.0}'),
    ("a whole number with an exponent", CHAT + b',"max_tokens":1e3}'),
    ("a number below zero", CHAT + b',"max_tokens":-1}'),
    ("nothing below zero", CHAT + b',"max_tokens":-0}'),
    ("too large a number", CHAT + b',"max_tokens":1000000001}'),
    ("a number of many digits", CHAT + b',"max_tokens":99999999999999999999999}'),
    ("no answers", CHAT + b',"n":0}'),
    ("true for a number", CHAT + b',"n":true}'),
    ("a number for a flag", CHAT + b',"stream":1}'),
    ("an array for a text", CHAT + b',"user":["a"]}'),
    ("an object of another form", CHAT + b',"stream_options":{"include_usage":1}}'),
    ("an array for an object", CHAT + b',"stream_options":[]}'),
]
FAULTS = [
    ("a key twice", CHAT + b',"model":"x"}'),
    ("another case", CHAT + b',"Model":"x"}'),
    ("a key twice within", b'{"model":"m","messages":[{"role":"a","role":"b"}]}'),
    ("too deep", CHAT + b',"x":' + b"[" * 8 + b"]" * 8 + b"}"),
    ("no object", b"[]"),
    ("not JSON", CHAT),
    ("something behind", CHAT + b"}x"),
]


@pytest.mark.parametrize(("note", "octets"), ONE_PASS, ids=[note for note, _ in ONE_PASS])
def test_usual_bodies_are_read_in_one_pass(note: str, octets: bytes) -> None:
    assert usual(openai.Chat, octets)
    expected = oracle(openai.Chat, octets)
    assert isinstance(expected, dict)
    assert read(openai.Chat, octets) == expected


@pytest.mark.parametrize(("note", "octets"), BY_MSGSPEC, ids=[note for note, _ in BY_MSGSPEC])
def test_msgspec_reads_the_others_and_says_what_is_wrong(note: str, octets: bytes) -> None:
    assert not usual(openai.Chat, octets)
    assert read(openai.Chat, octets) == oracle(openai.Chat, octets)


@pytest.mark.parametrize(("note", "octets"), FAULTS, ids=[note for note, _ in FAULTS])
def test_a_body_without_one_meaning_is_refused_in_the_same_words(note: str, octets: bytes) -> None:
    expected = oracle(openai.Chat, octets)
    assert isinstance(expected, str)
    assert read(openai.Chat, octets) == expected


def test_what_is_pointed_at_lives_as_long_as_it_is_needed() -> None:
    octets = bytes(CHAT + b"}")
    messages = READERS[openai.Chat].read(octets).messages  # type: ignore[attr-defined]
    del octets
    for _ in range(100):
        READERS[openai.Chat].read(CHAT + b',"x":1}')
    assert bytes(messages) == b'[{"role":"user","content":"a"}]'
    assert msgspec.json.decode(messages) == [{"role": "user", "content": "a"}]


def test_names_of_models_are_not_taken_for_each_other() -> None:
    """Short texts are kept by a few of their letters."""
    for name in [f"m{a}{b}" for a in "abcxyz-." for b in range(64)] * 2:
        octets = json.dumps({"model": name, "messages": []}).encode()
        assert READERS[openai.Chat].read(octets).model == name


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 1 << 40) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "model": st.text(min_size=1, max_size=8),
    "messages": st.lists(st.dictionaries(st.sampled_from(["role", "content"]), st.text(max_size=4)), max_size=2),
    "input": st.text(max_size=4),
    "prompt": st.text(max_size=4),
}


@st.composite
def bodies(draw: st.DrawFn) -> tuple[type[Governed], bytes]:
    """A body with some of the fields that its Struct has and some it has not, most of them of the right type."""
    body = draw(st.sampled_from(BODIES))
    document: dict[str, Any] = {}
    for name in [*body.__struct_fields__, "temperature"]:
        if draw(st.integers(0, 15)) if name in LIKELY else draw(st.integers(0, 3)) == 0:
            document[name] = draw(LIKELY.get(name, VALUES) if draw(st.integers(0, 20)) else VALUES)
    names = draw(st.permutations(list(document)))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:  ")]))
    text = json.dumps({n: document[n] for n in names}, ensure_ascii=draw(st.booleans()), separators=separators)
    return body, text.encode("utf-8", "surrogatepass")


@settings(max_examples=4000, deadline=None, database=None)
@given(bodies())
def test_every_body_is_read_as_msgspec_reads_it(case: tuple[type[Governed], bytes]) -> None:
    assert read(*case) == oracle(*case)


@settings(max_examples=4000, deadline=None, database=None)
@given(st.sampled_from([octets for _, octets in (*ONE_PASS, *BY_MSGSPEC)]), st.data())
def test_spoilt_bodies_are_read_as_msgspec_reads_them(octets: bytes, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(octets)))
        put = data.draw(st.sampled_from([b"", b"\xc3", *(bytes([byte]) for byte in b'"\\,:{}[] 0n')]))
        octets = octets[:at] + put + octets[at + data.draw(st.integers(0, 2)) :]
    for body in (openai.Chat, anthropic.Messages):
        assert read(body, octets) == oracle(body, octets)
