"""Through a running gateway: what a provider sends arrives byte for byte, and what breaks HTTP does not arrive."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.forward.scripted import Script, Scripted, scripted
from tests.gateway import Gateway, chat, post, read_all, read_answer, running

COUNT = itertools.count()
# without waiting for records: what had not gone out when a stream broke would be a plain error
SETTINGS = """
[record]
evidence = "async"
[integration.scripted]
provider = "openai"
base_url = "http://127.0.0.1:{port}"
private = true
"""
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
MIB = 1 << 20


class Place(NamedTuple):
    """A gateway before a scripted provider."""

    gateway: Gateway
    provider: Scripted


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(scripted())
        folder = tmp_path_factory.mktemp("gateway")
        yield Place(stack.enter_context(running(folder, SETTINGS.format(port=provider.port))), provider)


def ask(place: Place, script: Script, version: str = "1.1") -> tuple[int, dict[str, str], bytes]:
    """The answer to a call for a script."""
    name = f"script-{next(COUNT)}"
    place.provider.scripts[name] = script
    with place.gateway.connect() as client:
        client.sendall(post(chat(name), version=version))
        answer = read_answer(client)
        if version == "1.0":
            assert "transfer-encoding" not in answer[1]
            assert read_all(client) == b""
        return answer


def cut(data: bytes, cuts: list[int]) -> tuple[bytes, ...]:
    at = sorted(min(each, len(data)) for each in cuts)
    return tuple(data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True) if a < b)


def chunks(parts: tuple[bytes, ...]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"


def sized(body: bytes, length: int | None = None, fields: bytes = b"") -> bytes:
    stated = len(body) if length is None else length
    return PLAIN + fields + b"Content-Length: %d\r\n\r\n" % stated + body


pieces = st.sampled_from(
    [
        b"data: {}",
        b"event: x",
        b": c",
        b"\n",
        b"\n\n",
        b"\r\n",
        b"\r",
        b"data: [DONE]\n\n",
        b"\xe2\x82\xac",
        b"0\r\n\r\n",
    ]
)
streams = st.lists(st.one_of(pieces, pieces, st.binary(max_size=20)), max_size=25).map(b"".join)
cuts = st.lists(st.integers(0, 400), max_size=6)
few = settings(
    max_examples=500,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),  # an answer that does not come costs seconds: the first one is shown as it is
)


@few
@given(streams, cuts, cuts, st.sampled_from(["1.1", "1.0"]))
def test_any_cut_of_any_stream_arrives_unchanged(
    place: Place, stream: bytes, chunk_cuts: list[int], write_cuts: list[int], version: str
) -> None:
    sent = STREAM + CHUNKED + chunks(cut(stream, chunk_cuts))
    head = len(STREAM + CHUNKED)
    status, fields, body = ask(place, Script(cut(sent, [head + each for each in write_cuts])), version)
    assert (status, fields["content-type"]) == (200, "text/event-stream")
    assert body == stream


@few
@given(st.binary(max_size=60), cuts, cuts, st.sampled_from(["1.1", "1.0"]))
def test_any_cut_of_any_answer_arrives_unchanged(
    place: Place, body: bytes, chunk_cuts: list[int], write_cuts: list[int], version: str
) -> None:
    """Heads are cut too."""
    chunked = PLAIN + CHUNKED + chunks(cut(body, chunk_cuts))
    assert ask(place, Script(cut(chunked, write_cuts)), version)[::2] == (200, body)
    assert ask(place, Script(cut(sized(body), write_cuts)), version)[::2] == (200, body)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close", "HTTP/1.0"])
@pytest.mark.parametrize("size", [0, 1, 64 * 1024, MIB, MIB + 1, 3 * MIB])
def test_bodies_of_every_size_arrive(place: Place, size: int, framing: str, version: str) -> None:
    body = random.Random(size).randbytes(size)
    parts = cut(body, [1000, 70_000, MIB, 2 * MIB + 7])
    answer = {
        "length": Script((sized(b"", size), *parts)),
        "chunked": Script((PLAIN + CHUNKED, chunks(parts))),
        "close": Script((PLAIN + b"\r\n", *parts), True),
        "HTTP/1.0": Script((sized(b"", size).replace(b"1.1", b"1.0", 1), *parts), True),
    }[framing]
    status, fields, arrived = ask(place, answer, version)
    assert status == 200
    assert arrived == body
    assert fields["x-tidegate-tracked"] == "true"


GOOD = Script((sized(b"{}"),))


def next_is_on_the_same_connection(place: Place, script: Script) -> bool:
    """Asks for a script, then for a good answer: whether both came over one connection."""
    ask(place, script)
    bad = f"script-{next(COUNT) - 1}"
    assert ask(place, GOOD)[::2] == (200, b"{}")
    good = f"script-{next(COUNT) - 1}"
    assert len(place.provider.asked[bad]) == len(place.provider.asked[good]) == 1, "a call was sent twice"
    return place.provider.asked[bad] == place.provider.asked[good]


INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


@pytest.mark.parametrize(
    ("note", "script", "reused"),
    [
        ("an ordinary answer", GOOD, True),
        ("chunks", Script((PLAIN + CHUNKED, chunks((b"{}",)))), True),
        ("trailers", Script((PLAIN + CHUNKED + b"2\r\n{}\r\n0\r\nContent-Type: x\r\n\r\n",)), True),
        ("a stream", Script((STREAM + CHUNKED, chunks((b"data: {}\n\n",)))), True),
        ("interim answers first", Script((INTERIM * 3 + sized(b"{}"),)), True),
        ("100 first", Script((b"HTTP/1.1 100 Continue\r\n\r\n", sized(b"{}"))), True),
        ("an error of the provider's", Script((sized(b"{}").replace(b"200 OK", b"429 No"),)), True),
        ("an error without a reason", Script((sized(b"{}").replace(b"200 OK", b"529"),)), True),
        ("it says close", Script((sized(b"{}", fields=b"Connection: close\r\n"),)), False),
        ("the close ends the body", Script((PLAIN + b"\r\n{}",), True), False),
        ("the close ends a stream", Script((STREAM + b"\r\ndata: {}\n\n",), True), False),
        ("HTTP/1.0", Script((sized(b"{}").replace(b"1.1", b"1.0", 1),)), False),
        ("HTTP/1.0 without a length", Script((b"HTTP/1.0 200 OK\r\n\r\n{}",), True), False),
    ],
)
def test_a_connection_is_used_again_only_after_a_sound_end(
    place: Place, note: str, script: Script, reused: bool
) -> None:
    assert next_is_on_the_same_connection(place, script) == reused


@pytest.mark.parametrize(
    ("note", "script"),
    [
        ("it closes", Script((sized(b"{}"),), True)),
        ("bytes behind the answer, in a later read", Script((sized(b"{}"), b"HTTP/1.1 200 OK\r\n"))),
    ],
)
def test_a_connection_that_went_wrong_behind_an_answer_is_not_used(place: Place, note: str, script: Script) -> None:
    """The next call may have been written to it before that was seen: then it fails, and nobody sends it again."""
    for _ in range(20):
        assert ask(place, script)[0] in (200, 502)
        name = f"script-{next(COUNT) + 1}"
        status, _, body = ask(place, GOOD)
        assert (status, body) == (200, b"{}") or (status == 502 and b'"code":"upstream_' in body)
        assert len(place.provider.asked.get(name, [])) <= 1, "a call was sent twice"


def whole(*pieces: bytes) -> Script:
    """Written, and the connection stays open: a gateway that waits for more would wait for ever."""
    return Script(pieces)


@pytest.mark.parametrize(
    ("note", "script"),
    [
        ("nothing", Script((), True)),
        ("half a status line", Script((b"HTTP/1.1 20",), True)),
        ("half a head", Script((PLAIN,), True)),
        ("less than its length", Script((sized(b"{}", 3),), True)),
        ("less than its length, above the hold", Script((sized(b" " * MIB, MIB + 1)[:MIB],), True)),
        ("more than its length", whole(sized(b"{}{}", 2))),
        ("more than its length, in a later read", whole(sized(b"", 4), b"{}", b"{}{}")),
        ("more than no length", whole(sized(b"{}", 0))),
        ("a second answer at once", whole(sized(b"{}") + sized(b"{}"))),
        ("bytes behind the chunks", whole(PLAIN + CHUNKED + chunks((b"{}",)) + b"HTTP/1.1 200 OK\r\n")),
        ("two lengths", whole(sized(b"{}", fields=b"Content-Length: 2\r\n"))),
        ("two lengths that differ", whole(sized(b"{}", fields=b"Content-Length: 3\r\n"))),
        ("a list of lengths", whole(PLAIN + b"Content-Length: 2, 2\r\n\r\n{}")),
        ("a negative length", whole(PLAIN + b"Content-Length: -1\r\n\r\n{}")),
        ("a length with a plus", whole(PLAIN + b"Content-Length: +2\r\n\r\n{}")),
        ("a length above 64 bits", whole(PLAIN + b"Content-Length: 99999999999999999999\r\n\r\n{}")),
        ("a length and chunks", whole(sized(chunks((b"{}",)), 2, b"Transfer-Encoding: chunked\r\n"))),
        (
            "chunks and a length",
            whole(PLAIN + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n" + chunks((b"{}",))),
        ),
        ("chunked twice", whole(PLAIN + b"Transfer-Encoding: chunked\r\n" + CHUNKED + chunks((b"{}",)))),
        ("another coding", whole(PLAIN + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunks((b"{}",)))),
        ("an unknown coding", Script((PLAIN + b"Transfer-Encoding: x\r\n\r\n{}",), True)),
        ("compressed", whole(sized(b"\x1f\x8b", fields=b"Content-Encoding: gzip\r\n"))),
        ("compressed chunks", whole(PLAIN + b"content-encoding: BR\r\n" + CHUNKED + chunks((b"{}",)))),
        ("compressed, and by another list", whole(sized(b"{}", fields=b"Content-Encoding: identity, gzip\r\n"))),
        ("a chunk without a size", whole(PLAIN + CHUNKED + b"\r\n{}\r\n0\r\n\r\n")),
        ("a chunk whose size is no number", whole(PLAIN + CHUNKED + b"g\r\n{}\r\n0\r\n\r\n")),
        ("a chunk above 64 bits", whole(PLAIN + CHUNKED + b"fffffffffffffffff2\r\n{}\r\n0\r\n\r\n")),
        ("a chunk longer than its size", whole(PLAIN + CHUNKED + b"1\r\n{}\r\n0\r\n\r\n")),
        ("a chunk ended by a line feed", whole(PLAIN + CHUNKED + b"2\n{}\r\n0\r\n\r\n")),
        ("no last chunk", Script((PLAIN + CHUNKED + b"2\r\n{}\r\n",), True)),
        ("half of the last chunk", Script((PLAIN + CHUNKED + b"2\r\n{}\r\n0\r\n",), True)),
        ("no end to its trailers", whole(PLAIN + CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 10_000)),
        ("interim answers only", whole(INTERIM * 1000)),
        ("interim answers, one by one", whole(*[INTERIM] * 20)),
        ("other protocols", whole(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")),
        ("101 without a word", whole(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + sized(b"{}"))),
        ("a field of 1 MiB", whole(PLAIN + b"X: " + b"a" * MIB + b"\r\n\r\n")),
        ("fields of 1 MiB", whole(PLAIN + b"X: y\r\n" * (MIB // 6) + b"\r\n")),
        ("a head without an end", whole(PLAIN + b"X: " + b"a" * 70_000)),
        ("garbage", whole(b"\x16\x03\x01\x02\x00" * 100)),
        ("garbage that has a head's end", whole(b"garbage\r\n\r\n")),
        ("another protocol", whole(b"SSH-2.0-OpenSSH\r\n")),
        ("HTTP/2", whole(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")),
        ("HTTP/0.9", Script((b"{}",), True)),
        ("HTTP/1.2", whole(sized(b"{}").replace(b"1.1", b"1.2", 1))),
        ("HTTP/3", whole(sized(b"{}").replace(b"1.1", b"3.0", 1))),
        ("a request", whole(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
        ("status 99", whole(sized(b"{}").replace(b"200", b"099", 1))),
        ("status 600", whole(sized(b"{}").replace(b"200", b"600", 1))),
        ("status 999", whole(sized(b"{}").replace(b"200", b"999", 1))),
        ("a status of two digits", whole(sized(b"{}").replace(b"200", b"20", 1))),
        ("a status of four digits", whole(sized(b"{}").replace(b"200", b"2000", 1))),
        ("a field without a colon", whole(sized(b"{}", fields=b"Foo\r\n"))),
        ("a field without a name", whole(sized(b"{}", fields=b": x\r\n"))),
        ("a continued line", whole(sized(b"{}", fields=b"X: y\r\n z\r\n"))),
        ("white space before a colon", whole(sized(b"{}", fields=b"X : y\r\n"))),
        ("NUL in a value", whole(sized(b"{}", fields=b"X: y\0z\r\n"))),
        ("a line feed in a value", whole(sized(b"{}", fields=b"X: y\nZ: z\r\n"))),
        ("a carriage return in a value", whole(sized(b"{}", fields=b"Date: y\rZ: z\r\n"))),
        ("a line feed in the reason", whole(sized(b"{}").replace(b"OK", b"OK\nTransfer-Encoding: chunked", 1))),
        ("line feeds only", whole(sized(b"{}").replace(b"\r\n", b"\n"))),
        ("a stream that is compressed", whole(STREAM + b"Content-Encoding: gzip\r\n" + CHUNKED + chunks((b"x",)))),
    ],
)
def test_what_breaks_http_is_a_502_and_its_connection_is_closed(place: Place, note: str, script: Script) -> None:
    for version in ("1.1", "1.0"):
        status, fields, body = ask(place, script, version)
        assert (status, fields["content-type"]) == (502, "application/json")
        assert fields["x-tidegate-tracked"] == "true"
        assert b'"code":"upstream_' in body
    assert not next_is_on_the_same_connection(place, script)


@pytest.mark.parametrize(
    ("note", "script", "passed"),
    [
        ("the stream closes", Script((STREAM + CHUNKED, b"a\r\ndata: 1\n\nX\r\n"[:15]), True), b"data: 1\n\n"),
        ("half an event", Script((STREAM + CHUNKED, b"c\r\ndata: 1\n\ndat\r\n"), True), b"data: 1\n\n"),
        ("a chunk without a size", Script((STREAM + CHUNKED, b"9\r\ndata: 1\n\n\r\n", b"x\r\n")), b"data: 1\n\n"),
        ("the same at once", Script((STREAM + CHUNKED + b"9\r\ndata: 1\n\n\r\nx\r\n",)), b"data: 1\n\n"),
        ("a chunk too long", Script((STREAM + CHUNKED, b"9\r\ndata: 1\n\n\r\n", b"1\r\ndata")), b"data: 1\n\n"),
        ("the end is no end", Script((STREAM + CHUNKED, b"9\r\ndata: 1\n\n\r\n", b"0\r\n\rX")), b"data: 1\n\n"),
        (
            "a length that is not reached",
            Script((STREAM + b"Content-Length: 99\r\n\r\ndata: 1\n\n",), True),
            b"data: 1\n\n",
        ),
    ],
)
def test_a_broken_stream_ends_with_an_error_event(place: Place, note: str, script: Script, passed: bytes) -> None:
    for version in ("1.1", "1.0"):
        status, _, body = ask(place, script, version)
        assert status == 200
        assert body.startswith(passed + b'data: {"error":{')
        assert body.count(b"data: ") == 2
        assert body.endswith(b"}}\n\n")
        assert b"[DONE]" not in body
    assert not next_is_on_the_same_connection(place, script)


CALLS = 2000
PARALLEL = 40


def canary(name: str, size: int) -> bytes:
    return (name.encode() + b".") * (size // (len(name) + 1))


def sound_answers(body: bytes) -> list[Script]:
    return [
        Script((sized(body),)),
        Script(cut(sized(body), [10, 200, 3000])),
        Script((PLAIN + CHUNKED, chunks(cut(body, [1, 100, 9000])))),
        Script((STREAM + CHUNKED, chunks((body,)))),
        Script(cut(STREAM + CHUNKED + chunks((body[:50], body[50:])), [50, 200, 900])),
        Script((PLAIN + b"\r\n" + body,), True),
    ]


def broken_answers(body: bytes) -> list[Script]:
    """Behind most of them stands a sound answer that nobody has asked for."""
    stray = sized(body)
    return [
        Script((sized(body) + stray,)),
        Script((sized(body, len(body) + 1),), True),
        Script((sized(body, len(body) - 1),)),
        Script((PLAIN + CHUNKED + chunks((body,)) + stray,)),
        Script((PLAIN + CHUNKED + b"1\r\n" + body,)),
        Script((STREAM + CHUNKED, chunks((body,))[:-5] + b"x", stray)),
        Script((STREAM + CHUNKED, chunks((body,)) + stray)),
        Script((INTERIM * 9 + stray,)),
        Script((b"garbage " + body,)),
        Script((), True),
    ]


def test_no_byte_of_one_answer_reaches_another(place: Place) -> None:
    dice = random.Random(0)
    expected: dict[str, bytes | None] = {}
    for i in range(CALLS):
        name = f"canary{i:05}"
        body = b"data: " + canary(name, dice.choice([20, 2000, 20_000])) + b"\n\n"
        expected[name] = body if dice.random() < 0.5 else None
        answers = sound_answers(body) if expected[name] is not None else broken_answers(body)
        place.provider.scripts[name] = dice.choice(answers)
    names = iter(expected)
    problems: list[str] = []

    def judge(name: str, status: int, body: bytes) -> None:
        if body.count(b"canary") != body.count(name.encode()):
            problems.append(f"{name} got another's bytes")
        broken = status == 502 or b'"code":"upstream_' in body
        if broken != (expected[name] is None) or (not broken and body != expected[name]):
            problems.append(f"{name}: {status}, {len(body)} bytes, {body[-100:]!r}")

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.gateway.port)
        try:
            for name in names:
                writer.write(post(chat(name)))
                judge(name, *await an_answer(reader))
        except (asyncio.IncompleteReadError, ValueError) as error:
            problems.append(f"{name}: {error!r}")
        writer.close()
        await writer.wait_closed()

    async def clients() -> None:
        await asyncio.gather(*(client() for _ in range(PARALLEL)))

    asyncio.run(clients())
    assert not problems, f"{len(problems)}:\n" + "\n".join(problems[:20])
    assert all(len(place.provider.asked[name]) == 1 for name in expected), "a call was sent twice"


async def an_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Its status and its body; the framing must be ours to the byte."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    if b"Transfer-Encoding: chunked\r\n" not in head:
        return status, await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0]))
    body = b""
    while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    assert await reader.readexactly(2) == b"\r\n"
    return status, body
