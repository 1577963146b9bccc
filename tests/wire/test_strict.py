"""The strict walk against a plain-Python oracle: the json module, strict UTF-8, and the rules on keys written out."""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidegate.wire._strict import Fault, Shape, check, locate

DEPTH = 6
PART = Shape({"text": None, "image_url": Shape({"url": None})})
MESSAGE = Shape({"role": None, "content": PART})
CALL = Shape({"model": None, "messages": MESSAGE, "max_tokens": None, "stream_options": Shape({}), "k": None})
MODEL = Shape({"model": None})
SAMPLE = (
    b'{"model": "gpt-4o",\n "messages":[{"role":"user","content":[{"text":"f\xc3\xa9 \xf0\x9f\x98\x80 \\n\\u00e9"}]}],'
    b'\t"max_tokens" : -1.50e+2, "stream_options":{"a":true,"b":false, "c":null}, "tools":[{"A":1,"a":[[],{}]}]}\r\n'
)

# ---- the oracle


class Pairs(list[tuple[str, Any]]):
    """An object as it is written, repeated keys and all."""


def refuse(constant: str) -> None:
    raise ValueError(constant)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


def parse(body: bytes) -> Any:
    """The document as nested lists and Pairs; ValueError if it breaks RFC 8259 or UTF-8."""
    document = json.loads(
        body.decode("utf-8"), object_pairs_hook=Pairs, parse_constant=refuse, parse_int=float, parse_float=float
    )
    for string in strings(document):
        string.encode("utf-8")  # lone surrogates
    return document


def fold(key: str) -> str:
    key = key.replace("ſ", "s").replace("\N{KELVIN SIGN}", "k").replace("İ", "i").replace("ı", "i")
    return "".join(c.lower() if c.isascii() else c for c in key)


def kinds(value: Any, shape: Shape | None, depth: int) -> Iterator[str]:
    """Every kind of fault in a parsed value."""
    if isinstance(value, list) and depth == 0:
        yield "depth"
    elif isinstance(value, Pairs):
        names = [] if shape is None else list(shape.fields)
        seen: set[str] = set()
        for key, member in value:
            if shape is not None:
                if fold(key) in seen:
                    yield "duplicate"
                if key not in names and fold(key) in map(fold, names):
                    yield "case"
                seen.add(fold(key))
            yield from kinds(member, None if shape is None else shape.fields.get(key), depth - 1)
    elif isinstance(value, list):
        for item in value:
            yield from kinds(item, shape, depth - 1)


def agree(body: bytes, shape: Shape = CALL, depth: int = DEPTH) -> Fault | None:
    """Check a body and the verdict: refused with a kind that the oracle knows of, or good for both."""
    fault = check(body, shape, depth)
    try:
        document = parse(body)
    except ValueError:
        assert fault is not None, body
    else:
        expected = set(kinds(document, shape, depth)) if isinstance(document, Pairs) else {"not_object"}
        assert (fault.kind if fault else "none") in (expected or {"none"}), (body, fault, expected)
    if fault is not None:
        assert 0 <= fault.position <= len(body)
        assert f"(byte {fault.position})" in fault.explain()
        assert bool(fault.key) <= (fault.kind in ("duplicate", "case"))
    return fault


# ---- cases

GOOD = [
    (b"{}", "the least document"),
    (b" \t\r\n{ } \n", "space around and inside"),
    (SAMPLE, "a call with everything in it"),
    (b'{"model":"a","models":"b","mode":"c"}', "keys that begin alike"),
    (b'{"mod\\u0065l":"a"}', "an escaped key means the governed name exactly"),
    (b'{"":1,"k":2}', "the empty key"),
    (b'{"x":{"a":1,"a":2,"A":3,"Model":4}}', "an object that is not decoded may repeat itself"),
    (b'{"model":{"a":1,"a":2}}', "a governed field without a Shape is not decoded"),
    (b'{"messages":[{"x":{"role":1,"role":2}}]}', "nothing is decoded below an unknown key"),
    (b'{"messages":"text"}', "a Shape has nothing to say about a string"),
    (b'{"a\\u0000":1,"a":2}', "NUL is a character like any other"),
    (b'{"\xc3\xa9":1,"\xc3\x89":2}', "accents keep their case"),
    (b'{"a":[0,-0,0.0,1e5,1E-05,123.456e+7]}', "numbers of every form"),
    (b'{"a":1e999,"b":' + b"9" * 5000 + b"}", "numbers are not bounded by the grammar"),
    (b'{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u12aB\\uD834\\uDd1e"}', "escapes of every form"),
    (b'{"a":"\x7f\xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80"}', "the corners of UTF-8"),
    (b'{"a":[[[[[]]]]]}', "as deep as allowed"),
]


