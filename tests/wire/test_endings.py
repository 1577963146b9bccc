"""How a stream ends that is stopped, as the official clients read it: each row of the table in docs/streams.md.

The beginnings are the simulated provider's, cut at any event; the endings go over a socket.
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
from hypothesis import HealthCheck, given, settings
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

    passed: bytes
    ending: bytes
    meter: Meter


def events(endpoint: str, **more: Any) -> list[Event]:
    """What the simulated provider streams."""
    route, body = PROVIDER[PATHS[endpoint]], msgspec.json.encode(ASKED[endpoint] | more | {"stream": True})
    answer = route.answer(msgspec.json.decode(body, type=route.form), Sampler(7, body))
    assert answer.events is not None
    return [event.document for event in answer.events]


def encoded(event: Event) -> bytes:
    if event is None:
        return b"data: [DONE]\n\n"
    name = b"event: %b\n" % event["type"].encode() if "type" in event else b""
    return name + b"data: %b\n\n" % json.dumps(event).encode()


def stopped(
    endpoint: str, stream: list[Event], at: int, cause: Cause, *, asked: bool = False, size: int = 1 << 20
) -> Stopped | None:
    """The stream, stopped at its text of this number; None if it has not so many, or nothing went on before."""
    data, numbers = b"".join(map(encoded, stream)), itertools.count()
    meter = Meter(endpoint, published("o200k_base"), limit=1 << 20)
    meter.watch(0, lambda tokens: -1 if next(numbers) == at else 0)
    passed = b"".join(meter.feed(data[start : start + size]) for start in range(0, len(data), size)) + meter.rest()
    if not meter.stopped or not passed:
        return None
    error = Spent("the budget `team` is spent")
    ending = ROUTES[endpoint].stop(Stop(cause, error, b"run_1", USED, asked), meter)
    assert ending is not None
    return Stopped(passed, ending, meter)


cuts: Any = st.tuples(st.integers(0, 60), st.sampled_from((1 << 20, 700, 64)))


def examples(count: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=count, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
    )


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


def chunks(made: Callable[[], Any]) -> Said:
    said = Said({}, {}, {}, [])
    try:
        for chunk in made():
            said.usages += [chunk.usage] if chunk.usage else []
            for choice in chunk.choices:
                delta = getattr(choice, "delta", None)
                text = (delta.content or "") if delta is not None else choice.text
                said.texts[choice.index] = said.texts.get(choice.index, "") + text
                for call in (delta.tool_calls or []) if delta is not None else []:
                    pieces = said.arguments.get(choice.index, "") + (call.function.arguments or "")
                    said.arguments[choice.index] = pieces
                if choice.finish_reason:
                    said.reasons.setdefault(choice.index, []).append(choice.finish_reason)
    except openai.APIError as error:
        said.error = error
    return said


def in_order(stream: list[Event]) -> list[Event]:
    """The chunks of a stream with one choice after the other."""
    return sorted(stream, key=lambda event: event["choices"][0]["index"] if event and event["choices"] else 1000)


def choice_of(stream: list[Event], index: int, like: dict[str, Any]) -> list[Event]:
    """The chunks of a stream with one choice as those of another stream."""
    return [
        like | {"choices": [event["choices"][0] | {"index": index}]} for event in stream if event and event["choices"]
    ]


CHAT_REASON: dict[Cause, str] = {"limit": "length", "policy": "content_filter"}


class TestChat:
    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize("n", [1, 3])
    def test_text_ends_with_a_reason_in_each_choice(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, n: int
    ) -> None:
        @given(cuts)
        @examples(15)
        def check(cut: tuple[int, int]) -> None:
            stream = stopped("chat.completions", events("chat.completions", n=n), cut[0], cause, size=cut[1])
            if stream is None:
                return
            serve(raw, stream)
            said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=n, stream=True))
            assert said.error is None
            assert said.reasons == {index: [CHAT_REASON[cause]] for index in range(n)}
            assert stream.ending.endswith(b"data: [DONE]\n\n")
            whole = chunks_of(events("chat.completions", n=n))
            assert all(whole[index].startswith(text) for index, text in said.texts.items())
            assert sum(len(text.split()) for text in said.texts.values()) == cut[0]  # one word an event
            assert said.usages == []

        check()

    @pytest.mark.parametrize("cause", CAUSES)
    def test_choices_that_have_ended_keep_their_reason(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        @given(st.integers(0, 100))
        @examples(15)
        def check(at: int) -> None:
            stream = stopped("chat.completions", in_order(events("chat.completions", n=3)), at, cause)
            if stream is None:
                return
            serve(raw, stream)
            said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=3, stream=True))
            ended = stream.meter.finish
            assert said.error is None
            reasons = {index: ["stop" if index in ended else CHAT_REASON[cause]] for index in said.texts}
            assert said.reasons == reasons

        check()

    @pytest.mark.parametrize("cause", CAUSES)
    def test_who_asked_for_usage_gets_it_and_nulls_before_it(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        options: Any = {"stream_options": {"include_usage": True}}
        stream = stopped("chat.completions", events("chat.completions", n=2, **options), 5, cause, asked=True)
        assert stream is not None
        assert stream.ending.count(b'"usage":null') == 2
        serve(raw, stream)
        said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=2, stream=True, **options))
        (usage,) = said.usages
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (120, 34, 154)
        assert usage.prompt_tokens_details.cached_tokens == 100

    @pytest.mark.parametrize("cause", CAUSES)
    @pytest.mark.parametrize("n", [1, 2])
    def test_half_arguments_end_in_an_error(self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, n: int) -> None:
        @given(cuts)
        @examples(15)
        def check(cut: tuple[int, int]) -> None:
            made = events("chat.completions", n=n, tools=CHAT_TOOLS)
            stream = stopped("chat.completions", made, cut[0], cause, asked=True, size=cut[1])
            if stream is None:
                return
            serve(raw, stream)
            said = chunks(
                lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=n, tools=CHAT_TOOLS, stream=True)
            )
            assert said.error is not None
            assert said.error.code == "budget_spent"
            assert said.reasons == {}
            assert b"[DONE]" not in stream.ending
            assert len(raw.requests) == 1

        check()

    def test_a_whole_call_beside_a_text_that_goes_on_stays_whole(self, gpt: openai.OpenAI, raw: RawProvider) -> None:
        call = events("chat.completions", tools=CHAT_TOOLS)
        like = call[0]
        assert like is not None
        both = [*choice_of(call, 0, like), *choice_of(events("chat.completions"), 1, like), None]
        stream = stopped("chat.completions", both, len(call) + 2, "limit")
        assert stream is not None
        serve(raw, stream)
        said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=2, stream=True))
        assert said.reasons == {0: ["tool_calls"], 1: ["length"]}
        assert json.loads(said.arguments[0]).keys() == {"city", "days"}

    def test_a_text_beside_a_half_call_ends_in_an_error(self, gpt: openai.OpenAI, raw: RawProvider) -> None:
        call = events("chat.completions", tools=CHAT_TOOLS)
        like = call[0]
        assert like is not None
        both = [*choice_of(call[:3], 0, like), *choice_of(events("chat.completions"), 1, like), None]
        stream = stopped("chat.completions", both, 6, "limit")
        assert stream is not None
        serve(raw, stream)
        said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, n=2, stream=True))
        assert said.error is not None
        assert (said.error.code, said.reasons) == ("budget_spent", {})

    def test_a_call_that_was_held_back_whole_leaves_a_finish(self, gpt: openai.OpenAI, raw: RawProvider) -> None:
        made = events("chat.completions", tools=CHAT_TOOLS)
        assert made[0] is not None
        role = made[0] | {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]}
        stream = stopped("chat.completions", [role, *made], 0, "limit")
        assert stream is not None
        serve(raw, stream)
        said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, stream=True))
        assert (said.reasons, said.arguments) == ({0: ["length"]}, {})

    @pytest.mark.parametrize(
        ("cause", "error"),
        [("limit", openai.LengthFinishReasonError), ("policy", openai.ContentFilterFinishReasonError)],
    )
    def test_the_client_s_own_accumulation_reads_the_ending(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause, error: type[Exception]
    ) -> None:
        stream = stopped("chat.completions", events("chat.completions", n=2), 7, cause)
        assert stream is not None
        serve(raw, stream)
        with gpt.chat.completions.stream(model="m", messages=QUESTION, n=2) as accumulated:
            for _ in accumulated:
                pass
            choices = accumulated.current_completion_snapshot.choices
            assert [choice.finish_reason for choice in choices] == [CHAT_REASON[cause]] * 2
            with pytest.raises(error):
                accumulated.get_final_completion()

    def test_more_choices_than_can_be_told_apart_end_in_an_error(self, gpt: openai.OpenAI, raw: RawProvider) -> None:
        made = events("chat.completions", n=1)
        like = made[0]
        assert like is not None
        many = [event for index in range(130) for event in choice_of(made[:2], index, like)]
        stream = stopped("chat.completions", many, 129, "limit")
        assert stream is not None
        serve(raw, stream)
        said = chunks(lambda: gpt.chat.completions.create(model="m", messages=QUESTION, stream=True))
        assert said.error is not None


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
        @given(cuts)
        @examples(15)
        def check(cut: tuple[int, int]) -> None:
            made = events("completions", n=2, stream_options={"include_usage": asked})
            stream = stopped("completions", made, cut[0], cause, asked=asked, size=cut[1])
            if stream is None:
                return
            serve(raw, stream)
            said = chunks(lambda: gpt.completions.create(model="m", prompt="how high is the tide", n=2, stream=True))
            assert said.error is None
            assert said.reasons == {index: [CHAT_REASON[cause]] for index in range(min(cut[0], 2))}
            assert [usage.total_tokens for usage in said.usages] == ([154] if asked else [])

        check()


RESPONSES_REASON: dict[Cause, str] = {"limit": "max_output_tokens", "policy": "content_filter"}


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
    """An event of a text as one of a refusal."""
    made: dict[str, Any] = json.loads(json.dumps(event).replace(f"response.{old}", f"response.{new}"))
    if "part" in made:
        made["part"] = {"type": new, new: made["part"]["text"]}
    return made


class TestResponses:
    @pytest.mark.parametrize("cause", CAUSES)
    def test_text_ends_incomplete_with_a_reason_and_usage(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        @given(cuts)
        @examples(15)
        def check(cut: tuple[int, int]) -> None:
            stream = stopped("responses", events("responses"), cut[0], cause, size=cut[1])
            if stream is None:
                return
            serve(raw, stream)
            seen = list(gpt.responses.create(model="m", input="how high is the tide", stream=True))
            assert [event.sequence_number for event in seen] == list(range(len(seen)))
            last = seen[-1]
            assert last.type == "response.incomplete"
            assert last.response.id == seen[0].response.id  # type: ignore[union-attr]
            assert last.response.status == "incomplete"
            assert last.response.output_text == said_in(seen)
            assert [item.status for item in last.response.output] == ["incomplete"]  # type: ignore[union-attr]
            assert last.response.incomplete_details is not None
            assert last.response.incomplete_details.reason == RESPONSES_REASON[cause]
            assert last.response.usage is not None
            assert last.response.usage.total_tokens == 154
            assert sum(event.type == "response.output_text.delta" for event in seen) == cut[0]

        check()

    @pytest.mark.parametrize("cause", CAUSES)
    def test_half_arguments_end_in_an_error(self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause) -> None:
        @given(st.integers(1, 60))
        @examples(10)
        def check(at: int) -> None:
            stream = stopped("responses", events("responses", tools=RESPONSES_TOOLS), at, cause)
            if stream is None:
                return
            serve(raw, stream)
            seen: list[str] = []
            with pytest.raises(openai.APIError) as raised:
                seen.extend(
                    event.type for event in gpt.responses.create(model="m", input="how high is the tide", stream=True)
                )
            assert raised.value.code == "budget_spent"
            assert not any(kind.endswith((".done", ".incomplete", ".completed")) for kind in seen)
            assert len(raw.requests) == 1

        check()

    def test_a_call_that_was_held_back_whole_leaves_a_finish(self, gpt: openai.OpenAI, raw: RawProvider) -> None:
        stream = stopped("responses", events("responses", tools=RESPONSES_TOOLS), 0, "limit")
        assert stream is not None
        serve(raw, stream)
        seen = list(gpt.responses.create(model="m", input="how high is the tide", stream=True))
        assert [event.type for event in seen] == ["response.created", "response.in_progress", "response.incomplete"]
        assert seen[-1].response.output == []  # type: ignore[union-attr]

    def test_text_after_a_whole_call_ends_incomplete(self, gpt: openai.OpenAI, raw: RawProvider) -> None:
        call, text = events("responses", tools=RESPONSES_TOOLS), events("responses")
        both = call[:-1] + [event | {"output_index": 1} for event in text[2:] if event]
        texts = sum(event is not None and "delta" in event for event in call) + 1
        stream = stopped("responses", both, texts + 2, "limit")
        assert stream is not None
        serve(raw, stream)
        seen = list(gpt.responses.create(model="m", input="how high is the tide", stream=True))
        (arguments,) = [event.arguments for event in seen if event.type == "response.function_call_arguments.done"]
        assert json.loads(arguments).keys() == {"city", "days"}
        last = seen[-1]
        assert last.type == "response.incomplete"
        called, said = last.response.output
        assert called.type == "function_call"
        assert (called.arguments, called.status) == (arguments, "completed")
        assert said.type == "message"
        assert (said.status, last.response.output_text) == ("incomplete", said_in(seen))
        assert len(last.response.output_text.split()) == 2

    @pytest.mark.parametrize("cause", CAUSES)
    def test_the_last_response_says_what_the_client_has_accumulated(
        self, gpt: openai.OpenAI, raw: RawProvider, cause: Cause
    ) -> None:
        """Text of any kind, in reads of any size: the client's own snapshot is the oracle."""

        @given(st.lists(st.text(max_size=12).filter(bool), min_size=1, max_size=12), cuts)
        @examples(25)
        def check(words: list[str], cut: tuple[int, int]) -> None:
            stream = stopped("responses", saying(words), cut[0] % 12, cause, size=cut[1])
            if stream is None:
                return
            serve(raw, stream)
            with gpt.responses.stream(model="m", input="how high is the tide") as accumulated:
                seen = list(accumulated)
            last = seen[-1]
            assert last.type == "response.incomplete"
            snapshots = [event.snapshot for event in seen if event.type == "response.output_text.delta"]
            assert last.response.output_text == (snapshots[-1] if snapshots else "")
            assert last.response.id == seen[0].response.id  # type: ignore[union-attr]
            opened = [event.item.id for event in seen if event.type == "response.output_item.added"]
            assert [item.id for item in last.response.output] == opened
            assert not any(event.type.endswith(".done") for event in seen)

        check()

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
        texts = sum(event is not None and "delta" in event for event in first)
        stream = stopped("responses", [*first, *refused], texts + 3, "limit")
        assert stream is not None
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
        assert stream is not None
        serve(raw, stream)
        seen = list(gpt.responses.create(model="m", input="how high is the tide", stream=True))
        assert seen[-1].type == "response.incomplete"
        assert seen[-1].response.output_text == (said_in(seen) if whole else "")

    def test_the_client_s_own_accumulation_has_no_final_response_as_after_the_provider_s_own_ending(
        self, gpt: openai.OpenAI, raw: RawProvider
    ) -> None:
        own = events("responses", max_output_tokens=4)
        ours = stopped("responses", events("responses"), 4, "limit")
        assert ours is not None
        for data in (b"".join(map(encoded, own)), ours.passed + ours.ending):
            raw.answer = always(HEAD + data, close=True)
            with gpt.responses.stream(model="m", input="how high is the tide") as accumulated:
                seen = list(accumulated)
                assert seen[-1].type == "response.incomplete"
                with pytest.raises(RuntimeError, match="Didn't receive"):
                    accumulated.get_final_response()

    def test_a_response_whose_opening_is_not_known_ends_in_an_error(self, gpt: openai.OpenAI, raw: RawProvider) -> None:
        stream = stopped("responses", events("responses")[1:], 3, "limit")
        assert stream is not None
        serve(raw, stream)
        with pytest.raises(openai.APIError):
            list(gpt.responses.create(model="m", input="how high is the tide", stream=True))


