"""How a stream ends that is stopped, as the official clients read it: each row of the table in docs/streams.md, for
each cause.

The beginnings are the simulated provider's, cut at every event with a text; the endings go over a socket.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import msgspec
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tests.e2e.place import SCHEMA
from tests.providers import RawProvider, always
from tidegate.count._meter import Meter
from tidegate.count.output import LONGEST_SAID
from tidegate.count.vocabulary import published
from tidegate.errors import TidegateError
from tidegate.model import Usage
from tidegate.serve.simulated.routes import ROUTES as PROVIDER
from tidegate.serve.simulated.text import Sampler
from tidegate.wire import anthropic as anthropic_wire
from tidegate.wire import openai as openai_wire
from tidegate.wire.endings import Cause, Stop

ROUTES = {route.endpoint: route for route in (*openai_wire.ROUTES, *anthropic_wire.ROUTES)}
PATHS = {
    "chat.completions": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
QUESTION: Any = [{"role": "user", "content": "how high is the tide"}]
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "tide", "parameters": SCHEMA}}]
RESPONSES_TOOLS: Any = [{"type": "function", "name": "tide", "parameters": SCHEMA, "strict": True}]
MESSAGES_TOOLS: Any = [{"name": "tide", "input_schema": SCHEMA}]
ASKED: dict[str, dict[str, Any]] = {
    "chat.completions": {"model": "m", "messages": QUESTION},
    "completions": {"model": "m", "prompt": "how high is the tide"},
    "responses": {"model": "m", "input": "how high is the tide"},
    "messages": {"model": "m", "messages": QUESTION, "max_tokens": 12},
}
CAUSES: tuple[Cause, ...] = ("limit", "policy")
SIZES = (1 << 20, 700, 64)  # of reads: all events at once, a few, less than one
USED = Usage(input_tokens=120, output_tokens=34, kind="exact", cached_tokens=100, cache_write_tokens=7)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

Event = dict[str, Any] | None


class Spent(TidegateError):
    """Stands in for the errors that stop streams."""

    code = "budget_spent"
    status = 429
    side = "caller"


class Stopped(Struct):
    """A stream that was stopped, as it stands on the wire."""

    at: int  # so many of its texts went on
    passed: bytes
    ending: bytes
    meter: Meter


def events(endpoint: str, *, words: int | None = 12, **more: Any) -> list[Event]:
    """What the simulated provider streams; texts have so many words."""
    route, body = PROVIDER[PATHS[endpoint]], msgspec.json.encode(ASKED[endpoint] | more | {"stream": True})
    sampler = Sampler(7, body)
    sampler.exact = words
    answer = route.answer(msgspec.json.decode(body, type=route.form), sampler)
    assert answer.events is not None
    return [event.document for event in answer.events]


def encoded(event: Event) -> bytes:
    if event is None:
        return b"data: [DONE]\n\n"
    name = b"event: %b\n" % event["type"].encode() if "type" in event else b""
    return name + b"data: %b\n\n" % json.dumps(event).encode()


def stopped(
    endpoint: str, stream: list[Event], at: int, cause: Cause, *, asked: bool = False, size: int = SIZES[0]
) -> Stopped:
    """The stream, stopped at its text of this number, when something of it has gone on."""
    data, numbers = b"".join(map(encoded, stream)), itertools.count()
    meter = Meter(endpoint, published("o200k_base"), limit=1 << 20)
    meter.watch(0, lambda tokens: -1 if next(numbers) == at else 0)
    passed = b"".join(meter.feed(data[start : start + size]) for start in range(0, len(data), size)) + meter.rest()
    assert meter.stopped
    assert passed
    error = Spent("the budget `team` is spent")
    ending = ROUTES[endpoint].stop(Stop(cause, error, b"run_1", USED, asked), meter)
    assert ending is not None
    assert ending.startswith(b": stopped by tidegate: budget_spent\n\n")
    return Stopped(at, passed, ending, meter)


def texts(endpoint: str, stream: list[Event]) -> int:
    """How many it has, and so how often it may be stopped."""
    numbers = itertools.count()
    meter = Meter(endpoint, published("o200k_base"), limit=1 << 20)
    meter.watch(0, lambda tokens: 0 * next(numbers))
    meter.feed(b"".join(map(encoded, stream)))
    return next(numbers)


def cuts(endpoint: str, stream: list[Event], cause: Cause, *, first: int = 0, asked: bool = False) -> Iterator[Stopped]:
    """The stream, stopped at each of its texts from the first of these on; however it is read, it is the same."""
    numbers = range(first, texts(endpoint, stream))
    assert len(numbers) > 2, "there is hardly anything to cut"
    for at in numbers:
        one, *others = (stopped(endpoint, stream, at, cause, asked=asked, size=size) for size in SIZES)
        assert all((other.passed, other.ending) == (one.passed, one.ending) for other in others)
        yield one


@pytest.fixture(scope="module")
def raw() -> Iterator[RawProvider]:
    with RawProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def gpt(raw: RawProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{raw.port}/v1", api_key="any", timeout=10) as client:
        yield client


@pytest.fixture(scope="module")
def claude(raw: RawProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"http://127.0.0.1:{raw.port}", api_key="any", timeout=10) as client:
        yield client


def serve(raw: RawProvider, stream: Stopped) -> None:
    raw.requests.clear()
    raw.answer = always(HEAD + stream.passed + stream.ending, close=True)


class Said(Struct):
    """What a client got of a stream of chunks."""

    texts: dict[int, str]
    arguments: dict[int, str]
    reasons: dict[int, list[str]]
    usages: list[Any]
    error: openai.APIError | None = None


def chunks(made: Callable[[], Any], field: str = "content") -> Said:
    """What came of a stream of chunks; its texts are those of this field."""
    said = Said({}, {}, {}, [])
    try:
        for chunk in made():
            said.usages += [chunk.usage] if chunk.usage else []
            for choice in chunk.choices:
                delta = getattr(choice, "delta", None)
                text = (getattr(delta, field, None) or "") if delta is not None else choice.text
                said.texts[choice.index] = said.texts.get(choice.index, "") + text
                for function in functions(delta) if delta is not None else []:
                    pieces = said.arguments.get(choice.index, "") + (function.arguments or "")
                    said.arguments[choice.index] = pieces
                if choice.finish_reason:
                    said.reasons.setdefault(choice.index, []).append(choice.finish_reason)
    except openai.APIError as error:
        said.error = error
    return said


def functions(delta: Any) -> list[Any]:
    """Those that are called in a chunk, in either way to say it."""
    called = [call.function for call in delta.tool_calls or []]
    return [*called, delta.function_call] if delta.function_call else called


def in_order(stream: list[Event]) -> list[Event]:
    """The chunks of a stream with one choice after the other."""
    return sorted(stream, key=lambda event: event["choices"][0]["index"] if event and event["choices"] else 1000)


def choice_of(stream: list[Event], index: int, like: dict[str, Any]) -> list[Event]:
    """The chunks of a stream with one choice as those of another stream."""
    return [
        like | {"choices": [event["choices"][0] | {"index": index}]} for event in stream if event and event["choices"]
    ]


def spoken(stream: list[Event], field: str) -> list[Event]:
    """The chunks of a text as those of a text in another field."""
    return [event and json.loads(json.dumps(event).replace('"content": "', f'"{field}": "')) for event in stream]


def calls(form: str, n: int) -> list[Event]:
    """The chunks of calls of a tool, as they are made in one of several forms."""
    made = events("chat.completions", n=n, tools=CHAT_TOOLS)
    if form == "function_call":
        for delta in (event["choices"][0]["delta"] for event in made if event):
            for call in delta.pop("tool_calls", []):
                delta["function_call"] = call["function"]
    elif form == "two calls":
        *pieces, end, done = made
        again = json.loads(json.dumps(pieces).replace('"tool_calls": [{"index": 0', '"tool_calls": [{"index": 1'))
        made = [*pieces, *again, end, done]
    return made


CHAT_REASON: dict[Cause, str] = {"limit": "length", "policy": "content_filter"}


class TestChat:
    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize(
        ("n", "field"),
        [(1, "content"), (3, "content"), (2, "refusal"), (2, "reasoning"), (2, "reasoning_content")],
    )
    def test_text_ends_with_a_reason_in_each_choice(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, n: int, field: str
    ) -> None:
        whole = chunks_of(events("chat.completions", n=n))
        for stream in cuts("chat.completions", spoken(events("chat.completions", n=n), field), cause):
            serve(raw, stream)
            said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=n, stream=True), field)
            assert said.error is None
            assert said.reasons == {index: [CHAT_REASON[cause]] for index in range(n)}
            assert stream.ending.endswith(b"data: [DONE]\n\n")
            assert all(whole[index].startswith(text) for index, text in said.texts.items())
            assert sum(len(text.split()) for text in said.texts.values()) == stream.at  # one word an event
            assert said.usages == []
            assert len(raw.requests) == 1

    @pytest.mark.parametrize("cause", CAUSES)
    def test_choices_that_have_ended_keep_their_reason(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        numbers = set()
        for stream in cuts("chat.completions", in_order(events("chat.completions", n=3)), cause):
            serve(raw, stream)
            said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=3, stream=True))
            ended = stream.passed.count(b'"finish_reason": "stop"')
            assert said.error is None
            assert said.reasons == {index: ["stop"] for index in range(ended)} | {ended: [CHAT_REASON[cause]]}
            numbers.add(ended)
        assert numbers == {0, 1, 2}

    @pytest.mark.parametrize("cause", CAUSES)
    def test_who_asked_for_usage_gets_it_and_nulls_before_it(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        options: Any = {"stream_options": {"include_usage": True}}
        for stream in cuts("chat.completions", events("chat.completions", n=2, **options), cause, asked=True):
            assert stream.ending.count(b'"usage":null') == 2
            serve(raw, stream)
            said = chunks(
                lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=2, stream=True, **options)
            )
            (usage,) = said.usages
            assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (120, 34, 154)
            assert usage.prompt_tokens_details.cached_tokens == 100

    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize(
        ("form", "n"), [("tool_calls", 1), ("tool_calls", 2), ("function_call", 1), ("two calls", 1)]
    )
    def test_half_arguments_end_in_an_error(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, form: str, n: int
    ) -> None:
        for stream in cuts("chat.completions", calls(form, n), cause, first=1, asked=True):
            serve(raw, stream)
            said = chunks(
                lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=n, tools=CHAT_TOOLS, stream=True)
            )
            assert said.error is not None
            assert said.error.code == "budget_spent"
            assert said.reasons == {}
            assert 0 in said.arguments
            assert b"[DONE]" not in stream.ending
            assert len(raw.requests) == 1

    @pytest.mark.parametrize("cause", CAUSES)
    def test_a_whole_call_beside_a_text_that_goes_on_stays_whole(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        call = events("chat.completions", tools=CHAT_TOOLS)
        like = call[0]
        assert like is not None
        both = [*choice_of(call, 0, like), *choice_of(events("chat.completions"), 1, like), None]
        for stream in cuts("chat.completions", both, cause, first=texts("chat.completions", call)):
            serve(raw, stream)
            said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=2, stream=True))
            assert said.reasons == {0: ["tool_calls"], 1: [CHAT_REASON[cause]]}
            assert json.loads(said.arguments[0]).keys() == {"city", "days"}

    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize("cut", ["text", "call"])
    def test_a_text_beside_a_half_call_ends_in_an_error(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, cut: str
    ) -> None:
        made = events("chat.completions", tools=CHAT_TOOLS)
        like = made[0]
        assert like is not None
        call, text = choice_of(made, 0, like), choice_of(events("chat.completions"), 1, like)
        begun, rest = (call[:3], text) if cut == "text" else ([*text[:3], call[0]], call[1:])
        for stream in cuts("chat.completions", begun + rest, cause, first=texts("chat.completions", begun)):
            serve(raw, stream)
            said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=2, stream=True))
            assert said.error is not None
            assert (said.error.code, said.reasons) == ("budget_spent", {})

    @pytest.mark.parametrize("cause", CAUSES)
    def test_a_call_that_was_held_back_whole_leaves_a_finish(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        made = events("chat.completions", tools=CHAT_TOOLS)
        assert made[0] is not None
        role = made[0] | {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]}
        stream = stopped("chat.completions", [role, *made], 0, cause)
        serve(raw, stream)
        said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, stream=True))
        assert (said.reasons, said.arguments) == ({0: [CHAT_REASON[cause]]}, {})

    @pytest.mark.parametrize(
        ("cause", "error"),
        [("limit", openai.LengthFinishReasonError), ("policy", openai.ContentFilterFinishReasonError)],
    )
    def test_the_client_s_own_accumulation_reads_the_ending(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, error: type[Exception]
    ) -> None:
        for stream in cuts("chat.completions", events("chat.completions", n=2), cause):
            serve(raw, stream)
            with gpt.chat.completions.stream(model="m", messages=QUESTION, n=2) as accumulated:
                for _ in accumulated:
                    pass
                choices = accumulated.current_completion_snapshot.choices
                assert [choice.finish_reason for choice in choices] == [CHAT_REASON[cause]] * 2
                with pytest.raises(error):
                    accumulated.get_final_completion()

    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize("number", [128, 129])
    def test_more_choices_than_can_be_told_apart_end_in_an_error(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, number: int
    ) -> None:
        made = events("chat.completions")
        like = made[0]
        assert like is not None
        many: list[Event] = [event for index in range(number) for event in choice_of(made[:2], index, like)]
        serve(raw, stopped("chat.completions", many, number - 1, cause))
        said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, stream=True))
        assert (said.error and said.error.code) == (None if number == 128 else "budget_spent")
        assert len(said.reasons) == (128 if number == 128 else 0)


def chunks_of(stream: list[Event]) -> dict[int, str]:
    texts: dict[int, str] = {}
    for event in stream:
        for choice in event["choices"] if event else ():
            text = choice["delta"].get("content") if "delta" in choice else choice["text"]
            texts[choice["index"]] = texts.get(choice["index"], "") + (text or "")
    return texts


class TestCompletions:
    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize("asked", [True, False])
    def test_text_ends_with_a_reason_in_each_choice(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, asked: bool
    ) -> None:
        made = events("completions", n=2, stream_options={"include_usage": asked})
        for stream in cuts("completions", made, cause, first=1, asked=asked):
            serve(raw, stream)
            said = chunks(lambda: gpt.completions.create(model="m", prompt="how high is the tide", n=2, stream=True))
            assert said.error is None
            assert said.reasons == {index: [CHAT_REASON[cause]] for index in range(min(stream.at, 2))}
            assert stream.ending.endswith(b"data: [DONE]\n\n")
            assert [usage.total_tokens for usage in said.usages] == ([154] if asked else [])
            assert len(raw.requests) == 1

    @pytest.mark.parametrize("cause", CAUSES)
    def test_choices_that_have_ended_keep_their_reason(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        numbers = set()
        for stream in cuts("completions", in_order(events("completions", n=2)), cause, first=1):
            serve(raw, stream)
            said = chunks(lambda: gpt.completions.create(model="m", prompt="how high is the tide", n=2, stream=True))
            ended = stream.passed.count(b'"finish_reason": "stop"')
            assert said.reasons == {index: [CHAT_REASON[cause] if index >= ended else "stop"] for index in said.texts}
            numbers.add(ended)
        assert numbers == {0, 1}

    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize("number", [128, 129])
    def test_more_choices_than_can_be_told_apart_end_in_an_error(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, number: int
    ) -> None:
        made = events("completions")
        like = made[0]
        assert like is not None
        many: list[Event] = [event for index in range(number + 1) for event in choice_of(made[:1], index, like)]
        serve(raw, stopped("completions", many, number, cause))
        said = chunks(lambda: gpt.completions.create(model="m", prompt="how high is the tide", stream=True))
        assert (said.error and said.error.code) == (None if number == 128 else "budget_spent")
        assert len(said.reasons) == (128 if number == 128 else 0)


RESPONSES_REASON: dict[Cause, str] = {"limit": "max_output_tokens", "policy": "content_filter"}


def incomplete(seen: list[Any], cause: Cause) -> Any:
    """The response that ends these events."""
    last = seen[-1]
    assert last.type == "response.incomplete"
    assert last.response.status == "incomplete"
    assert last.response.incomplete_details.reason == RESPONSES_REASON[cause]
    assert last.response.usage.total_tokens == 154
    return last.response


def ends_in_an_error(gpt: openai.OpenAI) -> list[str]:
    """The events of a response that come before its error; none of them ends it."""
    seen: list[str] = []
    with pytest.raises(openai.APIError) as raised:
        seen.extend(event.type for event in gpt.responses.create(model="m", input="how high is the tide", stream=True))
    assert raised.value.code == "budget_spent"
    assert not any(kind.endswith((".incomplete", ".completed")) for kind in seen)
    return seen


def said_in(seen: list[Any]) -> str:
    """The text of the events of a response."""
    return "".join(event.delta for event in seen if event.type == "response.output_text.delta")


def saying(words: list[str]) -> list[Event]:
    """A response that says these words, an event each."""
    made = events("responses")
    (at, *_), first = [at for at, event in enumerate(made) if event and "delta" in event], made[:4]
    delta = made[at]
    assert at == 4
    assert delta is not None
    return [*first, *[delta | {"delta": word, "sequence_number": 4 + number} for number, word in enumerate(words)]]


def renamed(event: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """An event of a text as one of another kind."""
    made: dict[str, Any] = json.loads(json.dumps(event).replace(f"response.{old}", f"response.{new}"))
    if "part" in made and new != old:
        made["part"] = {"type": new, new: made["part"]["text"]}
    return made


RESPONSES_CALLS = {  # what their arguments come in -> what is called
    "function_call_arguments": "function_call",
    "custom_tool_call_input": "custom_tool_call",
    "mcp_call_arguments": "mcp_call",
}
LEFT_OUT: dict[str, dict[str, Any]] = {  # what is no text of the answer -> the item that it is in
    "reasoning_text": {"type": "reasoning", "summary": []},
    "reasoning_summary_text": {"type": "reasoning", "summary": []},
    "code_interpreter_call_code": {"type": "code_interpreter_call", "status": "in_progress", "container_id": "c"},
}


def beside_the_answer(kind: str) -> list[Event]:
    """A response that begins with an item of this kind."""
    made = events("responses")
    place = {"item_id": "item_1", "output_index": 0, "summary_index" if "summary" in kind else "content_index": 0}
    said: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "output_index": 0, "item": {"id": "item_1"} | LEFT_OUT[kind]},
        *[{"type": f"response.{kind}.delta", **place, "delta": word} for word in ("how ", "high ", "is ", "it")],
    ]
    return [*made[:2], *[event | {"sequence_number": 2 + number} for number, event in enumerate(said)]]


class TestResponses:
    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize("kind", ["output_text", "refusal"])
    def test_text_ends_incomplete_with_a_reason_and_usage(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, kind: str
    ) -> None:
        made: list[Event] = [event and renamed(event, "output_text", kind) for event in events("responses")]
        for stream in cuts("responses", made, cause):
            serve(raw, stream)
            seen = list(gpt.responses.create(model="m", input="how high is the tide", stream=True))
            assert [event.sequence_number for event in seen] == list(range(len(seen)))
            last = incomplete(seen, cause)
            assert last.id == seen[0].response.id  # type: ignore[union-attr]
            (item,) = last.output
            assert (item.type, item.status) == ("message", "incomplete")
            (part,) = item.content
            words = [event.delta for event in seen if event.type == f"response.{kind}.delta"]
            assert (part.type, getattr(part, kind.removeprefix("output_"))) == (kind, "".join(words))
            assert len(words) == stream.at
            assert len(raw.requests) == 1

    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize("kind", LEFT_OUT)
    def test_a_thought_and_a_tool_of_the_provider_s_own_end_incomplete_and_are_left_out(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, kind: str
    ) -> None:
        for stream in cuts("responses", beside_the_answer(kind), cause):
            serve(raw, stream)
            seen = list(gpt.responses.create(model="m", input="how high is the tide", stream=True))
            assert incomplete(seen, cause).output == []
            assert sum(event.type == f"response.{kind}.delta" for event in seen) == stream.at

    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize("form", RESPONSES_CALLS)
    def test_half_arguments_end_in_an_error(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, form: str
    ) -> None:
        made = json.dumps(events("responses", tools=RESPONSES_TOOLS)).replace("function_call_arguments", form)
        made = made.replace('"type": "function_call"', f'"type": "{RESPONSES_CALLS[form]}"')
        for stream in cuts("responses", json.loads(made), cause, first=1):
            serve(raw, stream)
            assert ends_in_an_error(gpt)[-1] in ("response.output_item.added", f"response.{form}.delta")
            assert len(raw.requests) == 1

    @pytest.mark.parametrize("cause", CAUSES)
    def test_a_call_that_was_held_back_whole_leaves_a_finish(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        serve(raw, stopped("responses", events("responses", tools=RESPONSES_TOOLS), 0, cause))
        seen = list(gpt.responses.create(model="m", input="how high is the tide", stream=True))
        assert [event.type for event in seen] == ["response.created", "response.in_progress", "response.incomplete"]
        assert incomplete(seen, cause).output == []

    @pytest.mark.parametrize("cause", CAUSES)
    def test_text_after_a_whole_call_ends_incomplete(self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause) -> None:
        *call, _end = events("responses", tools=RESPONSES_TOOLS)
        both = call + [event | {"output_index": 1} for event in events("responses")[2:] if event]
        before = texts("responses", call)
        for stream in cuts("responses", both, cause, first=before):
            serve(raw, stream)
            seen = list(gpt.responses.create(model="m", input="how high is the tide", stream=True))
            (arguments,) = [event.arguments for event in seen if event.type == "response.function_call_arguments.done"]
            assert json.loads(arguments).keys() == {"city", "days"}
            last = incomplete(seen, cause)
            called, said = last.output
            assert called.type == "function_call"
            assert (called.arguments, called.status) == (arguments, "completed")
            assert said.type == "message"
            assert (said.status, last.output_text) == ("incomplete", said_in(seen))
            assert len(last.output_text.split()) == stream.at - before

    @pytest.mark.parametrize("cause", CAUSES)
    def test_half_a_call_after_a_whole_one_ends_in_an_error(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        *call, _end = events("responses", tools=RESPONSES_TOOLS)
        both = call + [event | {"output_index": 1} for event in call[2:] if event]
        before = texts("responses", call)
        serve(raw, stopped("responses", both, before, cause))  # the second is held back whole
        (one,) = incomplete(list(gpt.responses.create(model="m", input="how high", stream=True)), cause).output
        assert one.type == "function_call"
        for stream in cuts("responses", both, cause, first=before + 1):
            serve(raw, stream)
            assert ends_in_an_error(gpt).count("response.output_item.done") == 1

    @pytest.mark.parametrize("cause", CAUSES)
    @given(words=st.lists(st.text(max_size=12).filter(bool), min_size=1, max_size=12), data=st.data())
    @settings(max_examples=25, deadline=None, database=None)
    def test_the_last_response_says_what_the_client_has_accumulated(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, words: list[str], data: st.DataObject
    ) -> None:
        """Text of any kind, in reads of any size: the client's own snapshot is the oracle."""
        at, size = data.draw(st.integers(0, len(words) - 1)), data.draw(st.sampled_from(SIZES))
        serve(raw, stopped("responses", saying(words), at, cause, size=size))
        with gpt.responses.stream(model="m", input="how high is the tide") as accumulated:
            seen = list(accumulated)
        last = seen[-1]
        assert last.type == "response.incomplete"
        snapshots = [event.snapshot for event in seen if event.type == "response.output_text.delta"]
        assert last.response.output_text == (snapshots[-1] if snapshots else "") == "".join(words[:at])
        assert last.response.id == seen[0].response.id  # type: ignore[union-attr]
        opened = [event.item.id for event in seen if event.type == "response.output_item.added"]
        assert [item.id for item in last.response.output] == opened
        assert not any(event.type.endswith(".done") for event in seen)

    def test_parts_that_have_ended_stand_before_the_one_that_has_not(
        self, gpt: openai.OpenAI, raw: RawProvider
    ) -> None:
        made = events("responses")
        *first, _item, _end = made
        number = len(first)
        again = [event | {"content_index": 1} for event in first[3:] if event]
        refused = [
            renamed(event, "output_text", "refusal") | {"sequence_number": number + at}
            for at, event in enumerate(again)
        ]
        stream = stopped("responses", [*first, *refused], texts("responses", first) + 3, "limit")
        serve(raw, stream)
        seen = list(gpt.responses.create(model="m", input="how high is the tide", stream=True))
        last = seen[-1]
        assert last.type == "response.incomplete"
        (item,) = last.response.output
        assert item.type == "message"
        said, no = item.content
        assert said.type == "output_text"
        assert said.text == said_in(seen)
        assert no.type == "refusal"
        assert len(no.refusal.split()) == 3

    @pytest.mark.parametrize(("size", "whole"), [(LONGEST_SAID - 20, True), (LONGEST_SAID + 1, False)])
    def test_what_is_too_long_to_keep_is_not_repeated(
        self, gpt: openai.OpenAI, raw: RawProvider, size: int, whole: bool
    ) -> None:
        words = [" tide"] * (size // 5)
        stream = stopped("responses", saying([*words, " x"]), len(words), "limit")
        serve(raw, stream)
        seen = list(gpt.responses.create(model="m", input="how high is the tide", stream=True))
        assert seen[-1].type == "response.incomplete"
        assert seen[-1].response.output_text == (said_in(seen) if whole else "")

    @pytest.mark.parametrize("cause", CAUSES)
    def test_the_client_s_own_accumulation_has_no_final_response_as_after_the_provider_s_own_ending(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        own = events("responses", words=None, max_output_tokens=4)
        ours = stopped("responses", events("responses"), 4, cause)
        for data in (b"".join(map(encoded, own)), ours.passed + ours.ending):
            raw.answer = always(HEAD + data, close=True)
            with gpt.responses.stream(model="m", input="how high is the tide") as accumulated:
                seen = list(accumulated)
                assert seen[-1].type == "response.incomplete"
                with pytest.raises(RuntimeError, match="Didn't receive"):
                    accumulated.get_final_response()

    @pytest.mark.parametrize("cause", CAUSES)
    def test_a_response_whose_opening_is_not_known_ends_in_an_error(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        for stream in cuts("responses", events("responses")[1:], cause):
            serve(raw, stream)
            assert len(ends_in_an_error(gpt)) == 3 + stream.at


MESSAGES_REASON: dict[Cause, str] = {"limit": "max_tokens", "policy": "refusal"}
THINKING: list[Event] = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    *[
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": word}}
        for word in ("how ", "high ", "is ", "it")
    ],
]


def finished(claude: anthropic.Anthropic, cause: Cause) -> tuple[list[str], Any]:
    """What came of a stream of which the client makes a whole message, and the message."""
    with claude.messages.stream(model="m", messages=QUESTION, max_tokens=12) as accumulated:
        kinds = [event.type for event in accumulated]
        final = accumulated.get_final_message()
    assert final.stop_reason == MESSAGES_REASON[cause]
    assert (final.usage.input_tokens, final.usage.output_tokens) == (13, 34)
    assert (final.usage.cache_read_input_tokens, final.usage.cache_creation_input_tokens) == (100, 7)
    explanation = final.stop_details.explanation if final.stop_details else None
    assert explanation == ("the budget `team` is spent" if cause == "policy" else None)
    assert kinds[-2:] == ["message_delta", "message_stop"]
    return kinds, final


def raised(claude: anthropic.Anthropic) -> list[str]:
    """What came of a stream before its error."""
    seen: list[str] = []
    with (
        claude.messages.stream(model="m", messages=QUESTION, max_tokens=12) as accumulated,
        pytest.raises(anthropic.APIStatusError, match="budget_spent") as error,
    ):
        seen.extend(event.type for event in accumulated)
    assert error.value.status_code == 200
    assert not {"message_delta", "message_stop"} & set(seen)
    return seen


class TestMessages:
    @pytest.mark.parametrize("cause", CAUSES)
    def test_text_ends_with_a_reason_and_usage(
        self, claude: anthropic.Anthropic, raw: RawProvider, cause: Cause
    ) -> None:
        for stream in cuts("messages", events("messages"), cause):
            serve(raw, stream)
            kinds, final = finished(claude, cause)
            assert kinds[-3] == "content_block_stop"
            (block,) = final.content
            assert block.type == "text"
            assert len(block.text.split()) == stream.at
            assert len(raw.requests) == 1

    @pytest.mark.parametrize("cause", CAUSES)
    def test_thinking_ends_with_a_reason_and_usage(
        self, claude: anthropic.Anthropic, raw: RawProvider, cause: Cause
    ) -> None:
        for stream in cuts("messages", [events("messages")[0], *THINKING], cause):
            serve(raw, stream)
            kinds, final = finished(claude, cause)
            assert kinds[-3] == "content_block_stop"
            (block,) = final.content
            assert block.type == "thinking"
            assert (len(block.thinking.split()), block.signature) == (stream.at, "")

    @pytest.mark.parametrize("cause", CAUSES)
    def test_half_input_ends_in_an_error(self, claude: anthropic.Anthropic, raw: RawProvider, cause: Cause) -> None:
        made = events("messages", tools=MESSAGES_TOOLS, max_tokens=100)
        for stream in cuts("messages", made, cause, first=1):
            serve(raw, stream)
            seen = raised(claude)
            assert seen.count("content_block_start") == 1
            assert "content_block_stop" not in seen
            assert len(raw.requests) == 1

    def test_what_the_client_makes_of_half_input_that_ends_as_if_it_were_whole(
        self, claude: anthropic.Anthropic, raw: RawProvider
    ) -> None:
        """Why half a call gets no finish: it would be an object that the model never wrote."""
        made = events("messages", tools=MESSAGES_TOOLS, max_tokens=100)[:2]
        half = {"type": "content_block_delta", "index": 0}
        made.append(half | {"delta": {"type": "input_json_delta", "partial_json": '{"paths": ["/data/tmp", "/data'}})
        made += [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 9}},
            {"type": "message_stop"},
        ]
        raw.answer = always(HEAD + b"".join(map(encoded, made)), close=True)
        with claude.messages.stream(model="m", messages=QUESTION, max_tokens=12) as accumulated:
            (block,) = accumulated.get_final_message().content
        assert block.type == "tool_use"
        assert block.input == {"paths": ["/data/tmp"]}

    @pytest.mark.parametrize("cause", CAUSES)
    def test_a_call_that_was_held_back_whole_leaves_a_finish(
        self, claude: anthropic.Anthropic, raw: RawProvider, cause: Cause
    ) -> None:
        serve(raw, stopped("messages", events("messages", tools=MESSAGES_TOOLS), 0, cause))
        kinds, final = finished(claude, cause)
        assert (kinds, final.content) == (["message_start", "message_delta", "message_stop"], [])

    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize("before", ["text", "call"])
    def test_between_two_blocks_no_block_is_ended_again(
        self, claude: anthropic.Anthropic, raw: RawProvider, cause: Cause, before: str
    ) -> None:
        call = events("messages", tools=MESSAGES_TOOLS, max_tokens=100)
        first = (events("messages") if before == "text" else call)[:-2]
        both = first + [event | {"index": 1} for event in call[1:2] if event]
        serve(raw, stopped("messages", both, texts("messages", first), cause))
        kinds, final = finished(claude, cause)
        assert kinds.count("content_block_stop") == 1
        (block,) = final.content
        assert block.type == ("text" if before == "text" else "tool_use")

    @pytest.mark.parametrize("cause", CAUSES)
    def test_a_whole_call_before_a_text_that_goes_on_stays_whole(
        self, claude: anthropic.Anthropic, raw: RawProvider, cause: Cause
    ) -> None:
        call = events("messages", tools=MESSAGES_TOOLS, max_tokens=100)[:-2]
        both = call + [event | {"index": 1} for event in events("messages")[1:-2] if event]
        before = texts("messages", call)
        for stream in cuts("messages", both, cause, first=before):
            serve(raw, stream)
            _, final = finished(claude, cause)
            used, said = final.content
            assert used.type == "tool_use"
            assert used.input.keys() == {"city", "days"}
            assert said.type == "text"
            assert len(said.text.split()) == stream.at - before

    @pytest.mark.parametrize("cause", CAUSES)
    def test_half_a_call_after_a_whole_one_ends_in_an_error(
        self, claude: anthropic.Anthropic, raw: RawProvider, cause: Cause
    ) -> None:
        call = events("messages", tools=MESSAGES_TOOLS, max_tokens=100)[:-2]
        both = call + [event | {"index": 1} for event in call[1:] if event]
        for stream in cuts("messages", both, cause, first=texts("messages", call) + 1):
            serve(raw, stream)
            seen = raised(claude)
            assert (seen.count("content_block_start"), seen.count("content_block_stop")) == (2, 1)