def test_more_values_than_a_policy_could_look_at_are_refused() -> None:
    body = b'{"a":[%b1]}' % (b"1," * 499_997)
    assert check(body, CALL, DEPTH) is None
    fault = check(body.replace(b"1]", b"1,1]"), CALL, DEPTH)
    assert fault is not None
    assert fault.kind == "values"
    assert "more than 500000 values" in fault.explain()


@pytest.mark.parametrize(("body", "note"), GOOD, ids=[note for _, note in GOOD])
def test_good_bodies_pass(body: bytes, note: str) -> None:
    assert agree(body) is None


BAD = [
    (b"", "syntax", 0, "", "nothing"),
    (b" \n", "syntax", 2, "", "only space"),
    (b"\xef\xbb\xbf{}", "syntax", 0, "", "a byte order mark"),
    (b"[]", "not_object", 0, "", "an array at the top"),
    (b' "a"', "not_object", 1, "", "a string at the top"),
    (b"-1.5e3", "not_object", 0, "", "a number at the top"),
    (b"null", "not_object", 0, "", "null at the top"),
    (b"nul", "syntax", 0, "", "no value at the top"),
    (b"{}{}", "syntax", 2, "", "two documents"),
    (b"{} \x00", "syntax", 3, "", "NUL behind the document"),
    (b"{\x00}", "syntax", 1, "", "NUL is not the end"),
    (b'{"a":1', "syntax", 6, "", "cut off"),
    (b'{"a":1]', "syntax", 6, "", "the wrong bracket"),
    (b'{"a":[1}', "syntax", 7, "", "the wrong bracket, the other way"),
    (b'{"a":1,}', "syntax", 7, "", "a comma too many in an object"),
    (b'{"a":[1,]}', "syntax", 8, "", "a comma too many in an array"),
    (b'{"a":[,1]}', "syntax", 6, "", "a comma too early"),
    (b'{"a":1 "b":2}', "syntax", 7, "", "a comma too few"),
    (b'{"a" 1}', "syntax", 5, "", "no colon"),
    (b"{a:1}", "syntax", 1, "", "a bare key"),
    (b"{'a':1}", "syntax", 1, "", "a key in single quotes"),
    (b'{"a":NaN}', "syntax", 5, "", "NaN"),
    (b'{"a":-Infinity}', "syntax", 6, "", "Infinity"),
    (b'{"a":True}', "syntax", 5, "", "Python's True"),
    (b'{"a":truex}', "syntax", 9, "", "a word that goes on"),
    (b'{"a":01}', "syntax", 6, "", "a leading zero"),
    (b'{"a":+1}', "syntax", 5, "", "a plus sign"),
    (b'{"a":1.}', "syntax", 7, "", "no digit behind the point"),
    (b'{"a":.5}', "syntax", 5, "", "no digit before the point"),
    (b'{"a":1e}', "syntax", 7, "", "an empty exponent"),
    (b'{"a":0x1}', "syntax", 6, "", "hexadecimal"),
    (b'{"a":1//c\n}', "syntax", 6, "", "a comment"),
    (b'{"a":"\n"}', "syntax", 6, "", "a control character in a string"),
    (b'{"a":"\\x41"}', "syntax", 6, "", "an escape that JSON does not have"),
    (b'{"a":"\\u12g4"}', "syntax", 6, "", "a digit that is none"),
    (b'{"a":"\\ud800"}', "syntax", 6, "", "the first half of a pair alone"),
    (b'{"a":"\\udc00\\ud800"}', "syntax", 6, "", "a pair the wrong way round"),
    (b'{"a":"\\udc00\\udc00"}', "syntax", 6, "", "two second halves"),
    (b'{"a":"\\ud800\\u0041"}', "syntax", 6, "", "half a pair, then a letter"),
    (b'{"a\\ud800":1}', "syntax", 3, "", "half a pair in a key"),
    (b'{"a":1\x0c}', "syntax", 6, "", "form feed is not space"),
    (b'{"a":1\xc2\xa0}', "syntax", 6, "", "a no-break space is not space"),
    (b'{"a":"\xff"}', "utf8", 6, "", "no UTF-8 at all"),
    (b'{"a":"\xc0\xaf"}', "utf8", 6, "", "an overlong slash"),
    (b'{"a":"\xe0\x80\xaf"}', "utf8", 6, "", "a longer overlong slash"),
    (b'{"a":"\xed\xa0\x80"}', "utf8", 6, "", "a surrogate in UTF-8"),
    (b'{"a":"\xf4\x90\x80\x80"}', "utf8", 6, "", "beyond U+10FFFF"),
    (b'{"a":"\xe2\x82"}', "utf8", 6, "", "a sequence cut by the quote"),
    (b'{"x\x80":1}', "utf8", 3, "", "a stray continuation in a key"),
    (b'{"a":[[[[[[]]]]]]}', "depth", 10, "", "one array too deep"),
    (b'{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}', "depth", 30, "", "one object too deep"),
    (b'{"model":"a","model":"b"}', "duplicate", 13, "model", "a governed key twice"),
    (b'{"x":1,"x":2}', "duplicate", 7, "x", "any key twice in a decoded object"),
    (b'{"model":"a","Model":"b"}', "duplicate", 13, "Model", "twice but for case"),
    (b'{"model":"a","mod\\u0065l":"b"}', "duplicate", 13, "model", "twice, once escaped"),
    (b'{"mod\\u0065l":"a","model":"b"}', "duplicate", 18, "model", "twice, escaped first"),
    (b'{"":1,"":2}', "duplicate", 6, "", "the empty key twice"),
    (b'{"\xc5\xbfx":1,"sx":2}', "duplicate", 9, "sx", "long s is an s to Go"),
    (b'{"k":1,"\xe2\x84\xaa":2}', "duplicate", 7, "\N{KELVIN SIGN}", "the Kelvin sign is a k to Go"),
    (b'{"\\u0130d":1,"id":2}', "duplicate", 13, "id", "dotted I is an i to Java"),
    (b'{"\xc4\xb1d":1,"ID":2}', "duplicate", 9, "ID", "dotless i is an I to Java"),
    (b'{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":2}', "duplicate", 18, "\N{GRINNING FACE}", "a pair is one character"),
    (b'{"Model":"a"}', "case", 1, "Model", "a governed name by case alone"),
    (b'{"MOD\\u0045L":"a"}', "case", 1, "MODEL", "by case alone, escaped"),
    (b'{"me\xc5\xbfsages":[]}', "case", 1, "meſsages", "by long s alone"),
    (b'{"\\u212a":1}', "case", 1, "\N{KELVIN SIGN}", "by the Kelvin sign alone"),
    (b'{"messages":[{"role":1,"role":2}]}', "duplicate", 23, "role", "in an element"),
    (b'{"messages":[[[{"Role":1}]]]}', "case", 16, "Role", "in an element of arrays in arrays"),
    (b'{"messages":{"content":{"text":1,"text":2}}}', "duplicate", 33, "text", "in objects that stand alone"),
    (b'{"messages":[1,{},{"content":[{"image_url":{"URL":1}}]}]}', "case", 44, "URL", "four Shapes down"),
    (b'{"m\\u0065ssages":[{"role":1,"role":2}]}', "duplicate", 28, "role", "below an escaped key"),
    (b'{"stream_options":{"x":1,"X":2}}', "duplicate", 25, "X", "a Shape without names"),
]


