"""The official `anthropic` Python client through a gateway."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.e2e.place import SCHEMA, Place, fits, placed, wire
from tests.gateway import Gateway, running
from tests.providers import RawProvider, integration, until

QUESTION: Any = [{"role": "user", "content": "how high is the tide"}]
TOOLS: Any = [{"name": name, "input_schema": SCHEMA} for name in ("tide", "wind")]
LONG = "simulated-pace-20+words-500"  # ten seconds


def client_of(gateway: Gateway, **options: Any) -> anthropic.Anthropic:
    defaults: dict[str, Any] = {"api_key": "any", "max_retries": 0, "timeout": 15}
    return anthropic.Anthropic(base_url=gateway.url, **defaults | options)


@pytest.fixture(scope="module")
def claude(place: Place) -> Iterator[anthropic.Anthropic]:
    with client_of(place.gateway) as client:
        yield client


def code(error: anthropic.APIStatusError) -> tuple[str, str]:
    """The type that the dialect has for an error of ours, and our own code, which stands in the message."""
    body: Any = error.body
    return body["error"]["type"], body["error"]["message"].rpartition("(")[2].rstrip(")")


def attempts(error: anthropic.APIStatusError) -> int:
    """How often the client sent the call that ended so; it counts in a field of its own."""
    return 1 + int(error.request.headers["x-stainless-retry-count"])


class TestAnswers:
    def test_messages(self, claude: anthropic.Anthropic) -> None:
        asked: Any = {"model": "simulated-words-40", "messages": QUESTION, "max_tokens": 9}
        plain = claude.messages.create(**asked)
        (block,) = plain.content
        with claude.messages.stream(**asked) as stream:
            said = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert block.type == "text"
        assert said == block.text
        assert len(said.split()) == plain.usage.output_tokens == final.usage.output_tokens == 40
        assert (plain._request_id or "").startswith("req_")

    def test_tools(self, claude: anthropic.Anthropic) -> None:
        asked: Any = {"model": "m", "messages": QUESTION, "max_tokens": 99, "tools": TOOLS}
        plain = claude.messages.create(**asked)
        (block,) = plain.content
        assert block.type == "tool_use"
        assert plain.stop_reason == "tool_use"
        assert fits(block.input)
        with claude.messages.stream(**asked) as stream:
            (streamed,) = stream.get_final_message().content
        assert streamed.type == "tool_use"
        assert (streamed.name, streamed.input) == (block.name, block.input)
        result: Any = [{"type": "tool_result", "tool_use_id": block.id, "content": "2 m"}]
        said: Any = [
            *QUESTION,
            {"role": "assistant", "content": [block.model_dump()]},
            {"role": "user", "content": result},
        ]
        assert claude.messages.create(**asked | {"messages": said}).content[0].type == "text"

    def test_count_tokens(self, claude: anthropic.Anthropic) -> None:
        plain = claude.messages.create(model="simulated", messages=QUESTION, max_tokens=9)
        counted = claude.messages.count_tokens(model="simulated", messages=QUESTION)
        assert counted.input_tokens == plain.usage.input_tokens

    def test_models(self, claude: anthropic.Anthropic) -> None:
        names = [model.id for model in claude.models.list(limit=20)]
        assert "simulated-fast" in names
        assert names == [model.id for model in claude.beta.models.list()]

    def test_the_beta_interface(self, claude: anthropic.Anthropic) -> None:
        betas: Any = ["token-efficient-tools-2025-02-19", "output-128k-2025-02-19"]
        asked: Any = {"model": "simulated", "messages": QUESTION, "max_tokens": 9}
        (block,) = claude.beta.messages.create(**asked, betas=betas).content
        assert block.type == "text"
        with claude.beta.messages.stream(**asked, betas=betas) as stream:
            assert "".join(stream.text_stream) == block.text
        assert claude.beta.messages.count_tokens(model="simulated", messages=QUESTION).input_tokens > 0

    def test_the_beta_interface_reaches_the_provider_as_such(self, tmp_path: Path) -> None:
        with RawProvider() as provider, running(tmp_path, integration(provider.port, "anthropic")) as gateway:
            with client_of(gateway) as claude:
                asked: Any = {"model": "m", "messages": QUESTION, "max_tokens": 9, "betas": ["one", "two"]}
                claude.beta.messages.create(**asked, extra_query={"beta": "true"})  # as older clients do by themselves
            (request,) = provider.requests
        assert request.line == "POST /v1/messages?beta=true HTTP/1.1"
        assert request.fields["anthropic-beta"].replace(" ", "") == "one,two"
        assert request.fields["anthropic-version"]
        assert {request.fields.get("x-api-key"), request.fields.get("authorization")} & {"any", "Bearer any"}
        assert not [name for name in request.fields if name.startswith("x-stainless")]

    def test_many_at_once(self, place: Place) -> None:
        async def ask(client: anthropic.AsyncAnthropic, number: int) -> tuple[str, str]:
            messages: Any = [{"role": "user", "content": f"tide {number}"}]
            asked: Any = {"model": "simulated-words-30", "messages": messages, "max_tokens": 9}
            plain = await client.messages.create(**asked)
            async with client.messages.stream(**asked) as stream:
                said = "".join([text async for text in stream.text_stream])
            return getattr(plain.content[0], "text", ""), said

        async def everything() -> list[tuple[str, str]]:
            options: Any = {"api_key": "any", "max_retries": 0, "timeout": 15}
            async with anthropic.AsyncAnthropic(base_url=place.gateway.url, **options) as client:
                return await asyncio.gather(*(ask(client, number) for number in range(20)))

        answers = asyncio.run(everything())
        assert all(plain == streamed for plain, streamed in answers)
        assert len(set(answers)) == 20


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, anthropic.BadRequestError),
            (401, anthropic.AuthenticationError),
            (403, anthropic.PermissionDeniedError),
            (404, anthropic.NotFoundError),
            (429, anthropic.RateLimitError),
            (500, anthropic.InternalServerError),
            (503, anthropic.InternalServerError),
            (529, anthropic.InternalServerError),
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_the_providers_own_are_passed_on(
        self,
        place: Place,
        claude: anthropic.Anthropic,
        status: int,
        kind: type[anthropic.APIStatusError],
        stream: bool,
    ) -> None:
        asked: Any = {"model": f"simulated-status-{status}", "messages": QUESTION, "max_tokens": 9, "stream": stream}
        with pytest.raises(kind) as raised:
            claude.messages.create(**asked)
        error = raised.value
        direct = wire(place.provider.port, "/v1/messages", error.request.content)
        assert (error.status_code, error.response.content) == (status, direct.body)
        body: Any = error.body
        assert error.request_id == body["request_id"]
        assert error.response.headers.get("retry-after") == ("1" if status == 429 else None)

    @pytest.mark.parametrize(
        ("asked", "kind", "words", "note"),
        [
            ({"model": ""}, anthropic.BadRequestError, ("invalid_request_error", "bad_body"), "no model"),
            ({"messages": [{"Role": "x", "role": "user"}]}, anthropic.BadRequestError, None, "a key twice"),
            (
                {"metadata": {"user_id": "x" * 3000}},
                anthropic.APIStatusError,
                ("request_too_large", "body_too_large"),
                "large",
            ),
            ({"model": "nobody"}, anthropic.NotFoundError, ("not_found_error", "not_found"), "not served"),
        ],
    )
    def test_our_own_refusals_are_tried_once(
        self, tmp_path: Path, asked: Any, kind: type[anthropic.APIStatusError], words: Any, note: str
    ) -> None:
        settings = "[accept]\nbody = 2000\n"
        with RawProvider() as provider:
            settings += integration(provider.port, "anthropic", models=["m"])
            with running(tmp_path, settings) as gateway, client_of(gateway, max_retries=2) as claude:
                body: Any = {"model": "m", "messages": QUESTION, "max_tokens": 9} | asked
                error = refused(claude, kind, body)
            assert code(error) == (words or ("invalid_request_error", "bad_body")), note
            assert (attempts(error), provider.connections) == (1, 0), note
            assert error.response.headers["x-should-retry"] == "false"
            body = error.body
            assert body["request_id"] == error.response.headers["x-tidegate-run-id"]

    def test_a_missing_key_is_tried_once(self, tmp_path: Path) -> None:
        settings = "[identify]\nanonymous = false\n"
        with running(tmp_path, settings) as gateway, client_of(gateway, max_retries=2) as claude:
            asked: Any = {"model": "m", "messages": QUESTION, "max_tokens": 9}
            asked["extra_headers"] = {"X-Api-Key": anthropic.Omit(), "Authorization": anthropic.Omit()}
            error = refused(claude, anthropic.AuthenticationError, asked)
        assert (code(error), attempts(error)) == (("authentication_error", "unauthenticated"), 1)

    def test_retry_after_is_obeyed(self, place: Place, claude: anthropic.Anthropic) -> None:
        calls, start = place.ledger.calls, time.monotonic()
        asked: Any = {"model": "simulated-status-429", "messages": QUESTION, "max_tokens": 9}
        error = refused(claude.with_options(max_retries=1), anthropic.RateLimitError, asked)
        assert time.monotonic() - start >= 1  # without it the client waits at most half a second
        assert (place.ledger.calls - calls, attempts(error)) == (2, 2)

    @pytest.mark.parametrize(
        ("fault", "status", "words"),
        [
            ("close-1", 502, ("api_error", "upstream_truncated")),
            ("no-head", 504, ("timeout_error", "upstream_timeout")),
        ],
    )
    def test_what_the_provider_broke_is_tried_again_by_the_client_alone(
        self, place: Place, claude: anthropic.Anthropic, fault: str, status: int, words: tuple[str, str]
    ) -> None:
        calls = place.ledger.calls
        asked: Any = {"model": f"simulated-{fault}", "messages": QUESTION, "max_tokens": 9}
        error = refused(claude.with_options(max_retries=1), anthropic.InternalServerError, asked)
        assert (error.status_code, code(error)) == (status, words)
        assert (place.ledger.calls - calls, attempts(error)) == (2, 2)

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            ("stall-3", "upstream_timeout"),
            ("close-3", "upstream_truncated"),
            ("reset-3", "upstream_truncated"),
            ("huge-line", "upstream_malformed"),
            ("error-3", "overloaded_error"),
        ],
    )
    @pytest.mark.parametrize("beta", [False, True])
    def test_a_stream_that_breaks_raises(self, claude: anthropic.Anthropic, fault: str, words: str, beta: bool) -> None:
        asked: Any = {"model": f"simulated-pace-30+{fault}", "messages": QUESTION, "max_tokens": 9, "stream": True}
        stream: Any = claude.beta.messages.create(**asked) if beta else claude.messages.create(**asked)
        with pytest.raises(anthropic.APIStatusError, match=words):
            list(stream)

    @pytest.mark.parametrize("fault", ["split-utf8", "huge-line-1000000", "slow-head-100"])
    def test_an_odd_stream_is_whole(self, claude: anthropic.Anthropic, fault: str) -> None:
        with claude.messages.stream(model=f"simulated-{fault}+words-40", messages=QUESTION, max_tokens=9) as stream:
            assert len("".join(stream.text_stream).split()) == 40


def refused(claude: anthropic.Anthropic, kind: type[anthropic.APIStatusError], asked: Any) -> anthropic.APIStatusError:
    """The error that a call ends in."""
    with pytest.raises(kind) as raised:
        claude.messages.create(**asked)
    return raised.value


class TestLeaving:
    def test_a_client_that_closes_a_stream_ends_it_at_the_provider(
        self, place: Place, claude: anthropic.Anthropic
    ) -> None:
        left, ended = place.ledger.streams_abandoned, place.ledger.streams_ended
        with claude.messages.stream(model=LONG, messages=QUESTION, max_tokens=9) as stream:
            next(iter(stream.text_stream))
        assert until(lambda: place.ledger.streams_abandoned == left + 1, 5)
        assert place.ledger.streams_ended == ended

    def test_a_client_whose_time_is_over(self, place: Place, claude: anthropic.Anthropic) -> None:
        left, hasty = place.ledger.streams_abandoned, claude.with_options(timeout=0.4)
        with pytest.raises(anthropic.APITimeoutError):
            hasty.messages.create(model="simulated-no-head", messages=QUESTION, max_tokens=9)
        stream = hasty.messages.create(model="simulated-stall-2", messages=QUESTION, max_tokens=9, stream=True)
        with pytest.raises(Exception, match="timed out"):  # the HTTP library's own; this client lets it through
            list(stream)
        assert until(lambda: place.ledger.streams_abandoned == left + 1, 5)

    def test_a_stream_may_be_drained_instead(self, tmp_path: Path) -> None:
        settings = '[forward]\ndisconnect = "drain"\ndisconnect_drain = 0\n'
        with placed(tmp_path, settings) as place, client_of(place.gateway) as claude:
            model = "simulated-pace-5+words-100"
            with claude.messages.stream(model=model, messages=QUESTION, max_tokens=9) as stream:
                next(iter(stream.text_stream))
            assert until(lambda: place.ledger.streams_ended == 1)
            assert (place.ledger.streams_abandoned, place.ledger.output_tokens) == (0, 100)