# what holds for all


def test_an_answer_that_is_no_stream_has_no_ending() -> None:
    stop = Stop("limit", Spent("no"), b"run_1", USED)
    meter = Meter("embeddings", published("o200k_base"), limit=1 << 20)
    assert ROUTES["embeddings"].stop(stop, meter) is None


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("endpoint", PATHS)
def test_a_stream_of_which_nothing_is_known_ends_in_an_error(endpoint: str, cause: Cause) -> None:
    route = ROUTES[endpoint]
    stop = Stop(cause, Spent("no"), b"run_1", USED)
    ending = route.stop(stop, Meter(endpoint, published("o200k_base"), limit=1 << 20))
    assert route.stream_error is not None
    assert ending == b": stopped by tidegate: budget_spent\n\n" + route.stream_error(stop.error, stop.run)


@pytest.mark.parametrize("endpoint", PATHS)
@pytest.mark.parametrize("half", [b"\\ud83d", b"\xf0\x9f"])
def test_a_text_that_was_cut_inside_a_character_ends_as_any(endpoint: str, half: bytes) -> None:
    """Of an event that strict parsers refuse."""
    whole = stopped(endpoint, events(endpoint), 3, "limit")
    assert whole.meter.held_back is not None
    text = json.dumps(said_by(json.loads(whole.meter.held_back))).encode()
    spoilt = whole.meter.held_back.replace(text, b'"%b"' % half)
    meter = Meter(endpoint, published("o200k_base"), limit=1 << 20)
    questions = itertools.count()
    meter.watch(0, lambda tokens: -1 if next(questions) == 3 else 0)
    meter.feed(whole.passed + b"data: %b\n\n" % spoilt)
    assert meter.held_back == spoilt
    stop = Stop("limit", Spent("the budget `team` is spent"), b"run_1", USED)
    assert ROUTES[endpoint].stop(stop, meter) == whole.ending


