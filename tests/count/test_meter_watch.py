"""A stream that is watched stops at the event that crosses the threshold; the last of its text can be kept."""

import gc
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.count import metered
from tests.count.test_meter import first
from tests.count.test_meter_rules import event, meter, said
from tidegate.count import paths
from tidegate.count._meter import Meter
from tidegate.count.answers import answer_text


def stop(tokens: int) -> int:
    return -1


def opened(index: int, name: str) -> bytes:
    block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
    return event({"type": "content_block_start", "index": index, "content_block": block}, "content_block_start")


def item(index: int, kind: str) -> bytes:
    call = {"type": "function_call", "name": "tide", "arguments": ""}
    return event({"type": f"response.output_item.{kind}", "output_index": index, "item": call})


def closed(index: int) -> bytes:
    return event({"type": "content_block_stop", "index": index}, "content_block_stop")


# where it stops


def test_it_asks_and_stops_where_the_oracle_does() -> None:
    assert first(metered.watched(Meter, seed=1, wanted=1_500)) is None


def test_of_hundreds_of_events_in_one_read_all_before_the_one_that_crosses_go_on() -> None:
    events = [said(" tide") for _ in range(500)]
    for threshold in (0, 1, 250, 499):
        one = meter()
        one.watch(threshold, stop)
        assert one.feed(b"".join(events)) == b"".join(events[:threshold])
        assert one.stopped
        assert one.tokens == threshold + 1  # the event was produced, and is counted
        assert one.held_back == events[threshold][6:-2]
        assert (one.feed(events[0]), one.rest(), one.tokens) == (b"", b"", threshold + 1)


def test_as_many_tokens_as_the_threshold_are_not_more() -> None:
    one = meter()
    one.watch(500, stop)
    assert one.feed(b"".join([said(" tide")] * 500)) == b"".join([said(" tide")] * 500)
    assert not one.stopped
    assert one.held_back is None


def test_each_answer_is_the_next_threshold() -> None:
    asked: list[int] = []

    def reached(tokens: int) -> int:
        asked.append(tokens)
        return tokens + 64 if len(asked) < 3 else -1

    one = meter()
    one.watch(63, reached)
    for _ in range(300):
        one.feed(said(" tide"))
    assert asked == [64, 129, 194]
    assert one.tokens == 194


def test_a_stream_that_stops_at_its_very_end() -> None:
    one = meter()
    one.watch(1, stop)
    assert one.feed(said(" tide") + said(" tide")[:-1]) == said(" tide")
    assert one.rest() == b""
    assert one.stopped


def test_what_is_held_of_a_stopped_stream_is_let_go() -> None:
    one = meter()
    one.watch(0, stop)
    long = said("tide " * 20_000)
    one.feed(long[:90_000])
    one.feed(long[90_000:] + b"x" * 10_000)
    assert one.stopped
    assert sys.getsizeof(one) < len(long) + 2_000  # the event itself, once


def test_usage_is_taken_out_of_what_goes_on_before_the_stop() -> None:
    one, chunk = meter(strip_usage=True), said(" tide")
    one.watch(1, stop)
    asked = chunk.replace(b"}\n\n", b', "usage": null}\n\n')
    assert one.feed(asked + asked + asked) == chunk


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda tokens: 1 // 0, ZeroDivisionError),
        (lambda tokens: None, TypeError),
        (lambda tokens: "7", TypeError),
        (lambda tokens: 1 << 63, OverflowError),
    ],
)
def test_a_question_that_fails_stops_the_stream(answer: Callable[[int], int], error: type[Exception]) -> None:
    one = meter()
    one.watch(1, answer)
    one.feed(said(" tide"))
    with pytest.raises(error):
        one.feed(said(" tide") + said(" tide"))
    assert one.stopped
    assert (one.feed(said(" tide")), one.rest(), one.tokens) == (b"", b"", 2)


def test_a_meter_cannot_be_fed_from_within_the_question() -> None:
    one = meter()

    def reached(tokens: int) -> int:
        one.feed(said(" tide"))
        return -1

    one.watch(0, reached)
    with pytest.raises(RuntimeError, match="asks whether"):
        one.feed(said(" tide"))
    assert one.stopped


