"""Answers of providers, held against httptools: heads mean the same, and bodies end at the same byte."""

import random
import re
from typing import NamedTuple

import httptools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.errors import UpstreamMalformed
from tidegate.forward._answer import AnswerHead, Body, frame, scan
from tidegate.forward.answer import INTERIM_LIMIT, HeadReader
from tidegate.forward.fields import KEPT

quickly = settings(max_examples=5000, deadline=None, database=None, suppress_health_check=list(HealthCheck))


class Meaning(NamedTuple):
    """What a head says."""

    status: int
    length: int
    chunked: bool
    keep_alive: bool
    events: bool
    coded: bool
    kept: tuple[tuple[bytes, bytes], ...]
    limits: tuple[tuple[bytes, bytes], ...]
    size: int


def said(head: AnswerHead) -> Meaning:
    def fields(block: bytes) -> tuple[tuple[bytes, bytes], ...]:
        lines = [line.partition(b":") for line in block.split(b"\r\n")[:-1]]
        return tuple((name, value.strip(b" \t")) for name, _, value in lines)

    kept, limits = fields(head.kept), fields(head.limits)
    start = head.status, head.length, head.chunked, head.keep_alive, head.events, head.coded
    return Meaning(*start, kept, limits, head.size)


class Oracle:
    """One answer by httptools, byte by byte."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.head_read = self.done = False
        self._parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_read:
            self.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.head_read = True

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.done = True

    def feed(self, data: bytes) -> bool:
        """False when it is no HTTP."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return True

    def meaning(self, size: int) -> Meaning:
        """What the head says, by the rules of `forward` written down a second time."""

        def values(name: bytes) -> list[bytes]:
            return [value.lower() for spelt, value in self.fields if spelt.lower() == name]

        status = self._parser.get_status_code()
        options = [option.strip() for value in values(b"connection") for option in value.split(b",")]
        new = self._parser.get_http_version() == "1.1"
        lengths, codings = values(b"content-length"), values(b"transfer-encoding")
        bodiless = status < 200 or status in (204, 304)
        return Meaning(
            status,
            0 if bodiless else int(lengths[0]) if lengths else -1,
            bool(codings) and not bodiless,
            b"close" not in options and (new or b"keep-alive" in options),
            any(value.startswith(b"text/event-stream") for value in values(b"content-type")),
            any(value != b"identity" for value in values(b"content-encoding")),
            tuple(field for field in self.fields if field[0].lower() in KEPT),
            tuple(field for field in self.fields if speaks_of_limits(field[0].lower())),
            size,
        )


def speaks_of_limits(name: bytes) -> bool:
    return name.startswith((b"x-ratelimit-", b"anthropic-ratelimit-"))


