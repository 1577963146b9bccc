"""OpenAI's responses: one output item, a message or a function call, as typed events numbered from 0."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from . import tools
from .answer import Answer, Document, Event
from .text import PER_MESSAGE, Limit, Output, Sampler, words_of


class ResponsesRequest(Struct, frozen=True, kw_only=True):
    model: str
    input: str | list[Document]
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Limit | None = None
    tools: list[Document] | None = None
    tool_choice: str | Document | None = None


def answer(request: ResponsesRequest, sampler: Sampler) -> Answer:
    words = [*words_of(request.instructions), *words_of(request.input)]
    messages = (1 if isinstance(request.input, str) else len(request.input)) + (1 if request.instructions else 0)
    sampler.read(words)
    tool, limit = _tool(request, sampler), request.max_output_tokens
    output = tools.call(tool, sampler, 0, limit) if tool else sampler.write(0, limit)
    form = _Form(request, sampler, len(words) + PER_MESSAGE * messages, output)
    if request.stream:
        return Answer(form.prompt, events=_numbered(form.events()))
    return Answer(form.prompt, form.response(form.ending), output.tokens)


def failure(position: int) -> Event:
    """The `error` event, numbered like any other."""
    message = "the server had an error while processing the request"
    document = {"type": "error", "code": "server_error", "message": message, "param": None}
    return Event({**document, "sequence_number": position}, name="error")


def _tool(request: ResponsesRequest, sampler: Sampler) -> tools.Tool | None:
    """The tool to call; none after a tool's result, so that an agent's loop ends, unless the caller insists."""
    choice = request.tool_choice or "auto"
    offers = [
        tool
        for offer in request.tools or ()
        if offer.get("type") == "function"
        for tool in tools.offered(offer.get("name"), offer.get("parameters"))
    ]
    last = request.input[-1] if isinstance(request.input, list) and request.input else {}
    returned = isinstance(last, dict) and last.get("type") == "function_call_output"
    if not offers or choice == "none" or (choice == "auto" and returned):
        return None
    return tools.choose(offers, choice.get("name") if isinstance(choice, dict) else None, sampler)


class _Form:
    """How one answer is said, whole and in events."""

    def __init__(self, request: ResponsesRequest, sampler: Sampler, prompt: int, output: Output) -> None:
        self.request = request
        self.prompt = prompt
        self.output = output
        self.key = sampler.key
        self.created = sampler.created
        self.ending = "incomplete" if output.cut else "completed"
        self.item_id = ("fc_" if output.tool else "msg_") + self.key

    def response(self, status: str) -> Document:
        """The response object; before its end it has no output and no usage."""
        request, over = self.request, status != "in_progress"
        return {
            "id": f"resp_{self.key}",
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "model": request.model,
            "output": [self.item(self.ending)] if over else [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": request.tool_choice or "auto",
            "tools": request.tools or [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": self.usage() if over else None,
            "user": None,
            "metadata": {},
        }

    def usage(self) -> Document:
        return {
            "input_tokens": self.prompt,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": self.output.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.prompt + self.output.tokens,
        }

    def item(self, status: str) -> Document:
        """The output item; before its end it is empty."""
        over = status != "in_progress"
        if self.output.tool:
            arguments = self.output.text if over else ""
            call = {"type": "function_call", "call_id": f"call_{self.key}", "name": self.output.tool}
            return {"id": self.item_id, **call, "arguments": arguments, "status": status}
        content = [_part(self.output.text)] if over else []
        return {"id": self.item_id, "type": "message", "status": status, "role": "assistant", "content": content}

    def events(self) -> Iterator[Event]:
        yield _event("response.created", {"response": self.response("in_progress")})
        yield _event("response.in_progress", {"response": self.response("in_progress")})
        added = {"output_index": 0, "item": self.item("in_progress")}
        yield _event("response.output_item.added", added, tokens=1 if self.output.tool else 0)
        yield from self.arguments() if self.output.tool else self.text()
        yield _event("response.output_item.done", {"output_index": 0, "item": self.item(self.ending)})
        yield _event(f"response.{self.ending}", {"response": self.response(self.ending)})

    def text(self) -> Iterator[Event]:
        place = {"item_id": self.item_id, "output_index": 0, "content_index": 0}
        yield _event("response.content_part.added", {**place, "part": _part("")})
        for piece in self.output.pieces:
            yield _event("response.output_text.delta", {**place, "delta": piece, "logprobs": []}, tokens=1)
        yield _event("response.output_text.done", {**place, "text": self.output.text, "logprobs": []})
        yield _event("response.content_part.done", {**place, "part": _part(self.output.text)})

    def arguments(self) -> Iterator[Event]:
        place = {"item_id": self.item_id, "output_index": 0}
        for piece in self.output.pieces:
            yield _event("response.function_call_arguments.delta", {**place, "delta": piece}, tokens=1)
        done = {**place, "name": self.output.tool, "arguments": self.output.text}
        yield _event("response.function_call_arguments.done", done)


def _part(text: str) -> Document:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _event(name: str, fields: dict[str, Any], tokens: int = 0) -> Event:
    return Event({"type": name, **fields}, name, tokens)


def _numbered(events: Iterator[Event]) -> Iterator[Event]:
    for number, event in enumerate(events):
        yield Event({**(event.document or {}), "sequence_number": number}, event.name, event.tokens)
