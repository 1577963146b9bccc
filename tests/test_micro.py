"""Micro benchmarks of the compiled parts, each against an anchor measured right before it in the same run.

The anchor is the public library one would use instead. The fastest rounds are compared, which is what a machine with
other work to do disturbs least. The report of pytest-benchmark shows both sides of a pair with their ratio; a test
fails only where a compiled part is not worth having any more, which is when its anchor is as fast.
"""

import json
import uuid
from collections.abc import Callable

import httptools
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.gateway import chat, post
from tests.limit.standing import standing
from tidegate.accept._head import scan as scan_request
from tidegate.forward._answer import Body, frame
from tidegate.forward._answer import scan as scan_answer
from tidegate.limit._standing import lines
from tidegate.limit.limits import Limits
from tidegate.model import Limit
from tidegate.record._runs import RunIds
from tidegate.settings import Accept
from tidegate.wire._strict import check
from tidegate.wire.openai import Chat
from tidegate.wire.shape import shape_of

FIELDS = (
    "Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
    "User-Agent: OpenAI/Python 2.8.1\r\nAuthorization: Bearer sk-0123456789abcdef0123456789abcdef\r\n"
    "X-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Retry-Count: 0\r\n"
)
REQUEST = post(chat(), fields=FIELDS)
CONVERSATION = json.dumps(
    {
        "model": "gpt-4o-mini",
        "temperature": 0.2,
        "stream": True,
        "messages": [
            {"role": "system", "content": "You are a careful assistant. " * 8},
            *({"role": "user", "content": f'Question {n}: what is "{n}" squared?\n' * 4} for n in range(6)),
        ],
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini",'
    b'"system_fingerprint":null,"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}\n\n'
)
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)


def head() -> Callable[[], object]:
    limits = Accept()
    assert scan_request(REQUEST, limits.line, limits.headers, limits.header_count) is not None
    return lambda: scan_request(REQUEST, limits.line, limits.headers, limits.header_count)


class Collected:
    """What a server must take from httptools at least."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body = body


def head_by_httptools() -> Callable[[], object]:
    collected = Collected()
    parser = httptools.HttpRequestParser(collected)

    def parse() -> None:
        collected.headers = {}
        parser.feed_data(REQUEST)

    parse()
    assert len(collected.headers) == 12
    return parse


def body() -> Callable[[], object]:
    shape = shape_of(Chat)
    assert check(CONVERSATION, shape, 64) is None
    return lambda: check(CONVERSATION, shape, 64)


def body_by_json() -> Callable[[], object]:
    return lambda: json.loads(CONVERSATION)


def event() -> Callable[[], object]:
    answer = scan_answer(ANSWER)
    assert answer is not None
    framing, read = Body(answer), bytearray(CHUNK)

    def relay() -> bytes:
        return frame(framing.take(read, 0, len(read)))

    assert relay() == CHUNK
    return relay


def event_by_httptools() -> Callable[[], object]:
    """The same work: the chunk's payload, and a chunk of it."""
    collected = Collected()
    parser = httptools.HttpResponseParser(collected)
    parser.feed_data(ANSWER)

    def relay() -> bytes:
        parser.feed_data(CHUNK)
        return b"%x\r\n%b\r\n" % (len(collected.body), collected.body)

    assert relay() == CHUNK
    return relay


def run_id() -> Callable[[], object]:
    return RunIds().new


def run_id_by_uuid() -> Callable[[], object]:
    return lambda: uuid.uuid4().hex


LIMITS = Limits(slots=64)
BUCKETS = [
    LIMITS.prepare(Limit(name="calls", measure="requests", max=600, per="1m")),
    LIMITS.prepare(Limit(name="tokens", measure="tokens", max=150_000, per="1m")),
]


def limit_lines() -> Callable[[], object]:
    return lambda: lines("openai", BUCKETS)


def limit_lines_in_python() -> Callable[[], object]:
    return lambda: standing("openai", [(bucket, LIMITS.state(bucket)) for bucket in BUCKETS])


PAIRS = {
    "head of 12 fields: scan / httptools": (head, head_by_httptools),
    "chat body: strict check / json.loads": (body, body_by_json),
    "one event: unframe, find its end, frame / httptools": (event, event_by_httptools),
    "run id / uuid4": (run_id, run_id_by_uuid),
    "header lines of two limits / in Python": (limit_lines, limit_lines_in_python),
}
MOST = 1.0  # times the anchor
FASTEST: dict[tuple[str, str], float] = {}


@pytest.mark.benchmark(min_rounds=20, max_time=0.3, disable_gc=True, warmup=True, warmup_iterations=1000)
@pytest.mark.parametrize("side", ["anchor", "ours"])
@pytest.mark.parametrize("pair", PAIRS)
def test_micro(benchmark: BenchmarkFixture, pair: str, side: str) -> None:
    benchmark.group = pair
    benchmark(PAIRS[pair][side == "anchor"]())
    FASTEST[pair, side] = benchmark.stats.stats.min
    if side == "ours" and (pair, "anchor") in FASTEST:
        ratio = FASTEST[pair, "ours"] / FASTEST[pair, "anchor"]
        benchmark.extra_info["ratio"] = ratio
        print(f"{pair}: {ratio:.2f}")
        assert ratio < MOST