@pytest.mark.parametrize(("body", "kind", "position", "key", "note"), BAD, ids=[case[-1] for case in BAD])
def test_bad_bodies_are_refused(body: bytes, kind: str, position: int, key: str, note: str) -> None:
    fault = agree(body)
    assert fault is not None
    assert (fault.kind, fault.position, fault.key) == (kind, position, key)


MESSAGES = [
    (b'{"model":1,"model":2}', "key `model` stands twice (byte 11)", "the key as it is read"),
    (b'{"MODEL":1}', "key `MODEL` differs from `model` only by case (byte 1)", "both spellings"),
    (b'{"\\n\\u202e":1,"\\n\\u202e":1}', "key `\\n\\u202e` stands twice (byte 14)", "one line, whatever the key"),
    (b'{"%b":1,"%b":2}' % (b"x" * 99, b"x" * 99), f"key `{'x' * 64}...` stands twice (byte 105)", "short"),
    (b'{"a":[[[[[[1]]]]]]}', "nested deeper than 6 (byte 10)", "the bound"),
    (b'{"a":"\xff"}', "not valid UTF-8 (byte 6)", "the encoding"),
    (b"3", "the body is not a JSON object (byte 0)", "the top level"),
    (b'{"a"}', "not valid JSON: a colon should stand here (byte 4)", "what is missing"),
    (b'{"a":', "not valid JSON: the document ends too early (byte 5)", "a cut"),
]