def test_what_was_counted_can_be_read_from_within_the_question() -> None:
    one, seen = meter(), list[Any]()
    one.keep_text(100)
    one.watch(0, lambda tokens: seen.append((tokens, one.tokens, one.tail)) or -1)
    one.feed(said("high tide"))
    assert seen == [(2, 2, "high tide")]


def test_a_meter_that_is_watched_no_more_lets_go_of_who_watched() -> None:
    one, asked = meter(), list[int]()
    one.watch(0, asked.append)  # type: ignore[arg-type]
    before = sys.getrefcount(asked)
    one.unwatch()
    gc.collect()
    assert sys.getrefcount(asked) < before
    assert one.feed(said(" tide")) == said(" tide")
    assert asked == []


def test_no_threshold_is_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        meter().watch(-1, stop)


# what it knows then


def test_the_event_that_is_held_back_says_nothing_of_the_stream() -> None:
    one = meter()
    one.watch(1, stop)
    one.feed(said(" tide"))
    last = {"index": 1, "delta": {"content": " high"}, "finish_reason": "stop"}
    one.feed(event({"choices": [last], "usage": {"prompt_tokens": 3, "completion_tokens": 9}}))
    assert (one.finish, one.choices, one.done) == ({}, 1, False)
    assert one.usage is not None  # but what is reported is known


@pytest.mark.parametrize(
    ("note", "endpoint", "reads", "calling"),
    [
        ("text", "messages", [closed(0)], False),
        ("a call has begun", "messages", [opened(0, "tide")], True),
        ("it has ended", "messages", [opened(0, "tide"), closed(0)], False),
        ("another has ended", "messages", [opened(0, "tide"), closed(1)], True),
        ("two that end alike", "messages", [opened(1, "a"), closed(1), opened(2, "a"), closed(2)], False),
        ("a number that is not told apart", "messages", [opened(500, "tide"), closed(500)], True),
        ("a name written oddly", "messages", [opened(3, "tide").replace(b"index", b"ind\\u0065x")], True),
        (
            "an end written oddly",
            "messages",
            [opened(3, "tide"), closed(3).replace(b"index", b"ind\\u0065x")],
            False,
        ),
        ("an item has begun", "responses", [item(1, "added")], True),
        ("it has ended", "responses", [item(1, "added"), item(1, "done")], False),
        (
            "it ends as the last that was read",
            "responses",
            [item(1, "done"), item(1, "added").replace(b"type", b"t\\u0079pe"), item(1, "done")],
            False,
        ),
        (
            "a choice ends in the event of its call",
            "chat.completions",
            [
                event(
                    {
                        "choices": [
                            {
                                "finish_reason": "tool_calls",
                                "index": 2,
                                "delta": {"tool_calls": [{"function": {"name": "tide", "arguments": "{}"}}]},
                            }
                        ]
                    }
                )
            ],
            False,
        ),
    ],
)
def test_whether_a_call_of_a_tool_is_open(note: str, endpoint: str, reads: list[bytes], calling: bool) -> None:
    one = meter(endpoint)
    for read in reads:
        one.feed(read)
    assert one.calling is calling, note


def created(**more: Any) -> bytes:
    response = {"id": "resp_1", "model": "gpt", "created_at": 7, "status": "in_progress", "output": []}
    return event({"type": "response.created", "response": response | more, "sequence_number": 0})


def test_an_opening_is_kept_without_its_long_members() -> None:
    one = meter("responses")
    one.watch(10, stop)
    one.feed(created(instructions="x" * 1_000_000, tools=[{"name": "tide" * 100}], metadata={"a": "b"}))
    assert one.opening is not None
    assert json.loads(one.opening) == {
        "id": "resp_1", "model": "gpt", "created_at": 7, "status": "in_progress", "output": [], "metadata": {"a": "b"}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("note", "opening"),
    [
        ("too many members", created(**{f"member{number}": "x" * 100 for number in range(20)})),
        ("no response", event({"type": "response.created", "response": None})),
        ("no JSON", b'data: {"type":"response.created",\n\n'),
        ("written oddly", created().replace(b"7", b'7, "\\ud83d": 1')),
    ],
)
def test_what_cannot_be_kept_is_no_opening(note: str, opening: bytes) -> None:
    one = meter("responses")
    one.watch(10, stop)
    assert one.feed(opening) == opening, note
    assert len(one.opening or b"") <= paths.LONGEST_OPENING


