"""What a response has put out so far is known, or it is not; it is never half known, and never much."""

import json
import sys
from typing import Any

import pytest

from tidegate.count._meter import Meter
from tidegate.count.output import LONGEST, LONGEST_SAID, Output
from tidegate.count.vocabulary import published

MESSAGE = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
CALL = {"id": "fc_1", "type": "function_call", "name": "tide", "arguments": "", "status": "in_progress"}
THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": []}
PART = {"type": "output_text", "text": "", "annotations": []}
HELD = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": " tide"}

Event = dict[str, Any]


def added(item: Event, at: int = 0) -> Event:
    return {"type": "response.output_item.added", "output_index": at, "item": item}


def done(item: Event, at: int = 0) -> Event:
    return {"type": "response.output_item.done", "output_index": at, "item": item}


def part(part: Event = PART, at: int = 0, number: int = 0, what: str = "added") -> Event:
    return {"type": f"response.content_part.{what}", "output_index": at, "content_index": number, "part": part}


def so_far(events: list[Event], text: str = "how high is the tide", at: int = 0, held: Event = HELD) -> Any:
    """What is known after these events, the last of which came at so many bytes of the text."""
    output = Output()
    for event in events:
        output.event(json.dumps(event).encode(), at)
    end = text.encode()
    found = output.so_far(end[-LONGEST_SAID:], len(end), json.dumps(held).encode())
    return None if found is None else json.loads(found)


SAID = MESSAGE | {"status": "incomplete", "content": [PART | {"text": "how high is the"}]}
WHOLE = MESSAGE | {"status": "completed", "content": [PART | {"text": "so"}]}


@pytest.mark.parametrize(
    ("note", "events", "expected"),
    [
        ("nothing", [], []),
        ("a message of which nothing was said", [added(MESSAGE)], [MESSAGE | {"status": "incomplete"}]),
        ("a part in which something was said", [added(MESSAGE), part()], [SAID]),
        (
            "the second part of a message",
            [added(MESSAGE), part(), part(PART | {"text": "so"}, what="done"), part(number=1)],
            None,  # the event that does not go on is of the first one
        ),
        ("a whole message", [added(MESSAGE), part(), part(what="done"), done(WHOLE)], [WHOLE]),
        ("a whole item that was never opened", [done(WHOLE)], [WHOLE]),
        ("a whole call before", [added(CALL, 1), done(CALL, 1), added(MESSAGE), part()], [SAID, CALL]),
        ("a thought before, which has ended", [added(THOUGHT, 1), done(THOUGHT, 1), added(MESSAGE), part()],
         [SAID, THOUGHT]),
        ("a thought that has not ended", [done(WHOLE, 1), added(THOUGHT)], [WHOLE]),
        ("two items at once", [added(MESSAGE), added(THOUGHT, 1)], None),
        ("two parts at once", [added(MESSAGE), part(), part(number=1)], None),
        ("a part of no item", [part()], None),
        ("a part of another item", [added(MESSAGE), part(at=1)], None),
        ("the end of a part that was not opened", [added(MESSAGE), part(what="done")], None),
        ("the end of another item", [added(MESSAGE), done(WHOLE, 1)], None),
        ("a part of an unknown kind", [added(MESSAGE), part({"type": "output_audio"})], None),
        ("a part without a type", [added(MESSAGE), part({})], None),
        ("an item that is none", [{"type": "response.output_item.added", "output_index": 0}], None),
        ("a whole item that is none", [{"type": "response.output_item.done", "output_index": 0, "item": 3}], None),
        ("a whole part that is none", [added(MESSAGE), part(), part([], what="done")], None),  # type: ignore[arg-type]
        ("an event without an index", [{"type": "response.output_item.added", "item": MESSAGE}], None),
        ("known no more, whatever comes", [part(), added(MESSAGE), part()], None),
        ("too much", [done(WHOLE | {"id": "x" * LONGEST})], None),
        ("too much in all", [done(WHOLE | {"id": "x" * (LONGEST // 3)}, at) for at in range(3)], None),
    ],
)  # fmt: skip
def test_what_is_known(note: str, events: list[Event], expected: list[Event] | None) -> None:
    assert so_far(events) == expected, note


@pytest.mark.parametrize(
    ("note", "text", "at", "held", "said"),
    [
        ("the event that is held back is taken off", "how high", 0, HELD | {"delta": " high"}, "how"),
        ("what was said before the part is another's", "a thought. how high", 11, HELD | {"delta": " high"}, "how"),
        ("only that event", "high", 0, HELD | {"delta": "high"}, ""),
        ("a call's name is no text", "how high", 0, added(CALL, 1), "how high"),
        ("another text than was counted", "how high", 0, HELD | {"delta": "low"}, None),
        ("a text of another item", "how high", 0, HELD | {"output_index": 1, "delta": " high"}, None),
        ("a text of another kind", "how high", 0, HELD | {"type": "response.refusal.delta", "delta": " high"}, None),
        ("half a character", "how \ufffd", 0, HELD | {"delta": "\ud83d"}, "how "),
        ("longer than is kept", "a" * LONGEST_SAID + " high", 0, HELD | {"delta": " high"}, None),
    ],
)
def test_what_is_said_of_the_open_part(note: str, text: str, at: int, held: Event, said: str | None) -> None:
    found = so_far([added(MESSAGE), part()], text, at, held)
    assert found == (None if said is None else [MESSAGE | {"status": "incomplete", "content": [PART | {"text": said}]}])


def test_bytes_that_are_no_event_make_it_unknown() -> None:
    output = Output()
    output.event(b"{", 0)
    assert output.so_far(b"", 0, b"{}") is None


# in a meter


def meter(*events: Event, keep: int = 0, watch: bool = True, stop: bool = True) -> Meter:
    one = Meter("responses", published("o200k_base"), limit=1 << 20)
    if watch:
        one.watch(3, lambda tokens: -1 if stop else 1 << 40)
    if keep:
        one.keep_text(keep)
    for event in events:
        one.feed(b"data: %b\n\n" % json.dumps(event).encode())
    return one


SAYING = [added(MESSAGE), part(), *[HELD | {"delta": f" é{number}"} for number in range(9)]]


def test_a_meter_tells_it_of_a_stream_that_was_stopped() -> None:
    stopped = meter(*SAYING)
    assert stopped.stopped
    assert stopped.output is not None
    ((said,),) = [item["content"] for item in json.loads(stopped.output)]
    assert said["text"].startswith(" é0")
    assert meter(*SAYING, stop=False).output is None
    assert meter(*SAYING, watch=False).output is None


@pytest.mark.parametrize("keep", [0, 1, 2, 3, 7, 100, LONGEST_SAID + 100])
def test_who_keeps_some_text_gets_as_much_as_it_asked_for(keep: int) -> None:
    """Whether more of it is kept for an ending or not."""
    watched, alone = (meter(*SAYING, keep=keep, watch=watch, stop=False) for watch in (True, False))
    assert watched.tail == alone.tail
    assert len(watched.tail.encode()) <= keep


def test_only_a_stream_that_may_be_stopped_keeps_text_for_its_ending() -> None:
    assert sys.getsizeof(meter(*SAYING, watch=False)) < 4_000
    assert sys.getsizeof(meter(*SAYING)) < LONGEST_SAID + 4_000