@pytest.mark.parametrize(("body", "message", "note"), MESSAGES, ids=[note for *_, note in MESSAGES])
def test_a_fault_explains_itself(body: bytes, message: str, note: str) -> None:
    fault = check(body, CALL, DEPTH)
    assert fault is not None
    assert fault.explain() == message
    assert message in repr(fault)


# ---- every byte


def test_every_truncation_is_refused() -> None:
    whole = SAMPLE.rstrip()
    for end in range(len(whole)):
        assert agree(whole[:end]) is not None


def test_every_changed_inserted_or_missing_byte_is_judged_as_the_oracle_does() -> None:
    for at in range(len(SAMPLE)):
        agree(SAMPLE[:at] + SAMPLE[at + 1 :])
        for byte in range(256):
            agree(SAMPLE[:at] + bytes((byte,)) + SAMPLE[at + 1 :])
    for at, byte in product(range(len(SAMPLE)), b'"\\{}[]:,0 \x00\x1f\x80\xc3\xff'):
        agree(SAMPLE[:at] + bytes((byte,)) + SAMPLE[at:])


def test_utf8_is_what_python_decodes() -> None:
    corners = (0x00, 0x22, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
    pairs = (bytes(pair) for pair in product(range(0x80, 0x100), range(0x100)))
    longer = (bytes(sequence) for sequence in product(range(0xE0, 0x100), corners, corners, corners))
    for sequence in (*pairs, *longer):
        agree(b'{"a":"%b"}' % sequence)
        agree(b'{"a":"%b________"}' % sequence)


@pytest.mark.parametrize("tail", [b"", b" " * 16], ids=["at the end of the body", "far from it"])
def test_strings_of_every_length_and_offset(tail: bytes) -> None:
    for length, lead in product(range(26), range(8)):
        body = b" " * lead + b'{"%b":"%b"}' % (b"x" * length, b"y" * length) + tail
        assert agree(body) is None
        for at, byte in product(range(length), b'"\\\x1f\x00\x80'):
            spoilt = bytearray(body)
            spoilt[lead + 5 + length + at] = byte
            agree(bytes(spoilt))


# ---- documents at random

WORDS = ("model", "Model", "messages", "meſsages", "role", "content", "text", "k", "\N{KELVIN SIGN}", "a", "A", "", "é")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


@st.composite
def written(draw: st.DrawFn, string: str) -> str:
    """A JSON string for `string`, some of its characters escaped."""
    chosen = draw(st.sets(st.integers(0, max(len(string) - 1, 0)), max_size=3))
    pieces = [escaped(c) if at in chosen else json.dumps(c, ensure_ascii=False)[1:-1] for at, c in enumerate(string)]
    return f'"{"".join(pieces)}"'


@st.composite
def joined(draw: st.DrawFn, items: list[str], brackets: str) -> str:
    space = draw(st.sampled_from(["", "", " ", "\n\t", "\r  "]))
    return brackets[0] + space + f"{space},{space}".join(items) + space + brackets[1]


SCALARS = st.one_of(
    st.sampled_from(["true", "false", "null", "0", "-1", "1.5e-7"]), TEXT.flatmap(written), st.integers().map(str)
)
KEYS = st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS), TEXT).flatmap(written)