def test_a_stream_that_is_not_watched_keeps_no_opening() -> None:
    one = meter("responses")
    one.feed(created())
    assert one.opening is None


# the text that is kept


def test_the_last_text_is_kept_as_the_oracle_has_it() -> None:
    assert first(metered.tails(Meter, seed=2, wanted=1_500)) is None


def test_no_text_is_kept_unless_it_is_asked_for() -> None:
    one = meter()
    size = sys.getsizeof(one)
    one.feed(said("high"))
    assert one.tail == ""
    one.keep_text(1_000)
    one.feed(said(" tide"))
    assert one.tail == " tide"
    assert sys.getsizeof(one) >= size + 1_000
    one.keep_text(0)
    one.feed(said(" again"))
    assert one.tail == ""


def test_the_text_of_all_choices_and_kinds_stands_in_the_order_in_which_it_came() -> None:
    one = meter()
    one.keep_text(100)
    one.feed(said("a", 0) + said("b", 1) + said("c", 0))
    call = {"index": 0, "function": {"name": "tide", "arguments": '{"d":'}}
    delta = {"reasoning": "e", "refusal": "f", "tool_calls": [call], "function_call": {"name": "x", "arguments": "g"}}
    one.feed(event({"choices": [{"index": 0, "delta": delta}]}))
    assert one.tail == 'abcef{"d":g'


@pytest.mark.parametrize("limit", range(1, 12))
def test_no_half_character_is_kept(limit: int) -> None:
    one = meter()
    one.keep_text(limit)
    for text in ("é中🙂", "a🌊", "é"):
        one.feed(said(text))
        assert len(one.tail.encode()) <= limit
    assert one.tail == "é中🙂a🌊é".encode()[-limit:].decode("utf-8", "ignore")


def test_a_character_whose_end_does_not_come_goes_on_in_no_other_text() -> None:
    one = meter()
    one.keep_text(10)
    one.feed(said("a|").replace(b"|", b"\xe4\xb8") + said("|", 1).replace(b"|", b"\xad"))
    assert one.tail == "a\ufffd\ufffd"


# whole answers


@pytest.mark.parametrize(
    ("note", "endpoint", "body", "text"),
    [
        (
            "all choices, no names",
            "chat.completions",
            {
                "choices": [
                    {"message": {"content": "high", "refusal": "no"}},
                    {"message": {"tool_calls": [{"function": {"name": "tide", "arguments": "{}"}}]}},
                ]
            },
            "high\nno\n{}",
        ),
        ("completions", "completions", {"choices": [{"text": " tide"}]}, " tide"),
        (
            "responses",
            "responses",
            {"output": [{"summary": [{"text": "so"}]}, {"name": "x", "arguments": "{}"}, {"content": [{"text": "a"}]}]},
            "so\n{}\na",
        ),
        (
            "messages",
            "messages",
            {"content": [{"text": "a"}, {"thinking": "b"}, {"name": "x", "input": {"é": 1}}]},
            'a\nb\n{"é": 1}',
        ),
        ("no text", "embeddings", {"data": [{"embedding": [1]}]}, ""),
        ("an answer without text", "messages", {"content": []}, ""),
    ],
)
def test_the_text_of_a_whole_answer(note: str, endpoint: str, body: dict[str, Any], text: str) -> None:
    assert answer_text(endpoint, json.dumps(body).encode()) == text, note


@pytest.mark.parametrize("body", [b"", b"[]", b"no", b'"text"', b'{"choices":'])
def test_what_is_no_answer_has_no_text(body: bytes) -> None:
    assert answer_text("chat.completions", body) is None
