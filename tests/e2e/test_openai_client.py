"""The official `openai` Python client through a gateway."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.place import SCHEMA, Place, fits, placed, wire
from tests.gateway import Gateway, running
from tests.providers import RawProvider, integration, until

QUESTION: Any = [{"role": "user", "content": "how high is the tide"}]
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "tide", "parameters": SCHEMA}}]
RESPONSES_TOOLS: Any = [{"type": "function", "name": "tide", "parameters": SCHEMA, "strict": True}]
LONG = "simulated-pace-20+words-500"  # ten seconds


def client_of(gateway: Gateway, **options: Any) -> openai.OpenAI:
    defaults: dict[str, Any] = {"api_key": "any", "max_retries": 0, "timeout": 15}
    return openai.OpenAI(base_url=f"{gateway.url}/v1", **defaults | options)


@pytest.fixture(scope="module")
def gpt(place: Place) -> Iterator[openai.OpenAI]:
    with client_of(place.gateway) as client:
        yield client


async def async_client(place: Place) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{place.gateway.url}/v1", api_key="any", max_retries=0, timeout=15)


def attempts(error: openai.APIStatusError) -> int:
    """How often the client sent the call that ended so; it counts in a field of its own."""
    return 1 + int(error.request.headers["x-stainless-retry-count"])


class TestAnswers:
    def test_chat(self, gpt: openai.OpenAI) -> None:
        plain = gpt.chat.completions.create(model="simulated", messages=QUESTION, n=2)
        assert plain.usage is not None
        texts = [choice.message.content or "" for choice in plain.choices]
        assert texts[0] != texts[1]
        assert plain.usage.completion_tokens == sum(len(text.split()) for text in texts)
        assert (plain._request_id or "").startswith("req_")

    @pytest.mark.parametrize("asked", [True, False, None])
    def test_chat_as_a_stream_with_usage_only_where_it_is_asked_for(
        self, gpt: openai.OpenAI, asked: bool | None
    ) -> None:
        plain = gpt.chat.completions.create(model="simulated", messages=QUESTION, n=2)
        options: Any = {} if asked is None else {"stream_options": {"include_usage": asked}}
        said, usages, reasons = ["", ""], [], []
        for chunk in gpt.chat.completions.create(model="simulated", messages=QUESTION, n=2, stream=True, **options):
            usages += [chunk.usage] if chunk.usage else []
            for choice in chunk.choices:
                said[choice.index] += choice.delta.content or ""
                reasons += [choice.finish_reason] if choice.finish_reason else []
        assert said == [choice.message.content for choice in plain.choices]
        assert reasons == ["stop", "stop"]
        assert usages == ([plain.usage] if asked else [])

    def test_tools(self, gpt: openai.OpenAI) -> None:
        plain = gpt.chat.completions.create(model="m", messages=QUESTION, tools=CHAT_TOOLS)
        (call,) = list(plain.choices[0].message.tool_calls or [])
        assert call.type == "function"
        assert fits(json.loads(call.function.arguments))
        with gpt.chat.completions.stream(model="m", messages=QUESTION, tools=CHAT_TOOLS) as stream:
            pieces = [event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"]
            (streamed,) = list(stream.get_final_completion().choices[0].message.tool_calls or [])
        assert streamed.type == "function"
        assert "".join(pieces) == streamed.function.arguments == call.function.arguments
        result: Any = [
            *QUESTION,
            {"role": "assistant", "tool_calls": [call.model_dump()]},
            {"role": "tool", "tool_call_id": call.id, "content": "2 m"},
        ]
        assert gpt.chat.completions.create(model="m", messages=result, tools=CHAT_TOOLS).choices[0].message.content

    def test_completions(self, gpt: openai.OpenAI) -> None:
        asked: Any = {"model": "simulated", "prompt": ["how high", "how low"], "n": 2, "max_tokens": 3}
        plain = gpt.completions.create(**asked)
        said = ["", "", "", ""]
        for chunk in gpt.completions.create(**asked, stream=True):
            for choice in chunk.choices:
                said[choice.index] += choice.text
        assert said == [choice.text for choice in plain.choices]

    def test_embeddings(self, gpt: openai.OpenAI) -> None:
        high, low = (one.embedding for one in gpt.embeddings.create(model="m", input=["high", "low"]).data)
        assert high != low
        assert sum(number * number for number in high) == pytest.approx(1)
        floats = gpt.embeddings.create(model="m", input="high", dimensions=8, encoding_format="float").data[0]
        assert len(floats.embedding) == 8

    def test_models(self, gpt: openai.OpenAI) -> None:
        assert "simulated-fast" in [model.id for model in gpt.models.list()]

    def test_responses(self, gpt: openai.OpenAI) -> None:
        plain = gpt.responses.create(model="simulated", input="how high is the tide")
        with gpt.responses.stream(model="simulated", input="how high is the tide") as stream:
            said = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            final = stream.get_final_response()
        assert said == plain.output_text == final.output_text
        assert final.usage == plain.usage

    def test_responses_with_tools(self, gpt: openai.OpenAI) -> None:
        asked: Any = {"model": "simulated", "input": "how high is the tide", "tools": RESPONSES_TOOLS}
        (call,) = gpt.responses.create(**asked).output
        assert call.type == "function_call"
        assert fits(json.loads(call.arguments))
        pieces, completed = "", 0
        for event in gpt.responses.create(**asked, stream=True):
            pieces += event.delta if event.type == "response.function_call_arguments.delta" else ""
            completed += event.type == "response.completed"
        assert (pieces, completed) == (call.arguments, 1)

    def test_every_answer_names_its_run(self, gpt: openai.OpenAI) -> None:
        runs = set()
        for _ in range(3):
            raw = gpt.chat.completions.with_raw_response.create(model="simulated", messages=QUESTION)
            assert raw.headers["x-tidegate-tracked"] == "true"
            runs.add(raw.headers["x-tidegate-run-id"])
        with pytest.raises(openai.NotFoundError) as raised:
            gpt.get("/files", cast_to=object)
        runs.add(raised.value.response.headers["x-tidegate-run-id"])
        assert len(runs) == 4

    def test_many_at_once(self, place: Place) -> None:
        async def ask(client: openai.AsyncOpenAI, number: int) -> tuple[str, str]:
            asked: Any = {"model": "simulated-words-30", "messages": [{"role": "user", "content": f"tide {number}"}]}
            plain = await client.chat.completions.create(**asked)
            stream = await client.chat.completions.create(**asked, stream=True)
            said = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return plain.choices[0].message.content or "", "".join(said)

        async def everything() -> list[tuple[str, str]]:
            async with await async_client(place) as client:
                return await asyncio.gather(*(ask(client, number) for number in range(20)))

        answers = asyncio.run(everything())
        assert all(plain == streamed for plain, streamed in answers)
        assert len(set(answers)) == 20


def streamed(gpt: openai.OpenAI, endpoint: str, fault: str) -> list[Any]:
    """All that a stream with this fault hands over."""
    asked: Any = {"model": f"simulated-pace-1+{fault}", "stream": True}
    match endpoint:
        case "chat":
            return list(gpt.chat.completions.create(messages=QUESTION, **asked))
        case "completions":
            return list(gpt.completions.create(prompt="tide", **asked))
    return list(gpt.responses.create(input="tide", **asked))


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, openai.BadRequestError),
            (401, openai.AuthenticationError),
            (403, openai.PermissionDeniedError),
            (404, openai.NotFoundError),
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
            (503, openai.InternalServerError),
            (529, openai.InternalServerError),
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_the_providers_own_are_passed_on(
        self, place: Place, gpt: openai.OpenAI, status: int, kind: type[openai.APIStatusError], stream: bool
    ) -> None:
        asked: Any = {"model": f"simulated-status-{status}", "messages": QUESTION, "stream": stream}
        with pytest.raises(kind) as raised:
            gpt.chat.completions.create(**asked)
        error = raised.value
        body = error.request.content
        assert (error.status_code, error.response.content) == (
            status,
            wire(place.provider.port, "/v1/chat/completions", body).body,
        )
        assert (error.request_id or "").startswith("req_")
        assert error.response.headers.get("retry-after") == ("1" if status == 429 else None)

    @pytest.mark.parametrize(
        ("asked", "kind", "code", "note"),
        [
            ({"model": "", "messages": []}, openai.BadRequestError, "bad_body", "no model"),
            ({"model": "m", "messages": [], "n": 0}, openai.BadRequestError, "bad_body", "out of bounds"),
            ({"model": "m", "messages": [], "Model": "x"}, openai.BadRequestError, "bad_body", "a key twice"),
            ({"model": "m", "messages": ["x" * 3000]}, openai.APIStatusError, "body_too_large", "too much"),
            ({"model": "nobody", "messages": []}, openai.NotFoundError, "not_found", "not served"),
        ],
    )
    def test_our_own_refusals_are_tried_once(
        self, tmp_path: Path, asked: Any, kind: type[openai.APIStatusError], code: str, note: str
    ) -> None:
        with contextlib.ExitStack() as stack:
            provider = stack.enter_context(RawProvider())
            settings = "[accept]\nbody = 2000\n" + integration(provider.port, models=["m"])
            gateway = stack.enter_context(running(tmp_path, settings))
            client = stack.enter_context(client_of(gateway, max_retries=2))
            with pytest.raises(kind) as raised:
                client.post("/chat/completions", cast_to=object, body=asked)
            assert (raised.value.code, attempts(raised.value), provider.connections) == (code, 1, 0), note
            assert raised.value.response.headers["x-should-retry"] == "false"

    def test_a_missing_key_is_tried_once(self, tmp_path: Path) -> None:
        settings = "[identify]\nanonymous = false\n"
        with running(tmp_path, settings) as gateway, client_of(gateway, max_retries=2) as client:
            with pytest.raises(openai.AuthenticationError) as raised:
                client.models.list(extra_headers={"Authorization": openai.Omit()})
            assert (raised.value.code, attempts(raised.value)) == ("unauthenticated", 1)

    def test_retry_after_is_obeyed(self, place: Place, gpt: openai.OpenAI) -> None:
        calls, start = place.ledger.calls, time.monotonic()
        with pytest.raises(openai.RateLimitError) as raised:
            gpt.with_options(max_retries=1).chat.completions.create(model="simulated-status-429", messages=QUESTION)
        assert time.monotonic() - start >= 1  # without it the client waits at most half a second
        assert (place.ledger.calls - calls, attempts(raised.value)) == (2, 2)

    @pytest.mark.parametrize(
        ("fault", "status", "code"), [("close-1", 502, "upstream_truncated"), ("no-head", 504, "upstream_timeout")]
    )
    def test_what_the_provider_broke_is_tried_again_by_the_client_alone(
        self, place: Place, gpt: openai.OpenAI, fault: str, status: int, code: str
    ) -> None:
        calls = place.ledger.calls
        with pytest.raises(openai.InternalServerError) as raised:
            gpt.with_options(max_retries=1).chat.completions.create(model=f"simulated-{fault}", messages=QUESTION)
        assert (raised.value.status_code, raised.value.code) == (status, code)
        assert (place.ledger.calls - calls, attempts(raised.value)) == (2, 2)

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            ("stall-3", "upstream_timeout"),
            ("close-3", "upstream_truncated"),
            ("reset-3", "upstream_truncated"),
            ("huge-line", "upstream_malformed"),
            ("error-3", None),
        ],
    )
    @pytest.mark.parametrize("endpoint", ["chat", "completions", "responses"])
    def test_a_stream_that_breaks_raises(self, gpt: openai.OpenAI, endpoint: str, fault: str, code: str | None) -> None:
        if (endpoint, fault) == ("responses", "error-3"):  # the provider's own event, which this client hands over
            assert streamed(gpt, endpoint, fault)[-1].type == "error"
            return
        with pytest.raises(openai.APIError) as raised:
            streamed(gpt, endpoint, fault)
        assert raised.value.code == code

    @pytest.mark.parametrize("fault", ["split-utf8", "huge-line-1000000", "slow-head-100"])
    def test_an_odd_stream_is_whole(self, gpt: openai.OpenAI, fault: str) -> None:
        asked: Any = {"model": f"simulated-{fault}+words-40", "messages": QUESTION}
        said = [chunk.choices[0].delta.content or "" for chunk in gpt.chat.completions.create(**asked, stream=True)]
        assert len("".join(said).split()) == 40

    def test_a_stream_with_rubbish_is_the_clients_to_judge(self, place: Place, gpt: openai.OpenAI) -> None:
        with pytest.raises(json.JSONDecodeError):
            list(gpt.chat.completions.create(model="simulated-malformed-sse", messages=QUESTION, stream=True))
        assert gpt.chat.completions.create(model="simulated", messages=QUESTION).choices


class TestLeaving:
    def test_a_client_that_closes_a_stream_ends_it_at_the_provider(self, place: Place, gpt: openai.OpenAI) -> None:
        left, ended = place.ledger.streams_abandoned, place.ledger.streams_ended
        with gpt.chat.completions.create(model=LONG, messages=QUESTION, stream=True) as stream:
            for count, _ in enumerate(stream):
                if count == 3:
                    break
        assert until(lambda: place.ledger.streams_abandoned == left + 1, 5)
        assert place.ledger.streams_ended == ended

    def test_a_task_that_is_cancelled(self, place: Place) -> None:
        left = place.ledger.streams_abandoned

        async def read(client: openai.AsyncOpenAI, begun: asyncio.Event) -> None:
            async for _ in await client.chat.completions.create(model=LONG, messages=QUESTION, stream=True):
                begun.set()

        async def cancel() -> None:
            async with await async_client(place) as client:
                begun = asyncio.Event()
                task = asyncio.create_task(read(client, begun))
                await begun.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

        asyncio.run(cancel())
        assert until(lambda: place.ledger.streams_abandoned == left + 1, 5)

    def test_a_client_whose_time_is_over(self, place: Place, gpt: openai.OpenAI) -> None:
        left, hasty = place.ledger.streams_abandoned, gpt.with_options(timeout=0.4)
        with pytest.raises(openai.APITimeoutError):
            hasty.chat.completions.create(model="simulated-no-head", messages=QUESTION)
        stream = hasty.chat.completions.create(model="simulated-stall-2", messages=QUESTION, stream=True)
        with pytest.raises(openai.APITimeoutError):
            list(stream)
        assert until(lambda: place.ledger.streams_abandoned == left + 1, 5)
        assert gpt.chat.completions.create(model="simulated", messages=QUESTION).choices

    @pytest.mark.parametrize(
        ("drain", "model", "ended", "note"),
        [
            (0, "simulated-pace-5+words-100", 1, "to the end"),
            (30, "simulated-pace-5+words-100", 1, "the end comes first"),
            (1, LONG, 0, "the time is over first"),
        ],
    )
    def test_a_stream_may_be_drained_instead(
        self, tmp_path: Path, drain: int, model: str, ended: int, note: str
    ) -> None:
        settings = f'[forward]\ndisconnect = "drain"\ndisconnect_drain = {drain}\n'
        with placed(tmp_path, settings) as place, client_of(place.gateway) as client:
            ledger = place.ledger
            with client.chat.completions.create(model=model, messages=QUESTION, stream=True) as stream:
                next(iter(stream))
            assert until(lambda: ledger.streams_ended + ledger.streams_abandoned == 1), note
            assert (ledger.streams_ended, ledger.streams_abandoned) == (ended, 1 - ended), note
            if ended:
                assert ledger.output_tokens == 100
