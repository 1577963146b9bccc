"""Anthropic's messages and count_tokens: one content block, text or tool use, as named events."""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from . import tools
from .answer import Answer, Document, Event
from .refusals import anthropic
from .text import PER_MESSAGE, Limit, Output, Sampler, words_of


class Message(Struct, frozen=True):
    role: str
    content: str | list[Document]


class CountRequest(Struct, frozen=True, kw_only=True):
    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    system: str | list[Document] | None = None
    tools: list[Document] | None = None
    tool_choice: Document | None = None


class MessagesRequest(CountRequest, frozen=True, kw_only=True):
    max_tokens: Limit
    stream: bool | None = None


def answer(request: MessagesRequest, sampler: Sampler) -> Answer:
    words = _words(request)
    sampler.read(words)
    tool = _tool(request, sampler)
    output = tools.call(tool, sampler, 0, request.max_tokens) if tool else sampler.write(0, request.max_tokens)
    form = _Form(request.model, sampler.key, _tokens(request, words), output)
    if request.stream:
        return Answer(form.prompt, events=form.events())
    return Answer(form.prompt, form.message([form.block()], form.stop(), output.tokens), output.tokens)


def answer_count(request: CountRequest, sampler: Sampler) -> Answer:
    """Counting is free, as at the vendor."""
    return Answer(0, {"input_tokens": _tokens(request, _words(request))})


def failure(position: int) -> Event:
    """The `error` event."""
    document = anthropic(529, "overloaded", "")
    del document["request_id"]
    return Event(document, name="error")


def _words(request: CountRequest) -> list[str]:
    return [*words_of(request.system), *(word for message in request.messages for word in words_of(message.content))]


def _tokens(request: CountRequest, words: list[str]) -> int:
    return len(words) + PER_MESSAGE * (len(request.messages) + (1 if request.system else 0))


def _tool(request: MessagesRequest, sampler: Sampler) -> tools.Tool | None:
    """The tool to call; none after a tool's result, so that an agent's loop ends, unless the caller insists."""
    choice = request.tool_choice or {"type": "auto"}
    offers = [
        tool
        for offer in request.tools or ()
        if isinstance(offer.get("input_schema"), dict)
        for tool in tools.offered(offer.get("name"), offer["input_schema"])
    ]
    last = request.messages[-1].content
    returned = isinstance(last, list) and any(block.get("type") == "tool_result" for block in last)
    kind = choice.get("type")
    if not offers or kind == "none" or (kind == "auto" and returned):
        return None
    return tools.choose(offers, choice.get("name") if kind == "tool" else None, sampler)


class _Form:
    """How one answer is said, whole and in events."""

    def __init__(self, model: str, key: str, prompt: int, output: Output) -> None:
        self.model = model
        self.key = key
        self.prompt = prompt
        self.output = output

    def message(self, content: list[Document], stop: str | None, tokens: int) -> Document:
        return {
            "id": f"msg_{self.key}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {**self.usage(tokens), "service_tier": "standard"},
        }

    def usage(self, tokens: int) -> Document:
        cache = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
        return {"input_tokens": self.prompt, **cache, "output_tokens": tokens}

    def stop(self) -> str:
        if self.output.cut:
            return "max_tokens"
        return "tool_use" if self.output.tool else "end_turn"

    def block(self) -> Document:
        if not self.output.tool:
            return {"type": "text", "text": self.output.text}
        return self.tool_use({} if self.output.cut else msgspec.json.decode(self.output.text))

    def tool_use(self, arguments: Any) -> Document:
        return {"type": "tool_use", "id": f"toolu_{self.key}", "name": self.output.tool, "input": arguments}

    def events(self) -> Iterator[Event]:
        """Usage is cumulative: the prompt at the start, the whole of it in `message_delta`."""
        tool, output = self.output.tool, self.output
        yield _event("message_start", {"message": self.message([], None, 0)})
        empty = self.tool_use({}) if tool else {"type": "text", "text": ""}
        yield _event("content_block_start", {"index": 0, "content_block": empty}, tokens=1 if tool else 0)
        yield _event("ping", {})
        kind, field = ("input_json_delta", "partial_json") if tool else ("text_delta", "text")
        for piece in output.pieces:
            yield _event("content_block_delta", {"index": 0, "delta": {"type": kind, field: piece}}, tokens=1)
        yield _event("content_block_stop", {"index": 0})
        delta = {"stop_reason": self.stop(), "stop_sequence": None}
        yield _event("message_delta", {"delta": delta, "usage": self.usage(output.tokens)})
        yield _event("message_stop", {})


def _event(name: str, fields: Document, tokens: int = 0) -> Event:
    return Event({"type": name, **fields}, name, tokens)