def said_by(event: dict[str, Any]) -> str:
    """The text of an event."""
    if "choices" in event:
        choice = event["choices"][0]
        text = choice["text"] if "text" in choice else choice["delta"]["content"]
    else:
        text = event["delta"]["text"] if event["type"] == "content_block_delta" else event["delta"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("endpoint", PATHS)
@pytest.mark.parametrize("cause", CAUSES)
def test_an_ending_is_events_however_the_provider_spells_its_own(endpoint: str, cause: Cause) -> None:
    """In several lines, with odd members and with none of those that an ending repeats."""
    made = events(endpoint)
    repeated = ("id", "model", "index", "sequence_number")
    for odd in (
        lambda event: json.dumps(event, indent=1),
        lambda event: json.dumps({name: value for name, value in event.items() if name not in repeated}),
        lambda event: json.dumps(event | {name: {"a": [1, None]} for name in repeated}, indent=1),
    ):
        lines = [b"".join(b"data: %b\n" % line.encode() for line in odd(event).split("\n")) for event in made if event]
        meter = Meter(endpoint, published("o200k_base"), limit=1 << 20)
        meter.watch(2, lambda tokens: -1)
        meter.feed(b"\n".join(lines) + b"\n")
        assert meter.stopped
        ending = ROUTES[endpoint].stop(Stop(cause, Spent("no"), b"run_1", USED, True), meter)
        assert ending is not None
        assert ending.endswith(b"\n\n")
        for event in ending.removesuffix(b"\n\n").split(b"\n\n")[1:]:
            *named, line = event.split(b"\n")
            assert len(named) == (1 if endpoint in ("responses", "messages") else 0)
            with contextlib.suppress(json.JSONDecodeError):
                assert isinstance(json.loads(line.removeprefix(b"data: ")), dict)
                continue
            assert line == b"data: [DONE]"
