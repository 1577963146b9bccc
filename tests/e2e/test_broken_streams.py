"""What stands on the wire when a provider fails, and when it does not: every byte is compared with the provider's own.

The simulated provider answers the same bytes to the same request, so it can be asked directly as well.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.place import FORWARD, Place, Wire, placed, wire

CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
PATHS = (CHAT, COMPLETIONS, RESPONSES, MESSAGES)
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "how high is the tide"}], "max_tokens": 20}
BODIES: dict[str, dict[str, Any]] = {
    CHAT: ASKED,
    COMPLETIONS: {"prompt": "how high is the tide", "max_tokens": 20},
    RESPONSES: {"input": "how high is the tide"},
    MESSAGES: ASKED,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Without waiting for records: what had not gone out when a stream broke would be a plain error."""
    with placed(tmp_path_factory.mktemp("place"), FORWARD + '[record]\nevidence = "async"\n') as both:
        yield both


def body(path: str, model: str, **more: object) -> bytes:
    """A call whose stream is the same with and without a gateway: it does not let it ask for usage."""
    if path in (CHAT, COMPLETIONS):
        more = {"stream_options": {"include_usage": False}} | more
    return json.dumps(BODIES[path] | {"model": model} | more).encode()


def error(path: str, event: bytes) -> tuple[str, str]:
    """The code and message of the dialect's error event; it must be the whole of it."""
    *named, line = event.removesuffix(b"\n\n").split(b"\n")
    document = json.loads(line.removeprefix(b"data: "))
    assert named == ([b"event: error"] if path in (RESPONSES, MESSAGES) else [])
    if path == MESSAGES:
        assert document["type"] == "error"
        message, _, code = document["error"]["message"].rpartition(" (")
        return code.rstrip(")"), message
    if path == RESPONSES:
        assert document["type"] == "error"
        assert (document["code"], document["message"]) == (document["error"]["code"], document["error"]["message"])
    assert document["error"].keys() == {"message", "type", "param", "code", "run"}
    return document["error"]["code"], document["error"]["message"]


def both(place: Place, path: str, asked: bytes, patience: float = 10.0) -> tuple[Wire, Wire]:
    """The provider's own answer, and the gateway's."""
    return wire(place.provider.port, path, asked, patience), wire(place.gateway.port, path, asked)


def at_once(check: Callable[[str], None]) -> None:
    """For every path, side by side, because most of the time is spent waiting for a deadline."""
    with ThreadPoolExecutor(len(PATHS)) as pool:
        list(pool.map(check, PATHS))


def assert_well(place: Place, path: str) -> None:
    """The next call is answered."""
    assert wire(place.gateway.port, path, body(path, "simulated")).head.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("model", "note"),
    [
        ("simulated", "nothing goes wrong"),
        ("simulated-split-utf8", "pieces that cut characters and the ends of events"),
        ("simulated-malformed-sse", "rubbish between the events is not ours to mend"),
        ("simulated-huge-line-1000000", "a large event"),
        ("simulated-slow-head-200", "a head byte by byte"),
        ("simulated-error-3", "the provider's own error event"),
        ("simulated-words-3000", "many events in one read"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_passes_byte_for_byte(place: Place, path: str, model: str, note: str, stream: bool) -> None:
    direct, passed = both(place, path, body(path, model, stream=stream))
    assert passed.head.split(b" ")[1] == direct.head.split(b" ")[1], note
    assert passed.body == direct.body, note
    assert passed.ended, note


@pytest.mark.parametrize(
    ("fault", "code", "passed", "note"),
    [
        ("stall-3", "upstream_timeout", 3, "silence"),
        ("stall-0", "upstream_timeout", 0, "a head, then silence"),
        ("close-3", "upstream_truncated", 3, "a close between events"),
        ("close-3+split-utf8", "upstream_truncated", None, "a close inside an event"),
        ("reset-3", "upstream_truncated", None, "a reset; what is in flight may be lost"),
        ("bad-chunk", "upstream_malformed", None, "the framing breaks in the second chunk"),
        ("huge-line", "upstream_malformed", 1, "an event above `forward.event`"),
        ("truncate", "upstream_truncated", None, "a length that was not reached"),
        ("short-length", "upstream_malformed", None, "more than the length says"),
    ],
)
def test_a_stream_that_breaks_ends_in_one_error_event(
    place: Place, fault: str, code: str, passed: int | None, note: str
) -> None:
    def check(path: str) -> None:
        direct, told = both(place, path, body(path, f"simulated-{fault}", stream=True), patience=0.5)
        if told.head.startswith(b"HTTP/1.1 502"):  # the break came in one read with the head: nothing had gone out
            assert passed is None, note
            return
        assert told.head.startswith(b"HTTP/1.1 200"), note
        assert told.ended, note
        *good, last = told.events
        assert error(path, last)[0] == code, note
        assert direct.body.startswith(b"".join(good)), note  # so no end is claimed that the provider has not said
        assert passed is None or len(good) == passed, note
        assert_well(place, path)

    at_once(check)


@pytest.mark.parametrize(
    ("fault", "status", "code", "note"),
    [
        ("no-head", 504, "upstream_timeout", "never answered"),
        ("stall-0", 504, "upstream_timeout", "never answered"),
        ("stall-1", 504, "upstream_timeout", "half a body, then silence"),
        ("long-length", 504, "upstream_timeout", "a body that the length says is not whole"),
        ("close-0", 502, "upstream_truncated", "no answer"),
        ("close-1", 502, "upstream_truncated", "half a body"),
        ("reset-0", 502, "upstream_truncated", "no answer"),
        ("reset-1", 502, "upstream_truncated", "half a body"),
        ("truncate", 502, "upstream_truncated", "a length that was not reached"),
        ("short-length", 502, "upstream_malformed", "more than the length says"),
        ("bad-chunk", 502, "upstream_malformed", "the framing breaks in the second chunk"),
    ],
)
def test_a_plain_answer_that_breaks_is_a_clean_error(
    place: Place, fault: str, status: int, code: str, note: str
) -> None:
    def check(path: str) -> None:
        told = wire(place.gateway.port, path, body(path, f"simulated-{fault}"))
        assert told.head.startswith(b"HTTP/1.1 %d" % status), note
        document = json.loads(told.body)
        assert code == document["error"].get("code") or document["error"]["message"].endswith(f"({code})"), note
        assert_well(place, path)

    at_once(check)
