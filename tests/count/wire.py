"""What a meter is to say of a stream, written without a thought of speed: the oracle of its tests.

Framing follows the WHATWG's text line by line, documents are read by `json`, and texts are counted by the reference
tokenizer.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.count import reference

ENCODING = reference.encoding("o200k_base")
Key = tuple[Any, ...]


class Events:
    """The events of a stream: its bytes before each boundary, and the name and data of each."""

    def __init__(self, stream: bytes) -> None:
        self.boundaries: list[int] = []
        self.events: list[tuple[str, bytes] | None] = []
        self.tail: tuple[str, bytes] | None = None
        name, data, at = "", [], 0
        for line, end in lines(stream):
            if at == 0 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            at += 1
            if line == b"" and end is not None:
                self.events.append((name, b"\n".join(data)) if data else None)
                self.boundaries.append(end)
                name, data = "", []
                continue
            field, _, value = line.partition(b":")
            if value.startswith(b" "):
                value = value[1:]
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value.decode("utf-8", "replace")
        if data:
            self.tail = (name, b"\n".join(data))


def lines(stream: bytes) -> Iterator[tuple[bytes, int | None]]:
    """Each line and where the next one starts; None for what no line end follows."""
    start = at = 0
    while at < len(stream):
        if stream[at : at + 2] == b"\r\n":
            yield stream[start:at], at + 2
            start = at = at + 2
        elif stream[at : at + 1] in (b"\r", b"\n"):
            yield stream[start:at], at + 1
            start = at = at + 1
        else:
            at += 1
    if start < len(stream):
        yield stream[start:], None


class Expected:
    """What is known after some events."""

    def __init__(self, endpoint: str) -> None:
        self.read: Callable[[dict[str, Any]], None] = getattr(self, "read_" + endpoint.replace(".", "_"))
        self.texts: dict[Key, str] = {}
        self.finish: dict[int, str] = {}
        self.choices = 0
        self.done = self.error = False
        self.by_part = endpoint in ("responses", "messages")
        self.calls: set[int] = set()  # of tools, that are open
        self.said: list[str] = []  # every text but names

    def event(self, event: tuple[str, bytes] | None) -> None:
        if event is None:
            return
        name, data = event
        self.error |= name == "error"
        if data.startswith(b"[DONE]"):
            self.done = True
            return
        try:
            document = json.loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return
        if isinstance(document, dict):
            self.error |= bool(document.get("error"))
            self.read(document)

    @property
    def calling(self) -> bool:
        return bool(self.calls)

    @property
    def tokens(self) -> int:
        return sum(map(tokens, self.texts.values()))

    def tokens_of(self, choice: int) -> int:
        return sum(tokens(text) for key, text in self.texts.items() if key[0] == choice)

    def add(self, text: Any, *key: Any) -> None:
        if isinstance(text, str) and text:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            self.texts[key] = self.texts.get(key, "") + text
            self.choices = max(self.choices, key[0] + 1)
            if not key[1].endswith("name"):
                self.said.append(text)
            if key[1] in CALLS:
                self.calls.add(key[2] if self.by_part else key[0])

    def closes(self, document: dict[str, Any], name: str) -> None:
        part = number(document, name, 65536)
        if part < 128:
            self.calls.discard(part)

    def ends(self, choice: int, reason: Any) -> None:
        if isinstance(reason, str) and reason and choice < 128:
            reason = reason.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            self.finish[choice] = reason[:64]
            if not self.by_part:
                self.calls.discard(choice)

    def choices_of(self, document: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        for position, choice in each(document.get("choices")):
            index = number(choice, "index", position)
            self.choices = max(self.choices, index + 1)
            yield index, choice
        for position, choice in each(document.get("choices")):
            self.ends(number(choice, "index", position), choice.get("finish_reason"))

    def read_chat_completions(self, document: dict[str, Any]) -> None:
        for index, choice in self.choices_of(document):
            delta = table(choice.get("delta"))
            self.add(delta.get("content"), index, "content")
            for _, piece in each(delta.get("content")):
                self.add(piece.get("text"), index, "content")
                self.add(piece.get("thinking"), index, "reasoning")
                for _, thought in each(piece.get("thinking")):
                    self.add(thought.get("text"), index, "reasoning")
            self.add(delta.get("refusal"), index, "refusal")
            thoughts = [delta.get(name) for name in ("reasoning", "reasoning_content")]
            self.add(next((text for text in thoughts if isinstance(text, str) and text), None), index, "reasoning")
            for position, call in each(delta.get("tool_calls")):
                part = number(call, "index", position)
                function = table(call.get("function"))
                self.add(function.get("name"), index, "name", part)
                self.add(function.get("arguments"), index, "arguments", part)
                custom = table(call.get("custom"))
                self.add(custom.get("name"), index, "name", part)
                self.add(custom.get("input"), index, "arguments", part)
            function = table(delta.get("function_call"))
            self.add(function.get("name"), index, "function name")
            self.add(function.get("arguments"), index, "function arguments")

    def read_completions(self, document: dict[str, Any]) -> None:
        for index, choice in self.choices_of(document):
            self.add(choice.get("text"), index, "text")

    def read_responses(self, document: dict[str, Any]) -> None:
        kind = text_of(document.get("type"))
        part = number(document, "output_index", 0)
        below = number(document, "content_index", 0)
        below = number(document, "summary_index", below)
        if kind in DELTAS:
            self.add(document.get("delta"), 0, DELTAS[kind], part, below)
        elif kind == "response.output_item.added":
            self.add(table(document.get("item")).get("name"), 0, "name", part, below)
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self.done = True
            self.ends(0, table(document.get("response")).get("status"))
        elif kind == "response.output_item.done":
            self.closes(document, "output_index")
        elif kind == "error":
            self.error = True

    def read_messages(self, document: dict[str, Any]) -> None:
        part = number(document, "index", 0)
        delta, block = table(document.get("delta")), table(document.get("content_block"))
        self.ends(0, delta.get("stop_reason"))
        for fields in (delta, block):
            self.add(fields.get("text"), 0, "text", part)
            self.add(fields.get("thinking"), 0, "thinking", part)
        self.add(delta.get("partial_json"), 0, "input", part)
        self.add(block.get("name"), 0, "name", part)
        if document.get("type") == "content_block_stop":
            self.closes(document, "index")
        self.done |= document.get("type") == "message_stop"
        self.error |= document.get("type") == "error"


DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "summary",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.code_interpreter_call_code.delta": "code",
}


CALLS = {"name", "arguments", "function name", "function arguments", "input"}


def tokens(text: str) -> int:
    return len(ENCODING.encode_ordinary(text))


def table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def each(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for position, one in enumerate(value if isinstance(value, list) else ()):
        if isinstance(one, dict):
            yield position, one


def number(fields: dict[str, Any], name: str, default: int) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535 else default


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""