def mostly(sound: list[bytes], odd: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.sampled_from(sound * (1 + 30 * len(odd) // len(sound)) + odd)


starts = mostly(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 429 Too Many", b"HTTP/1.1 529 \xc3\xa9"],
    [
        *(b"HTTP/1.1 204 No", b"HTTP/1.1 304 No", b"HTTP/1.1 103 Early", b"HTTP/1.1 999 x", b"HTTP/1.1 099 x"),
        *(
            b"HTTP/1.0 200 OK",
            b"HTTP/1.2 200 OK",
            b"HTTP/2 200",
            b"HTTP/1.1 200",
            b"HTTP/1.1  200 OK",
            b"HTTP/1.1 20 OK",
        ),
        *(
            b"HTTP/1.1 200 O\0K",
            b"HTTP/1.1 200 O\nX: y",
            b"HTTP/1.1 200 O\x01K",
            b"http/1.1 200 OK",
            b"HTTP/1.1 2000 OK",
        ),
    ],
)
names = mostly(
    [
        b"Content-Type",
        b"date",
        b"X-RateLimit-Limit-Requests",
        b"Server",
        b"Set-Cookie",
        b"x-request-id",
        b"retry-after",
    ],
    [b"content_type", b"x-ratelimit-", b"x(y)", b"", b"a b", b"Content-Lengt", b"\xe9", b"x!#$%&'*+.^`|~y"],
)
values = mostly(
    [b"a", b"", b"application/json", b"text/event-stream", b"Text/Event-Stream; charset=utf-8", b"a\tb", b"\xff"],
    [b"a\0b", b"a\rb", b"a\nb", b"\x7f", b"\x1b", b"a\r\n b"],
)
colons = mostly([b": ", b":", b":\t "], [b" :", b""])
ends = mostly([b"\r\n"], [b"\n", b"\r", b"\r\r\n"])
lengths = mostly(
    [b"0", b"5", b"007", b"123456789012"], [b"1234567890123", b"+5", b"-1", b"5 ", b"5, 5", b"5 5", b"", b"0x5"]
)
codings = mostly([b"chunked", b"Chunked"], [b"gzip, chunked", b"identity", b"chunked, chunked", b"chunked ", b""])
options = mostly([b"close", b"keep-alive", b"Keep-Alive"], [b"close, x", b"upgrade", b"", b"close "])
contents = mostly([b"identity", b"gzip", b"br"], [b"", b"identity, gzip"])


def line(name: bytes, values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    spelt = st.sampled_from([name, name.title(), name.upper()])
    return st.builds(lambda *parts: b"".join(parts), spelt, colons, values, ends)


other_lines = st.builds(lambda *parts: b"".join(parts), names, colons, values, ends)
framings = st.one_of(line(b"content-length", lengths), line(b"transfer-encoding", codings), st.just(b""))


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """A head, most pieces of which are sound; sometimes with a byte put in."""
    lines = [draw(framings), *draw(st.lists(other_lines, max_size=4))]
    for name, kind in ((b"connection", options), (b"content-encoding", contents), (b"content-length", lengths)):
        if not draw(st.integers(0, 9)):
            lines.append(draw(line(name, kind)))
    head = draw(starts) + draw(ends) + b"".join(draw(st.permutations(lines))) + draw(ends)
    if not draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(head)))
        head = head[:at] + bytes((draw(st.integers(0, 255)),)) + head[at + draw(st.integers(0, 1)) :]
    return head


def held_against_httptools(head: AnswerHead, data: bytes) -> None:
    oracle = Oracle()
    assert oracle.feed(data[: head.size]), "httptools refuses it"
    assert oracle.head_read
    assert said(head) == oracle.meaning(head.size)


@quickly
@given(heads())
def test_plain_heads_mean_the_same(data: bytes) -> None:
    head = scan(data)
    if head is not None:
        held_against_httptools(head, data)


@quickly
@given(heads(), st.lists(st.integers(0, 200), max_size=4))
def test_other_heads_mean_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    at = sorted(min(cut, len(data)) for cut in cuts)
    outcomes: list[Meaning | str | None] = []
    for pieces in ([data], [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]):
        reader, read = HeadReader(65_536), None
        try:
            for piece in pieces:
                if piece and read is None:
                    read = reader.read(piece)
        except UpstreamMalformed:
            outcomes.append("malformed")
            continue
        if read is not None:
            head, whole, end = read
            held_against_httptools(head, whole[end - head.size :])
            outcomes.append(said(head))
        else:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1] or None in outcomes


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\nServer: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\nconnection:close\r\n\r\n",
        b"HTTP/1.1 429 \r\nRetry-After:1\r\nx-ratelimit-limit-requests: 1\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_sound_heads_are_recognised(data: bytes) -> None:
    head = scan(data + b"more")
    assert head is not None
    held_against_httptools(head, data)
    assert all(scan(data[:cut]) is None for cut in range(len(data)))


@pytest.mark.parametrize(
    "where", [b"HTTP/1.1 200 O%bK\r\n", b"HTTP/1.1 200 OK\r\nDa%bte: x\r\n", b"HTTP/1.1 200 OK\r\nDate: %bx\r\n"]
)
def test_every_byte_means_the_same(where: bytes) -> None:
    for byte in range(256):
        data = where % bytes((byte,)) + b"Content-Length: 5\r\n\r\n"
        head = scan(data)
        if head is not None:
            held_against_httptools(head, data)


@pytest.mark.parametrize("interim", range(INTERIM_LIMIT + 2))
def test_a_few_interim_answers_are_skipped(interim: int) -> None:
    reader = HeadReader(65_536)
    data = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * interim + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    )
    if interim > INTERIM_LIMIT:
        with pytest.raises(UpstreamMalformed):
            reader.read(data)
        return
    read = reader.read(data)
    assert read is not None
    head, whole, end = read
    assert (head.status, whole[end:]) == (200, b"x")


CHUNKED = AnswerHead(200, -1, True, True, False, False, b"", b"", 0)
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
payloads = st.binary(min_size=1, max_size=40)
sizes = st.sampled_from([b"%x", b"%X", b"00%x"])
extensions = st.sampled_from([b"", b"", b";a", b";a=b", b';a="b"'])
chunks = st.builds(
    lambda data, size, ext: size % len(data) + ext + b"\r\n" + data + b"\r\n", payloads, sizes, extensions
)
trailers = st.sampled_from([b"", b"", b"X: y\r\n", b"X: y\r\nZ: \xff\r\n"])
bodies = st.builds(
    lambda parts, last, ext, trailer: b"".join(parts) + last + ext + b"\r\n" + trailer + b"\r\n",
    *(st.lists(chunks, max_size=5), st.sampled_from([b"0", b"000"]), extensions, trailers),
)