MESSAGES_REASON: dict[Cause, str] = {"limit": "max_tokens", "policy": "refusal"}
THINKING: list[Event] = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    *[
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": word}}
        for word in ("how ", "high ", "is ", "it")
    ],
]


class TestMessages:
    @pytest.mark.parametrize("cause", CAUSES)
    def test_text_ends_with_a_reason_and_usage(
        self, claude: anthropic.Anthropic, raw: RawProvider, cause: Cause
    ) -> None:
        @given(cuts)
        @examples(15)
        def check(cut: tuple[int, int]) -> None:
            stream = stopped("messages", events("messages"), cut[0], cause, size=cut[1])
            if stream is None:
                return
            serve(raw, stream)
            with claude.messages.stream(model="m", messages=QUESTION, max_tokens=12) as accumulated:
                kinds = [event.type for event in accumulated]
                final = accumulated.get_final_message()
            assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
            assert final.stop_reason == MESSAGES_REASON[cause]
            assert (final.usage.input_tokens, final.usage.output_tokens) == (13, 34)
            assert (final.usage.cache_read_input_tokens, final.usage.cache_creation_input_tokens) == (100, 7)
            explanation = final.stop_details.explanation if final.stop_details else None
            assert explanation == ("the budget `team` is spent" if cause == "policy" else None)
            (block,) = final.content
            assert block.type == "text"
            assert len(block.text.split()) == cut[0]

        check()

    @pytest.mark.parametrize("cause", CAUSES)
    def test_half_input_ends_in_an_error(self, claude: anthropic.Anthropic, raw: RawProvider, cause: Cause) -> None:
        @given(st.integers(1, 60))
        @examples(10)
        def check(at: int) -> None:
            made = events("messages", tools=MESSAGES_TOOLS, max_tokens=100)
            stream = stopped("messages", made, at, cause)
            if stream is None:
                return
            serve(raw, stream)
            seen: list[str] = []
            with (
                claude.messages.stream(model="m", messages=QUESTION, max_tokens=12) as accumulated,
                pytest.raises(anthropic.APIStatusError, match="budget_spent"),
            ):
                seen.extend(event.type for event in accumulated)
            assert not {"content_block_stop", "message_delta", "message_stop"} & set(seen)
            assert len(raw.requests) == 1

        check()

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

    def test_a_call_that_was_held_back_whole_leaves_a_finish(
        self, claude: anthropic.Anthropic, raw: RawProvider
    ) -> None:
        stream = stopped("messages", events("messages", tools=MESSAGES_TOOLS), 0, "limit")
        assert stream is not None
        serve(raw, stream)
        with claude.messages.stream(model="m", messages=QUESTION, max_tokens=12) as accumulated:
            final = accumulated.get_final_message()
        assert (final.content, final.stop_reason) == ([], "max_tokens")

    @pytest.mark.parametrize("cause", CAUSES)
    def test_between_two_blocks_no_block_is_ended_again(
        self, claude: anthropic.Anthropic, raw: RawProvider, cause: Cause
    ) -> None:
        text, call = events("messages"), events("messages", tools=MESSAGES_TOOLS)
        both = text[:-2] + [event | {"index": 1} for event in call[1:2] if event]
        stream = stopped("messages", both, 12, cause)
        assert stream is not None
        serve(raw, stream)
        with claude.messages.stream(model="m", messages=QUESTION, max_tokens=12) as accumulated:
            kinds = [event.type for event in accumulated]
            final = accumulated.get_final_message()
        assert kinds.count("content_block_stop") == 1
        assert (len(final.content), final.stop_reason) == (1, MESSAGES_REASON[cause])

    def test_a_whole_call_before_a_text_that_goes_on_stays_whole(
        self, claude: anthropic.Anthropic, raw: RawProvider
    ) -> None:
        call, text = events("messages", tools=MESSAGES_TOOLS, max_tokens=100), events("messages")
        both = call[:-2] + [event | {"index": 1} for event in text[1:-2] if event]
        texts = sum(event is not None and event["type"] == "content_block_delta" for event in call) + 1
        stream = stopped("messages", both, texts + 2, "limit")
        assert stream is not None
        serve(raw, stream)
        with claude.messages.stream(model="m", messages=QUESTION, max_tokens=12) as accumulated:
            final = accumulated.get_final_message()
        used, said = final.content
        assert used.type == "tool_use"
        assert used.input.keys() == {"city", "days"}  # type: ignore[attr-defined]
        assert said.type == "text"
        assert len(said.text.split()) == 2
        assert final.stop_reason == "max_tokens"

    def test_thinking_ends_with_a_reason(self, claude: anthropic.Anthropic, raw: RawProvider) -> None:
        stream = stopped("messages", [events("messages")[0], *THINKING], 2, "limit")
        assert stream is not None
        serve(raw, stream)
        with claude.messages.stream(model="m", messages=QUESTION, max_tokens=12) as accumulated:
            final = accumulated.get_final_message()
        (block,) = final.content
        assert block.type == "thinking"
        assert (block.thinking, block.signature, final.stop_reason) == ("how high ", "", "max_tokens")


# what holds for all


def test_an_answer_that_is_no_stream_has_no_ending() -> None:
    stop = Stop("limit", Spent("no"), b"run_1", USED)
    meter = Meter("embeddings", published("o200k_base"), limit=1 << 20)
    assert ROUTES["embeddings"].stop(stop, meter) is None


@pytest.mark.parametrize("endpoint", PATHS)
def test_a_stream_of_which_nothing_is_known_ends_in_an_error(endpoint: str) -> None:
    route = ROUTES[endpoint]
    stop = Stop("limit", Spent("no"), b"run_1", USED)
    ending = route.stop(stop, Meter(endpoint, published("o200k_base"), limit=1 << 20))
    assert route.stream_error is not None
    assert ending == b": stopped by tidegate: budget_spent\n\n" + route.stream_error(stop.error, stop.run)


@pytest.mark.parametrize("endpoint", PATHS)
@pytest.mark.parametrize("half", [b"\\ud83d", b"\xf0\x9f"])
def test_a_text_that_was_cut_inside_a_character_ends_as_any(endpoint: str, half: bytes) -> None:
    """Of an event that strict parsers refuse."""
    whole = stopped(endpoint, events(endpoint), 3, "limit")
    assert whole is not None
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
