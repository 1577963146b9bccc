"""OpenAI's chat completions and the older completions.

A stream is a role chunk a choice, then one token a chunk, the choices taking turns, then a finish chunk a choice,
then `[DONE]`. With `stream_options.include_usage` every chunk carries `usage: null` and one more, with no choices,
carries the usage; without it no chunk has the key.
"""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Annotated, Any

from msgspec import Meta, Struct

from ...errors import BadBody
from . import tools
from .answer import Answer, Document, Event
from .refusals import openai
from .text import PER_MESSAGE, Limit, Output, Sampler, inputs_of, words_of

Choices = Annotated[int, Meta(ge=1, le=128)]
DONE = Event(None)


class StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


class Message(Struct, frozen=True):
    role: str
    content: Any = None


class ChatRequest(Struct, frozen=True, kw_only=True):
    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    n: Choices | None = None
    tools: list[Document] | None = None
    tool_choice: str | Document | None = None


class CompletionRequest(Struct, frozen=True, kw_only=True):
    model: str
    prompt: Any
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Limit | None = None
    n: Choices | None = None


def answer_chat(request: ChatRequest, sampler: Sampler) -> Answer:
    words = [word for message in request.messages for word in words_of(message.content)]
    sampler.read(words)
    limit = request.max_completion_tokens or request.max_tokens
    tool = _tool(request, sampler)
    outputs = [
        tools.call(tool, sampler, choice, limit) if tool else sampler.write(choice, limit)
        for choice in range(request.n or 1)
    ]
    return _answer(_Chat(request, sampler, len(words) + PER_MESSAGE * len(request.messages), outputs))


def answer_completion(request: CompletionRequest, sampler: Sampler) -> Answer:
    try:
        prompts = inputs_of(request.prompt)
    except ValueError as error:
        raise BadBody(f"{error} - at `$.prompt`") from None
    outputs = []
    for prompt in prompts:
        sampler.read(prompt)
        outputs += [sampler.write(choice, request.max_tokens) for choice in range(request.n or 1)]
    return _answer(_Completion(request, sampler, sum(map(len, prompts)), outputs))


def failure(position: int) -> Event:
    """An object with an `error` in place of a chunk; the SDKs raise on it."""
    return Event(openai(500, "the server had an error while processing the request", ""))


def _tool(request: ChatRequest, sampler: Sampler) -> tools.Tool | None:
    """The tool to call; none after a tool's result, so that an agent's loop ends, unless the caller insists."""
    choice = request.tool_choice or "auto"
    offers = [
        tool
        for offer in request.tools or ()
        if isinstance(function := offer.get("function"), dict)
        for tool in tools.offered(function.get("name"), function.get("parameters"))
    ]
    if not offers or choice == "none" or (choice == "auto" and request.messages[-1].role == "tool"):
        return None
    named = choice.get("function") if isinstance(choice, dict) else None
    return tools.choose(offers, named.get("name") if isinstance(named, dict) else None, sampler)


class _Completion:
    """How the older completions say it."""

    prefix, whole, chunk = "cmpl-", "text_completion", "text_completion"

    def __init__(
        self, request: ChatRequest | CompletionRequest, sampler: Sampler, prompt: int, outputs: list[Output]
    ) -> None:
        self.request = request
        self.prompt = prompt
        self.outputs = outputs
        self.key = sampler.key
        self.created = sampler.created

    def envelope(self, kind: str) -> Document:
        return {
            "id": self.prefix + self.key,
            "object": kind,
            "created": self.created,
            "model": self.request.model,
            "system_fingerprint": "fp_simulated",
        }

    def usage(self) -> Document:
        output = sum(one.tokens for one in self.outputs)
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": output,
            "total_tokens": self.prompt + output,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def said(self, index: int, output: Output) -> Document:
        """A choice of the whole answer."""
        return {"text": output.text, "index": index, "logprobs": None, "finish_reason": _finish(output)}

    def opened(self, index: int, output: Output) -> tuple[Document, int] | None:
        """What a choice of the stream begins with, and its tokens."""
        return None

    def piece(self, index: int, output: Output, text: str) -> Document:
        """A choice of a chunk with one token."""
        return {"text": text, "index": index, "logprobs": None, "finish_reason": None}

    def closed(self, index: int, output: Output) -> Document:
        """What a choice of the stream ends with."""
        return {"text": "", "index": index, "logprobs": None, "finish_reason": _finish(output)}


class _Chat(_Completion):
    """How chat completions say it."""

    prefix, whole, chunk = "chatcmpl-", "chat.completion", "chat.completion.chunk"

    def _call_id(self, index: int) -> str:
        return f"call_{index}_{self.key}"

    def said(self, index: int, output: Output) -> Document:
        message: Document = {"role": "assistant", "content": None if output.tool else output.text, "refusal": None}
        if output.tool:
            function = {"name": output.tool, "arguments": output.text}
            message["tool_calls"] = [{"id": self._call_id(index), "type": "function", "function": function}]
        return {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(output)}

    def opened(self, index: int, output: Output) -> tuple[Document, int] | None:
        if not output.tool:
            return _delta(index, {"role": "assistant", "content": "", "refusal": None}), 0
        function = {"name": output.tool, "arguments": ""}
        call = {"index": 0, "id": self._call_id(index), "type": "function", "function": function}
        return _delta(index, {"role": "assistant", "content": None, "tool_calls": [call]}), 1

    def piece(self, index: int, output: Output, text: str) -> Document:
        if output.tool:
            return _delta(index, {"tool_calls": [{"index": 0, "function": {"arguments": text}}]})
        return _delta(index, {"content": text})

    def closed(self, index: int, output: Output) -> Document:
        return _delta(index, {}, _finish(output))


def _delta(index: int, delta: Document, finish: str | None = None) -> Document:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _finish(output: Output) -> str:
    if output.cut:
        return "length"
    return "tool_calls" if output.tool else "stop"


def _answer(form: _Completion) -> Answer:
    if form.request.stream:
        return Answer(form.prompt, events=_events(form))
    choices = [form.said(index, output) for index, output in enumerate(form.outputs)]
    document = form.envelope(form.whole) | {"choices": choices, "usage": form.usage()}
    return Answer(form.prompt, document, sum(output.tokens for output in form.outputs))


def _events(form: _Completion) -> Iterator[Event]:
    options = form.request.stream_options
    asked = options is not None and bool(options.include_usage)
    base = form.envelope(form.chunk)
    silent: Document = {"usage": None} if asked else {}

    def chunk(choice: Document, tokens: int = 0) -> Event:
        return Event({**base, "choices": [choice], **silent}, tokens=tokens)

    for index, output in enumerate(form.outputs):
        if opening := form.opened(index, output):
            yield chunk(*opening)
    for turn in zip_longest(*(output.pieces for output in form.outputs)):
        for index, text in enumerate(turn):
            if text is not None:
                yield chunk(form.piece(index, form.outputs[index], text), 1)
    for index, output in enumerate(form.outputs):
        yield chunk(form.closed(index, output))
    if asked:
        yield Event({**base, "choices": [], "usage": form.usage()})
    yield DONE