class Taken(NamedTuple):
    """What a Body made of some pieces."""

    body: bytes
    done: bool
    broken: bool


def take(pieces: list[bytes], head: AnswerHead = CHUNKED) -> Taken:
    body, payload = Body(head), b""
    for piece in pieces:
        payload += body.take(bytearray(b"##" + piece + b"##"), 2, 2 + len(piece))
        if body.broken:
            break
    return Taken(payload, body.done, body.broken)


@quickly
@given(bodies, st.lists(st.integers(0, 300), max_size=8))
def test_chunks_are_undone_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    at = sorted(min(cut, len(data)) for cut in cuts)
    pieces = [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]
    oracle = Oracle()
    assert oracle.feed(CHUNKED_HEAD + data)
    assert oracle.done
    assert take(pieces) == Taken(oracle.body, True, False)
    assert take([data[i : i + 1] for i in range(len(data))]) == Taken(oracle.body, True, False)
    assert not take([data[:-1]]).done
    assert take([*pieces, b"H"]).broken, "bytes behind the end go unnoticed"
    assert take([data + b"H"]).broken, "bytes behind the end go unnoticed"


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A body with a few bytes put in, taken away or changed."""
    data: bytes = draw(bodies) + draw(st.sampled_from([b"", b"0\r\n\r\n"]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        put = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b"0", b"1", b"f", b";", b"-", b"x", b'"'])
        )
        data = data[:at] + put + data[at + draw(st.integers(0, 2)) :]
    return data


SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})(;[^\r\n\0]*)?\r\n")
TRAILER = re.compile(rb"((?:[^\r\n\0]+\r\n)*)\r\n")


def by_grammar(data: bytes) -> tuple[bytes, int, bool] | None:
    """RFC 9112 7.1 written down again: the body, where it ends, and whether it has words that nobody reads."""
    body, at, words = b"", 0, False
    while (size := SIZE.match(data, at)) is not None:
        words = words or size[2] is not None
        length, at = int(size[1], 16), size.end()
        if length == 0:
            trailer = TRAILER.match(data, at)
            return None if trailer is None else (body, trailer.end(), words or trailer[1] != b"")
        if data[at + length : at + length + 2] != b"\r\n":
            return None
        body, at = body + data[at : at + length], at + length + 2
    return None


@quickly
@given(damaged())
def test_a_damaged_body_never_ends_where_httptools_sees_no_end(data: bytes) -> None:
    """In an extension or a trailer, which nobody reads, httptools is the stricter; there the grammar alone decides."""
    body, payload, end = Body(CHUNKED), b"", None
    for i in range(len(data)):
        payload += body.take(bytearray(data), i, i + 1)
        if body.broken:
            break
        if body.done:
            end = i + 1
            break
    expected = by_grammar(data)
    if end is None:
        assert expected is None
        return
    assert expected is not None
    assert (payload, end) == expected[:2]
    oracle = Oracle()
    if oracle.feed(CHUNKED_HEAD + data[:end]):
        assert (oracle.done, oracle.body) == (True, payload)
    else:
        assert expected[2]


@pytest.mark.parametrize("size", [0, 1, 5, 70_000])
def test_a_length_is_kept(size: int) -> None:
    head = AnswerHead(200, size, False, True, False, False, b"", b"", 0)
    data = random.Random(size).randbytes(size)
    assert take([data], head) == Taken(data, True, False)
    assert take([data[: size // 2], data[size // 2 :]], head) == Taken(data, True, False)
    assert take([data + b"H"], head) == Taken(data, True, True)
    assert not size or not take([data[:-1]], head).done


def test_without_a_length_the_close_ends_the_body() -> None:
    body = Body(AnswerHead(200, -1, False, False, False, False, b"", b"", 0))
    assert body.until_close
    assert body.take(bytearray(b"headabc"), 4, 7) == b"abc"
    assert not body.done
    assert not body.broken


@pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 255, 256, 4095, 4096, 65_535, 65_536, 1_048_577])
def test_what_is_framed_is_undone(size: int) -> None:
    payload = random.Random(size).randbytes(size)
    assert take([frame(payload) + b"0\r\n\r\n"]) == Taken(payload, True, False)
    assert frame(payload).startswith(b"%x\r\n" % size)