def nested(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.tuples(KEYS, st.sampled_from([":", " : "]), values).map("".join)
    return st.one_of(
        st.lists(values, max_size=3).flatmap(lambda items: joined(items, "[]")),
        st.lists(members, max_size=4).flatmap(lambda items: joined(items, "{}")),
    )


VALUES = st.recursive(SCALARS, nested, max_leaves=12)
MEMBERS = st.tuples(KEYS, st.just(":"), VALUES).map("".join)
OBJECTS = st.lists(MEMBERS, max_size=5).flatmap(lambda items: joined(items, "{}")).map(str.encode)
MUTATIONS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 2),
        st.one_of(st.sampled_from(b'"\\{}[]:,0-e.u\x00\xc3\x80'), st.integers(0, 255)),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(OBJECTS, st.integers(1, 8))
def test_generated_documents(body: bytes, depth: int) -> None:
    agree(body, CALL, depth)


@settings(max_examples=200, deadline=None)
@given(OBJECTS, MUTATIONS)
def test_mutated_documents(body: bytes, mutations: list[tuple[float, int, int]]) -> None:
    for place, width, byte in mutations:
        at = int(place * len(body))
        body = body[:at] + (bytes((byte,)) if byte else b"") + body[at + width :]
    agree(body)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64))
def test_arbitrary_bytes(body: bytes) -> None:
    agree(body)
    agree(b'{"a":' + body)
    locate(body, b"a")
    locate(b'{"a":' + body, b"a")


@st.composite
def two_spellings(draw: st.DrawFn) -> tuple[str, str]:
    """One key written twice, with other escapes and, in ASCII, in the other case."""
    key = draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="-"), max_size=30))
    return draw(written(key)), draw(written(key.swapcase() if key.isascii() else key))


@settings(max_examples=200, deadline=None)
@given(two_spellings(), st.sampled_from([0, 3, 15, 16, 17, 40]), st.sampled_from(["", " " * 9]))
@example(('"aaaaaaaa"', '"AAAAAAA\\u0041"'), 0, "")  # a whole word, then nothing
def test_one_key_in_two_spellings_is_found(spellings: tuple[str, str], others: int, tail: str) -> None:
    one, other = spellings
    between = "".join(f'"-{number}":{number},' for number in range(others))
    fault = agree(f"{{{one}:1,{between}{other}:2}}{tail}".encode(), Shape({}))
    assert fault is not None
    assert fault.kind == "duplicate"
    assert agree(f'{{{one}:1,{between}"-":2}}{tail}'.encode(), Shape({"-": None})) is None


# ---- size


