"""The simulated provider as the vendors' own Python clients see it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
import uvloop

from tidegate.serve.simulated import Provider

QUESTION: Any = [{"role": "user", "content": "how high is the tide"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 200, "maximum": 300},
        "level": {"type": "number", "maximum": -1.5},
        "metric": {"type": "boolean"},
        "unit": {"type": "string", "enum": ["m", "ft"]},
        "place": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "hours": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
        "note": {"type": "string"},
    },
    "required": ["city", "days", "level", "metric", "unit", "place", "hours"],
}
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("tide", "wind")]
RESPONSES_TOOLS: Any = [{"type": "function", "name": "tide", "parameters": SCHEMA, "strict": True}]
ANTHROPIC_TOOLS: Any = [{"name": name, "input_schema": SCHEMA} for name in ("tide", "wind")]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    provider = asyncio.run_coroutine_threadsafe(Provider.start(), loop).result(5)
    yield provider.port
    asyncio.run_coroutine_threadsafe(provider.close(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def gpt(port: int) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=0, timeout=5) as client:
        yield client


@pytest.fixture(scope="module")
def claude(port: int) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"http://127.0.0.1:{port}", api_key="any", max_retries=0, timeout=5) as client:
        yield client


def fits(arguments: Any) -> bool:
    """Whether arguments are what SCHEMA requires, and nothing else."""
    return (
        arguments.keys() == set(SCHEMA["required"])
        and type(arguments["city"]) is str
        and 200 <= arguments["days"] <= 300
        and arguments["level"] == -1.5
        and type(arguments["metric"]) is bool
        and arguments["unit"] in ("m", "ft")
        and type(arguments["place"]["name"]) is str
        and [type(hour) for hour in arguments["hours"]] == [int, int]
    )


class TestChat:
    def test_plain_and_streamed_choices_say_the_same(self, gpt: openai.OpenAI) -> None:
        plain = gpt.chat.completions.create(model="simulated", messages=QUESTION, n=2)
        assert plain.usage is not None
        texts = [choice.message.content or "" for choice in plain.choices]
        assert texts[0] != texts[1]
        assert sum(len(text.split()) for text in texts) == plain.usage.completion_tokens
        streamed, usage, finished = ["", ""], None, []
        options: Any = {"include_usage": True}
        for chunk in gpt.chat.completions.create(
            model="simulated", messages=QUESTION, n=2, stream=True, stream_options=options
        ):
            usage = chunk.usage
            for choice in chunk.choices:
                streamed[choice.index] += choice.delta.content or ""
                finished += [choice.finish_reason] if choice.finish_reason else []
        assert (streamed, usage, finished) == (texts, plain.usage, ["stop", "stop"])

    def test_a_tool_is_called_with_arguments_that_fit(self, gpt: openai.OpenAI) -> None:
        plain = gpt.chat.completions.create(model="gpt-4o", messages=QUESTION, tools=CHAT_TOOLS)
        (call,) = list(plain.choices[0].message.tool_calls or [])
        assert call.type == "function"
        assert plain.choices[0].finish_reason == "tool_calls"
        assert plain.choices[0].message.content is None
        assert fits(json.loads(call.function.arguments))
        with gpt.chat.completions.stream(model="gpt-4o", messages=QUESTION, tools=CHAT_TOOLS) as stream:
            final = stream.get_final_completion()
        (streamed,) = list(final.choices[0].message.tool_calls or [])
        assert streamed.type == "function"
        assert (streamed.function.name, streamed.function.arguments) == (call.function.name, call.function.arguments)

    @pytest.mark.parametrize("name", ["tide", "wind"])
    def test_the_tool_that_is_wanted_is_called(self, gpt: openai.OpenAI, name: str) -> None:
        choice: Any = {"type": "function", "function": {"name": name}}
        answer = gpt.chat.completions.create(model="m", messages=QUESTION, tools=CHAT_TOOLS, tool_choice=choice)
        (call,) = list(answer.choices[0].message.tool_calls or [])
        assert call.type == "function"
        assert call.function.name == name

    def test_a_tool_that_is_not_offered_is_refused(self, gpt: openai.OpenAI) -> None:
        choice: Any = {"type": "function", "function": {"name": "rain"}}
        with pytest.raises(openai.BadRequestError, match="rain"):
            gpt.chat.completions.create(model="m", messages=QUESTION, tools=CHAT_TOOLS, tool_choice=choice)

    @pytest.mark.parametrize(
        ("choice", "last", "called"),
        [
            ("none", [], False),
            ("auto", [], True),
            ("auto", [{"role": "tool", "tool_call_id": "c", "content": "2 m"}], False),
            ("required", [{"role": "tool", "tool_call_id": "c", "content": "2 m"}], True),
        ],
    )
    def test_tool_choice_is_kept(self, gpt: openai.OpenAI, choice: Any, last: Any, called: bool) -> None:
        answer = gpt.chat.completions.create(model="m", messages=QUESTION + last, tools=CHAT_TOOLS, tool_choice=choice)
        assert bool(answer.choices[0].message.tool_calls) is called
        assert bool(answer.choices[0].message.content) is not called

    def test_a_limit_cuts_a_tool_call(self, gpt: openai.OpenAI) -> None:
        answer = gpt.chat.completions.create(model="m", messages=QUESTION, tools=CHAT_TOOLS, max_tokens=4)
        assert answer.usage is not None
        assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 4)

    def test_an_error_in_mid_stream_is_raised(self, gpt: openai.OpenAI) -> None:
        stream = gpt.chat.completions.create(model="simulated-error-3", messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError, match="the server had an error"):
            list(stream)

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, openai.BadRequestError),
            (401, openai.AuthenticationError),
            (403, openai.PermissionDeniedError),
            (404, openai.NotFoundError),
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
            (529, openai.InternalServerError),
        ],
    )
    def test_errors(self, gpt: openai.OpenAI, status: int, error: type[openai.APIStatusError]) -> None:
        with pytest.raises(error) as raised:
            gpt.chat.completions.create(model=f"simulated-status-{status}", messages=QUESTION)
        assert raised.value.status_code == status
        assert (raised.value.request_id or "").startswith("req_")
        assert raised.value.type in ("invalid_request_error", "requests", "server_error")

    @pytest.mark.parametrize("fault", ["reset-0", "close-0", "close-1", "truncate", "bad-chunk"])
    def test_broken_answers_raise_a_connection_error(self, gpt: openai.OpenAI, fault: str) -> None:
        with pytest.raises(openai.APIConnectionError):
            gpt.chat.completions.create(model=f"simulated-{fault}", messages=QUESTION)


class TestOtherOpenAI:
    def test_completions(self, gpt: openai.OpenAI) -> None:
        plain = gpt.completions.create(model="simulated", prompt=["how high", "how low"], n=2, max_tokens=3)
        assert [choice.index for choice in plain.choices] == [0, 1, 2, 3]
        assert len({choice.text for choice in plain.choices}) == 4
        streamed = ["", "", "", ""]
        for chunk in gpt.completions.create(
            model="simulated", prompt=["how high", "how low"], n=2, max_tokens=3, stream=True
        ):
            for choice in chunk.choices:
                streamed[choice.index] += choice.text
        assert streamed == [choice.text for choice in plain.choices]

    def test_embeddings_are_unit_vectors_in_either_encoding(self, gpt: openai.OpenAI) -> None:
        texts = ["how high", "how low", "how high"]
        high, low, again = (one.embedding for one in gpt.embeddings.create(model="m", input=texts).data)
        assert high == again
        assert high != low
        assert sum(number * number for number in low) == pytest.approx(1)
        short = gpt.embeddings.create(model="m", input="how high", dimensions=8, encoding_format="float").data[0]
        assert len(short.embedding) == 8
        assert sum(number * number for number in short.embedding) == pytest.approx(1)

    def test_models(self, gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
        names = [model.id for model in gpt.models.list()]
        assert "simulated-fast" in names
        assert names == [model.id for model in claude.models.list()]


class TestResponses:
    def test_plain_and_streamed_say_the_same(self, gpt: openai.OpenAI) -> None:
        plain = gpt.responses.create(model="simulated", input="how high is the tide")
        with gpt.responses.stream(model="simulated", input="how high is the tide") as stream:
            streamed = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            final = stream.get_final_response()
        assert plain.usage is not None
        assert plain.output_text == final.output_text == streamed
        assert plain.usage == final.usage
        assert plain.usage.output_tokens == len(plain.output_text.split())
        assert (plain.status, final.status) == ("completed", "completed")

    def test_a_limit_leaves_it_incomplete(self, gpt: openai.OpenAI) -> None:
        plain = gpt.responses.create(model="simulated", input="how high is the tide", max_output_tokens=20)
        assert plain.status == "incomplete"
        assert plain.incomplete_details is not None
        assert plain.incomplete_details.reason == "max_output_tokens"

    def test_a_tool_is_called_with_arguments_that_fit(self, gpt: openai.OpenAI) -> None:
        plain = gpt.responses.create(model="simulated", input="how high is the tide", tools=RESPONSES_TOOLS)
        (call,) = plain.output
        assert call.type == "function_call"
        assert fits(json.loads(call.arguments))
        pieces, done = "", None
        for event in gpt.responses.create(
            model="simulated", input="how high is the tide", tools=RESPONSES_TOOLS, stream=True
        ):
            if event.type == "response.function_call_arguments.delta":
                pieces += event.delta
            elif event.type == "response.completed":
                done = event.response.output
        assert pieces == call.arguments
        assert done is not None
        (streamed,) = done
        assert streamed.type == "function_call"
        assert streamed.arguments == call.arguments
        result: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "2 m"}]
        assert gpt.responses.create(model="simulated", input=result, tools=RESPONSES_TOOLS).output_text

    def test_an_error_in_mid_stream_is_the_last_event(self, gpt: openai.OpenAI) -> None:
        *_, last = gpt.responses.create(model="simulated-error-5", input="tide", stream=True)
        assert last.type == "error"  # this client hands it over and does not raise
        assert (last.code, last.sequence_number) == ("server_error", 5)


class TestMessages:
    def test_plain_and_streamed_say_the_same(self, claude: anthropic.Anthropic) -> None:
        plain = claude.messages.create(model="simulated-words-40", messages=QUESTION, max_tokens=9)
        (block,) = plain.content
        with claude.messages.stream(model="simulated-words-40", messages=QUESTION, max_tokens=9) as stream:
            streamed = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert block.type == "text"
        assert streamed == block.text
        assert (plain.stop_reason, final.stop_reason) == ("end_turn", "end_turn")
        assert plain.usage.output_tokens == final.usage.output_tokens == 40
        counted = claude.messages.count_tokens(model="simulated", messages=QUESTION)
        assert counted.input_tokens == plain.usage.input_tokens == final.usage.input_tokens == 8

    def test_a_tool_is_called_with_arguments_that_fit(self, claude: anthropic.Anthropic) -> None:
        plain = claude.messages.create(model="m", messages=QUESTION, max_tokens=99, tools=ANTHROPIC_TOOLS)
        (block,) = plain.content
        assert block.type == "tool_use"
        assert plain.stop_reason == "tool_use"
        assert fits(block.input)
        with claude.messages.stream(model="m", messages=QUESTION, max_tokens=99, tools=ANTHROPIC_TOOLS) as stream:
            (streamed,) = stream.get_final_message().content
        assert streamed.type == "tool_use"
        assert (streamed.name, streamed.input) == (block.name, block.input)

    @pytest.mark.parametrize(
        ("choice", "content", "reason"),
        [
            ({"type": "none"}, "tide", "max_tokens"),
            ({"type": "auto"}, [{"type": "tool_result", "tool_use_id": "t", "content": "2 m"}], "max_tokens"),
            ({"type": "any"}, [{"type": "tool_result", "tool_use_id": "t", "content": "2 m"}], "tool_use"),
            ({"type": "tool", "name": "wind"}, "tide", "tool_use"),
        ],
    )
    def test_tool_choice_is_kept(self, claude: anthropic.Anthropic, choice: Any, content: Any, reason: str) -> None:
        messages: Any = [{"role": "user", "content": content}]
        answer = claude.messages.create(
            model="m", messages=messages, max_tokens=99, tools=ANTHROPIC_TOOLS, tool_choice=choice
        )
        assert answer.stop_reason == reason
        if "name" in choice:
            assert [block.name for block in answer.content if block.type == "tool_use"] == [choice["name"]]

    def test_a_limit_cuts_a_tool_call(self, claude: anthropic.Anthropic) -> None:
        answer = claude.messages.create(model="m", messages=QUESTION, max_tokens=4, tools=ANTHROPIC_TOOLS)
        (block,) = answer.content
        assert block.type == "tool_use"
        assert (answer.stop_reason, answer.usage.output_tokens, block.input) == ("max_tokens", 4, {})

    def test_an_error_in_mid_stream_is_raised(self, claude: anthropic.Anthropic) -> None:
        stream = claude.messages.create(model="simulated-error-4", messages=QUESTION, max_tokens=9, stream=True)
        with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
            list(stream)

    @pytest.mark.parametrize(
        ("status", "error", "kind"),
        [
            (400, anthropic.BadRequestError, "invalid_request_error"),
            (401, anthropic.AuthenticationError, "authentication_error"),
            (403, anthropic.PermissionDeniedError, "permission_error"),
            (404, anthropic.NotFoundError, "not_found_error"),
            (429, anthropic.RateLimitError, "rate_limit_error"),
            (500, anthropic.InternalServerError, "api_error"),
            (529, anthropic.InternalServerError, "overloaded_error"),
        ],
    )
    def test_errors(
        self, claude: anthropic.Anthropic, status: int, error: type[anthropic.APIStatusError], kind: str
    ) -> None:
        with pytest.raises(error) as raised:
            claude.messages.create(model=f"simulated-status-{status}", messages=QUESTION, max_tokens=9)
        body: Any = raised.value.body
        assert (raised.value.status_code, body["error"]["type"]) == (status, kind)
        assert raised.value.request_id == body["request_id"]
