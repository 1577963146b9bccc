"""The plain scanner means what the strict parser means, or it stands aside.

Heads are composed of the pieces that a head may have, sound and unsound, and then mutated byte by byte and line by
line. Whenever the scanner recognises one, the strict parser must read exactly the same request from the same bytes.
"""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.accept.cases import CASES, Case
from tidegate.accept._head import Request, scan
from tidegate.accept.fields import KNOWN
from tidegate.accept.routes import BY_PATH, admit
from tidegate.accept.strict import StrictParser
from tidegate.settings import Accept

LIMITS = Accept(body=1 << 34)  # more digits than the scanner reads, so that lengths are compared and not refused
FRAMING = {b"host", b"content-length", b"connection"}  # the scanner acts on them and does not keep them
MOST = 1_000_000  # bodies up to here are really fed


def mostly(sound: list[bytes], odd: list[bytes]) -> st.SearchStrategy[bytes]:
    """Sound pieces, and now and then another: a head of many pieces must have a chance to be sound as a whole."""
    return st.sampled_from(sound * (1 + 30 * len(odd) // len(sound)) + odd)


methods = mostly([b"POST", b"GET"], [b"PUT", b"HEAD", b"get", b"POST ", b"OPTIONS", b""])
paths = st.sampled_from(sorted(BY_PATH)) | st.text("/ab-._~%=&:,;@!$'()*+", max_size=4).map(
    lambda text: b"/" + text.encode()
)
queries = mostly([b"", b"?", b"?beta=true", b"?limit=1&after_id=x"], [b"?a?b", b"?a#b", b"#", b"? ", b"?\x80"])
versions = mostly([b"HTTP/1.1"], [b"HTTP/1.0", b"HTTP/1.2", b"http/1.1", b"HTTP/1.1 ", b""])
ends = mostly([b"\r\n"], [b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\n\r\n"])
colons = mostly([b": ", b":", b":\t", b":  "], [b" : ", b"", b"::"])
hosts = mostly(
    [b"a", b"api.example.com:8080", b"127.0.0.1"],
    [b"", b"a:", b"a:123456", b"a,b", b"[::1]", b"-", b"a_b", b"a/b", b"u@a", b"a b"],
)
lengths = mostly(
    [b"0", b"1", b"99", b"007", b"0000000300", b"1234567890"],
    [b"12345678901", b"+5", b"-1", b"5 5", b"5, 5", b"0x5", b"", b"5\v", b"\xb2"],
)
options = mostly([b"keep-alive", b"Keep-Alive"], [b"close", b"upgrade", b"keep-alive, x", b"", b"keep_alive"])
medias = mostly([b"application/json"], [b"Application/JSON", b"application/json; charset=utf-8", b"text/plain", b""])
values = st.text("abc ,;=\t\xe9", max_size=9).map(lambda text: text.encode("latin-1")) | mostly(
    [b"", b"Bearer abc", b"\xff\xfe"], [b"a\0b", b"a\rb", b"a\nb", b"\x7f", b"\x1b", b"a\r\n b"]
)
names = mostly(
    [b"authorization", b"user-agent", b"x-api-key", b"openai-beta", b"accept", b"x-forwarded-for", b"content_length"],
    [*sorted(KNOWN), b"transfer-encodin", b"content-lengt", b"", b"a b", b"a(", b"\xe9"],
)
capitals = st.sampled_from([0, 0, 1, (1 << 30) - 1]) | st.integers(0, 1 << 24)


def respell(name: bytes, capitals: int) -> bytes:
    """The name with the letters in capitals whose bits are set."""
    return bytes(c - 32 if 97 <= c <= 122 and capitals >> i & 1 else c for i, c in enumerate(name))


def line(names: st.SearchStrategy[bytes], values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(lambda *parts: b"".join(parts), st.builds(respell, names, capitals), colons, values, ends)


host_lines = line(st.just(b"host"), hosts)
length_lines = line(st.just(b"content-length"), lengths)
media_lines = line(st.just(b"content-type"), medias)
option_lines = line(st.just(b"connection"), options)
any_lines = line(names, values)
first_lines = st.builds(lambda *p: b"%b %b%b %b%b" % p, methods, paths, queries, versions, ends)


@st.composite
def composed(draw: st.DrawFn) -> bytes:
    """A head of the pieces a head may have, most of them sound."""
    lines = [draw(kind) for kind in (host_lines, length_lines, media_lines, option_lines) if draw(st.integers(0, 15))]
    lines += draw(st.lists(any_lines, max_size=3))
    return draw(first_lines) + b"".join(draw(st.permutations(lines))) + draw(ends)


START = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.example.com:8080\r\nConnection: keep-alive\r\nAccept: */*\r\n"
    b"User-Agent: client/1.0\r\nAuthorization: Bearer a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n",
    b"GET /v1/models?limit=5 HTTP/1.1\r\nhost: a\r\nanthropic-version: 2023-06-01\r\nx-api-key: k\r\n\r\n",
    b"POST /v1/messages?beta=true HTTP/1.1\r\nHost:a\r\nX-Session-ID:\t s \r\ncontent-type: application/json\r\n"
    b"OpenAI-Beta: a=b\r\nIdempotency-Key: 1\r\ncontent-length: 0\r\n\r\n",
)
heads = [case.sent.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for case in CASES if len(case.sent) < 4096]


def with_bytes(head: bytes, at: int, out: int, put: bytes) -> bytes:
    at %= len(head) + 1
    return head[:at] + put + head[at + out :]


def lines_of(head: bytes) -> list[bytes]:
    return head.split(b"\r\n")


def doubled_line(head: bytes, at: int, to: int) -> bytes:
    lines = lines_of(head)
    lines.insert(to % len(lines), lines[at % len(lines)])
    return b"\r\n".join(lines)


def without_line(head: bytes, at: int) -> bytes:
    lines = lines_of(head)
    del lines[at % len(lines)]
    return b"\r\n".join(lines)


def respelt_line(head: bytes, at: int, capitals: int) -> bytes:
    lines = lines_of(head)
    lines[at % len(lines)] = respell(lines[at % len(lines)].lower(), capitals)
    return b"\r\n".join(lines)


Mutation = Callable[[bytes], bytes]
special = st.sampled_from(
    [b" ", b"\t", b"\r", b"\n", b"\r\n", b"\0", b":", b",", b"\x7f", b"\xff", b"\x0b", b"_", b"\r\n "]
)
numbers = st.integers(0, 400)
mutations: st.SearchStrategy[Mutation] = st.one_of(
    st.builds(lambda a, n, p: lambda head: with_bytes(head, a, n, p), numbers, st.integers(0, 3), special),
    st.builds(
        lambda a, n, p: lambda head: with_bytes(head, a, n, p), numbers, st.integers(0, 1), st.binary(max_size=2)
    ),
    st.builds(lambda a, p: lambda head: with_bytes(head, a, 0, p), numbers, any_lines),
    st.builds(lambda a, b: lambda head: doubled_line(head, a, b), numbers, numbers),
    st.builds(lambda a: lambda head: without_line(head, a), numbers),
    st.builds(lambda a, c: lambda head: respelt_line(head, a, c), numbers, st.integers(0, 1 << 24)),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A sound head, or that of a case, with some changes."""
    head = draw(st.sampled_from(START) | st.sampled_from(START) | st.sampled_from(heads))
    for mutation in draw(st.lists(mutations, min_size=1, max_size=3)):
        head = mutation(head) or b"\r\n"
    return head


def held_against_the_strict_parser(data: bytes, limits: Accept = LIMITS) -> bool:
    """Whether the scanner recognised it; when it did, the strict parser read the same."""
    plain = scan(data, limits.line, limits.headers, limits.header_count)
    if plain is None:
        return False
    admit(plain)
    parser = StrictParser(limits)
    parser.feed(data[: plain.size])
    if plain.length > MOST:
        assert parser.error is None
        assert parser.request is not None
        assert int(parser.request.headers[b"content-length"]) == plain.length
        same(plain, parser.request)
        return True
    body = bytes(i % 251 for i in range(plain.length))
    if plain.length:
        assert not parser.requests, "the strict parser sees no body"
        parser.feed(body[:-1])
        assert not parser.requests, "the strict parser sees a shorter body"
        parser.feed(body[-1:])
    assert parser.error is None, parser.error
    assert not parser.inside, "the strict parser waits for more"
    (strict,) = parser.requests
    assert strict.body == body
    same(plain, strict)
    return True


def same(plain: Request, strict: Request) -> None:
    assert (plain.method, plain.path, plain.query) == (strict.method, strict.path, strict.query)
    assert plain.headers == {name: value for name, value in strict.headers.items() if name not in FRAMING}
    assert (plain.keep_alive, plain.http11) == (strict.keep_alive, strict.http11)
    assert plain.route is strict.route
    assert (type(plain.refusal), str(plain.refusal)) == (type(strict.refusal), str(strict.refusal))


quickly = settings(
    max_examples=10_000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
at_length = settings(quickly, max_examples=int(os.environ.get("EXAMPLES", "100000")))


@pytest.mark.parametrize("head", START, ids=["a call", "a list", "Anthropic's"])
def test_sound_heads_are_recognised(head: bytes) -> None:
    """Without this, a scanner that always stands aside would pass."""
    assert held_against_the_strict_parser(head)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.note)
def test_every_case_means_the_same(case: Case) -> None:
    held_against_the_strict_parser(case.sent)


@quickly
@given(mutated())
@example(b"GET /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
def test_mutated_heads_mean_the_same(head: bytes) -> None:
    held_against_the_strict_parser(head)


@quickly
@given(composed())
def test_composed_heads_mean_the_same(head: bytes) -> None:
    held_against_the_strict_parser(head)


@pytest.mark.long
@at_length
@given(mutated())
def test_many_mutated_heads_mean_the_same(head: bytes) -> None:
    held_against_the_strict_parser(head)


@pytest.mark.long
@at_length
@given(composed())
def test_many_composed_heads_mean_the_same(head: bytes) -> None:
    held_against_the_strict_parser(head)


@pytest.mark.parametrize(
    ("note", "shape"),
    [
        ("in a value", b"GET /v1/models HTTP/1.1\r\nHost: a\r\nUser-Agent: a%bb\r\n\r\n"),
        ("before a value", b"GET /v1/models HTTP/1.1\r\nHost: a\r\nUser-Agent:%bb\r\n\r\n"),
        ("behind a value", b"GET /v1/models HTTP/1.1\r\nHost: a\r\nUser-Agent: a%b\r\n\r\n"),
        ("in a name", b"GET /v1/models HTTP/1.1\r\nHost: a\r\nUser%bAgent: a\r\n\r\n"),
        ("behind a name", b"GET /v1/models HTTP/1.1\r\nHost: a\r\nUser-Agent%b: a\r\n\r\n"),
        ("in the target", b"GET /v1/mo%bdels HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("behind the target", b"GET /v1/models%b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("in the query", b"GET /v1/models?li%bmit=5 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("in a host", b"GET /v1/models HTTP/1.1\r\nHost: a%bb\r\n\r\n"),
        ("behind a host", b"GET /v1/models HTTP/1.1\r\nHost: a%b\r\n\r\n"),
        ("for a host", b"GET /v1/models HTTP/1.1\r\nHost: %b\r\n\r\n"),
        ("in a port", b"GET /v1/models HTTP/1.1\r\nHost: a:8%b\r\n\r\n"),
        ("in a length", b"POST /v1/responses HTTP/1.1\r\nHost: a\r\nContent-Length: 1%b\r\n\r\n"),
        ("before a length", b"POST /v1/responses HTTP/1.1\r\nHost: a\r\nContent-Length: %b1\r\n\r\n"),
        ("in an option", b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: keep%balive\r\n\r\n"),
    ],
)
def test_every_byte_means_the_same(note: str, shape: bytes) -> None:
    for byte in range(256):
        held_against_the_strict_parser(shape % bytes((byte,)))


@pytest.mark.parametrize("over", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize(
    ("note", "head"),
    [
        ("a long target", lambda n: b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * (63 + n))),
        ("a long query", lambda n: b"GET /?%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"&" * (62 + n))),
        ("a long field", lambda n: b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"a" * (167 + n))),
        ("many fields", lambda n: b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % (b"X:\r\n" * (5 + n))),
        ("a long host", lambda n: b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % (b"a" * (160 + n))),
    ],
)
def test_limits_are_the_same(note: str, head: Callable[[int], bytes], over: int) -> None:
    """What the scanner takes near a limit is within the strict parser's."""
    held_against_the_strict_parser(head(over), Accept(line=64, headers=200, header_count=6))


@given(st.sampled_from(START + tuple(heads)))
@settings(deadline=None, max_examples=100)
def test_a_part_of_a_head_is_never_recognised(head: bytes) -> None:
    size = head.index(b"\r\n\r\n") + 4
    for cut in range(size):
        assert scan(head[:cut], LIMITS.line, LIMITS.headers, LIMITS.header_count) is None