@pytest.mark.parametrize("unit", [b'{"a":', b"[", b'[{"messages":'])
def test_a_depth_bomb_is_refused_at_the_bound(unit: bytes) -> None:
    bomb = b'{"messages":' + unit * (10_000_000 // len(unit))
    fault = check(bomb, CALL, 512)
    assert fault is not None
    assert fault.kind == "depth"
    assert fault.position < 512 * len(unit) + 12


def test_the_deepest_document_that_may_be_asked_for() -> None:
    inside = b'{"messages":' * 512 + b"1" + b"}" * 512
    assert check(inside, MODEL, 512) is None
    assert check(b'{"messages":%b}' % inside, MODEL, 512) is not None
    for depth in (0, -1, 513):
        with pytest.raises(ValueError, match=f"depth is {depth}"):
            check(b"{}", MODEL, depth)


def test_a_hundred_thousand_keys() -> None:
    members = b",".join(b'"key%d":{"key":%d}' % (number, number) for number in range(100_000))
    assert check(b'{%b,"model":"a"}' % members, MODEL, 8) is None
    for key in (b"key0", b"KEY99999", b"\\u006bey5000"):
        fault = check(b'{%b,"%b":1}' % (members, key), MODEL, 8)
        assert fault is not None
        assert (fault.kind, fault.position) == ("duplicate", len(members) + 2)
    fault = check(b'{%b,"modeL":1}' % members, MODEL, 8)
    assert fault is not None
    assert fault.kind == "case"


def test_no_key_is_forgotten_as_an_object_grows() -> None:
    for count in range(1, 70):
        members = ",".join(f'"key{number}":0' for number in range(count))
        for number in range(count):
            fault = check(f'{{{members},"key{number}":1}}'.encode(), MODEL, 8)
            assert fault is not None
            assert fault.key == f"key{number}"


def test_large_objects_inside_large_objects_keep_their_keys_apart() -> None:
    def crowd(name: str, inner: str, times: int) -> str:
        return "{" + ",".join(f'"{name}{number}":{number}' for number in range(times)) + f',"messages":{inner}' + "}"

    shape = Shape({"messages": Shape({"messages": Shape({"messages": None})})})
    body = crowd("a", "[" + ",".join([crowd("a", crowd("a", "0", 300), 40)] * 5) + "]", 500)
    assert agree(body.encode(), shape, 9) is None
    late = body[:-1] + ',"A499":0}'
    fault = agree(late.encode(), shape, 9)
    assert fault is not None
    assert fault.key == "A499"


# ---- the Shape


def test_a_shape_does_not_change() -> None:
    fields: dict[str, Shape | None] = {"model": None}
    shape = Shape(fields)
    fields["other"] = None
    assert dict(shape.fields) == {"model": None}
    with pytest.raises(TypeError):
        shape.fields["x"] = None  # type: ignore[index]
    with pytest.raises(AttributeError):
        shape.fields = {}  # type: ignore[misc]


def test_a_shape_of_many_names_finds_each() -> None:
    names = [f"name_{number}" * (number % 5 + 1) for number in range(200)]
    shape = Shape({name: Shape({name: None}) for name in names})
    for name in names:
        assert check(f'{{"{name}":{{"{name}":1}}}}'.encode(), shape, 2) is None
        for body in (f'{{"{name.upper()}":1}}', f'{{"{name}":{{"{name.upper()}":1}}}}'):
            fault = agree(body.encode(), shape, 2)
            assert fault is not None
            assert fault.kind == "case"


@pytest.mark.parametrize(
    ("fields", "error", "note"),
    [
        ({"id": None, "ID": None}, ValueError, "two names that a case-blind reader takes for one"),
        ({"é": None}, ValueError, "a name outside ASCII"),
        ({"a": 1}, TypeError, "no Shape"),
        ({1: None}, AttributeError, "no name"),
    ],
)
def test_a_wrong_shape_is_refused(fields: dict[Any, Any], error: type[Exception], note: str) -> None:
    with pytest.raises(error):
        Shape(fields)


@pytest.mark.parametrize(
    "arguments", [(bytearray(b"{}"), MODEL, 8), ("{}", MODEL, 8), (None, MODEL, 8), (b"{}", None, 8)]
)
def test_only_bytes_and_shapes_are_taken(arguments: tuple[Any, Any, int]) -> None:
    with pytest.raises(TypeError):
        check(*arguments)


# ---- locate


@pytest.mark.parametrize(
    ("body", "key", "value", "note"),
    [
        (b'{"a":1,"b":2}', b"b", b"2", "the last member"),
        (b'{ "a" : 1 , "b" : 2 }', b"a", b"1", "space is not part of a value"),
        (b'{"a":{"b":1},"b":[{"b":"}]"}] }', b"b", b'[{"b":"}]"}]', "brackets in strings, and the key further down"),
        (b'{"a":"\\"b\\":1","b":null}', b"b", b"null", "quotes in a string"),
        (b'{"\\u0061":-1.5e3}', b"a", b"-1.5e3", "an escaped key"),
        (b'{"ab":1,"abc":2,"a":3}', b"abc", b"2", "keys that begin alike"),
        (b'{"B":1}', b"b", None, "case matters"),
        (b'{"a":1}', b"b", None, "absent"),
        (b"{}", b"b", None, "empty"),
        (b'{"":"x"}', b"", b'"x"', "the empty key"),
    ],
)
def test_a_value_is_located(body: bytes, key: bytes, value: bytes | None, note: str) -> None:
    span = locate(body, key)
    assert (body[slice(*span)] if span else None) == value


def members(body: bytes) -> list[tuple[str, Any]]:
    """Those that can be located, if the body is good."""
    return [each for each in parse(body) if each[0].isascii()] if check(body, CALL, 64) is None else []


@settings(max_examples=200, deadline=None)
@given(OBJECTS.filter(members))
def test_every_value_of_a_good_body_is_located(body: bytes) -> None:
    for key, value in members(body):
        span = locate(body, key.encode())
        assert span is not None
        assert parse(body[slice(*span)]) == value
        assert body[slice(*span)].strip() == body[slice(*span)]
