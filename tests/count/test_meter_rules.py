"""What a meter promises beside its counts: what goes on, what is bounded, what is reported, what is refused."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.count import documents, metered, texts
from tidegate.count._meter import Meter
from tidegate.count.usage_reports import REPORTS
from tidegate.count.vocabulary import published
from tidegate.model import Usage

KIB = 1024
O200K = published("o200k_base")


def meter(endpoint: str = "chat.completions", limit: int = 1 << 20, **more: Any) -> Meter:
    return Meter(endpoint, O200K, limit=limit, **more)


def event(document: dict[str, Any], name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: %b\n\n" % json.dumps(document).encode()


def said(text: str, choice: int = 0) -> bytes:
    return event(
        {"id": "chatcmpl-1", "choices": [{"index": choice, "delta": {"content": text}, "finish_reason": None}]}
    )


# what goes on


def test_a_read_of_whole_events_goes_on_as_it_came() -> None:
    one = meter()
    for read in (said("a"), said("b") + said("c"), b": a comment\n\n", b"\n"):
        assert one.feed(read) is read
    assert one.feed(b"") == b""


def test_nothing_goes_on_before_an_event_has_ended() -> None:
    one, whole = meter(), said("a") + said("b")
    assert [one.feed(whole[:5]), one.feed(whole[5:40]), one.feed(whole[40:])] == [b"", b"", whole]
    assert one.feed(whole[:-1]) == said("a")
    assert one.rest() == said("b")[:-1]
    assert one.rest() == b""
    assert one.tokens == O200K.count("abab")


def test_an_event_ends_with_a_cr_and_an_lf_after_it_goes_on_by_itself() -> None:
    one = meter()
    assert one.feed(b"data: a\r\n\r") == b"data: a\r\n\r"
    assert one.feed(b"\n") == b"\n"
    assert one.feed(b"data: b\r\r") == b"data: b\r\r"
    assert one.feed(b"data: c\r\n\r\ndata") == b"data: c\r\n\r\n"
    assert one.rest() == b"data"


def test_the_rest_is_read_as_if_its_event_were_whole() -> None:
    one = meter()
    assert one.feed(said("a")[:-2]) == b""
    assert (one.tokens, one.rest(), one.tokens) == (0, said("a")[:-2], 1)


# bounds


def test_an_event_larger_than_the_limit_is_an_overflow_and_nothing_goes_on() -> None:
    one = meter(limit=100)
    assert one.feed(said("a") + b"x" * 100) == said("a")
    assert not one.overflow
    assert one.feed(b"x") == b""
    assert one.overflow
    assert sys.getsizeof(one) < 2 * KIB
    assert (one.feed(b"\n\n" + said("b")), one.rest(), one.tokens) == (b"", b"", 1)


def test_an_overflow_of_many_data_lines_lets_go_of_them_too() -> None:
    one = meter(limit=1000)
    for _ in range(30):
        assert one.feed(b"data: %b\n" % (b"x" * 50)) == b""
    assert one.overflow
    assert sys.getsizeof(one) < 2 * KIB


@pytest.mark.parametrize("depth", [64, 65, 300, 900, 1000, 1100, 5000])
def test_no_depth_of_a_document_stops_a_meter(depth: int) -> None:
    one = meter()
    deep = b'{"x":%b,"choices":[],"usage":{"prompt_tokens":1}}' % (b"[" * depth + b"]" * depth)
    one.feed(b"data: %b\n\n" % deep + said("a"))
    assert one.tokens == 1


def test_a_whole_event_in_one_read_is_no_overflow() -> None:
    one = meter(limit=10)
    assert one.feed(said("a")) == said("a")
    assert not one.overflow


def test_an_ordinary_stream_takes_little_memory() -> None:
    one = meter()
    for word in texts.WORDS * 20:
        one.feed(said(word + " "))
        assert sys.getsizeof(one) <= 1.5 * KIB


@pytest.mark.parametrize("letter", ["a", " ", "=", "中"])
def test_a_stream_without_a_cut_takes_constant_memory(letter: str) -> None:
    one = meter()
    for _ in range(100):
        one.feed(said(letter * 1000))
        assert sys.getsizeof(one) <= 12 * KIB
    assert one.tokens == O200K.count(letter * 100_000)


def test_many_texts_take_bounded_memory_and_their_tokens_stay() -> None:
    one = meter()
    for choice in range(1000):
        one.feed(said(f"the choice number {choice} 中文", choice))
    assert one.choices == 1000
    assert one.tokens == sum(O200K.count(f"the choice number {choice} 中文") for choice in range(1000))
    assert one.tokens_of(5) == one.tokens_of(999) == O200K.count("the choice number 5 中文")
    assert sys.getsizeof(one) <= 100 * KIB
    one.feed(said(" more", 7))  # which was ended: counted as a text of its own
    assert one.tokens_of(7) == O200K.count("the choice number 7 中文") + O200K.count(" more")


def test_reasons_are_bounded() -> None:
    one = meter()
    for choice in range(300):
        one.feed(event({"choices": [{"index": choice, "delta": {}, "finish_reason": "x" * 1000}]}))
    assert one.finish == dict.fromkeys(range(128), "x" * 64)


# what is reported

STREAMS = {
    "chat.completions": [
        {"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": None},
        {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}},
    ],
    "completions": [
        {"choices": [{"index": 0, "text": "a"}], "usage": None},
        {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}},
    ],
    "responses": [
        {"type": "response.created", "response": {"status": "in_progress", "usage": None}},
        {"type": "response.completed", "response": {"usage": {"input_tokens": 11, "output_tokens": 7}}},
    ],
    "messages": [
        {"type": "message_start", "message": {"usage": {"input_tokens": 11, "output_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    ],
}  # fmt: skip


@pytest.mark.parametrize("endpoint", STREAMS)
@pytest.mark.parametrize("odd", ["", "\\u0064"])
def test_what_the_provider_reports_is_known(endpoint: str, odd: str) -> None:
    one = meter(endpoint)
    assert one.usage is None
    for document in STREAMS[endpoint]:
        spelt = json.dumps(document)[:-1] + f', "{odd}usage_": 1}}'
        one.feed(b"data: %b\n\n" % spelt.encode())
    assert isinstance(one.usage, Usage)
    assert (one.usage.input_tokens, one.usage.output_tokens, one.usage.kind) == (11, 7, "provider")


def test_groq_s_usage_is_known() -> None:
    one = meter()
    one.feed(event({"choices": [], "x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}}))
    assert one.usage is not None


def test_every_endpoint_with_a_stream_has_a_report() -> None:
    assert set(documents.ENDPOINTS) <= set(REPORTS)


@pytest.mark.parametrize(
    ("endpoint", "stream", "finish", "done", "error"),
    [
        ("chat.completions", b"data: [DONE]\n\n", {}, True, False),
        ("chat.completions", event({"error": {"message": "no"}}), {}, False, True),
        ("chat.completions", event({"error": None}), {}, False, False),
        (
            "completions",
            event({"choices": [{"index": 1, "text": "", "finish_reason": "length"}]}),
            {1: "length"},
            False,
            False,
        ),
        (
            "responses",
            event({"type": "response.incomplete", "response": {"status": "incomplete"}}),
            {0: "incomplete"},
            True,
            False,
        ),
        ("responses", event({"type": "response.created", "response": {"status": "in_progress"}}), {}, False, False),
        ("responses", event({"type": "error", "code": "x"}), {}, False, True),
        (
            "messages",
            event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
            {0: "end_turn"},
            False,
            False,
        ),
        ("messages", event({"type": "message_stop"}), {}, True, False),
        ("messages", event({"type": "ping"}, "error"), {}, False, True),
        ("messages", event({"type": "error", "error": {"type": "overloaded_error"}}, "error"), {}, False, True),
    ],
)
def test_how_a_stream_ended(endpoint: str, stream: bytes, finish: dict[int, str], done: bool, error: bool) -> None:
    one = meter(endpoint)
    one.feed(stream)
    assert (one.finish, one.done, one.error) == (finish, done, error)


# usage that a client did not ask for


def first(differences: Iterator[metered.Difference]) -> metered.Difference | None:
    return next(differences, None)


def test_a_client_that_did_not_ask_for_usage_gets_the_stream_of_a_provider_that_was_not_asked() -> None:
    assert first(metered.stripped(Meter, seed=5, wanted=600)) is None


@pytest.mark.parametrize(
    ("note", "sent", "goes_on"),
    [
        ("the only member", b'{"usage":null}', b"{}"),
        (
            "usage with choices is no chunk of its own",
            b'{"choices":[{}],"usage":{"a":1}}',
            b'{"choices":[{}],"usage":{"a":1}}',
        ),
        ("a chunk without choices is no usage", b'{"choices":[],"usage":null}', b'{"choices":[]}'),
        (
            "usage deeper down is another",
            b'{"a":{"usage":null},"b":[{"usage":null}]}',
            b'{"a":{"usage":null},"b":[{"usage":null}]}',
        ),
        ("in a string it is text", b'{"a":"\\",\\"usage\\":null,"}', b'{"a":"\\",\\"usage\\":null,"}'),
        ("what is no JSON goes on", b'{"usage":null', b'{"usage":null'),
        ("beside what needs a full parse", b'{"choices":[{"index":-0}],"usage":null}', b'{"choices":[{"index":-0}]}'),
        ("twice", b'{"usage":null,"usage":null}', b'{"usage":null,"usage":null}'),
    ],
)
def test_nothing_else_is_taken_out(note: str, sent: bytes, goes_on: bytes) -> None:
    one = meter(strip_usage=True)
    assert one.feed(b"data: %b\n\ndata: [DONE]\n\n" % sent) == b"data: %b\n\ndata: [DONE]\n\n" % goes_on, note


def test_usage_is_taken_out_of_what_is_left_at_the_end() -> None:
    one = meter(strip_usage=True)
    assert one.feed(b'data: {"choices":[],"usage":{"prompt_tokens":1}}') == b""
    assert one.rest() == b""
    assert one.usage is not None
    assert one.feed(b'data: {"a":1,"usage":null}') == b""
    assert one.rest() == b'data: {"a":1}'


# what is refused


@pytest.mark.parametrize("endpoint", ["", "chat", "realtime"])
def test_an_endpoint_that_nobody_can_meter_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="no endpoint that can be metered"):
        meter(endpoint)


@pytest.mark.parametrize("endpoint", ["responses", "messages", "models"])
def test_usage_that_comes_unasked_cannot_be_taken_out(endpoint: str) -> None:
    with pytest.raises(ValueError, match="comes unasked"):
        meter(endpoint, strip_usage=True)


@pytest.mark.parametrize("read", [None, "data: a\n\n", bytearray(b"data: a\n\n"), 7])
def test_what_is_no_read_is_refused(read: Any) -> None:
    with pytest.raises(TypeError):
        meter().feed(read)
