"""What the dialects make: an answer, as one document or as events. It knows its tokens and nothing of the network."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

Document = dict[str, Any]

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class Event(Struct, frozen=True, gc=False):
    """One server-sent event; without a document it is `[DONE]`."""

    document: Document | None
    name: str = ""
    tokens: int = 0  # output tokens that this event carries

    def encoded(self) -> bytes:
        """The event as it goes over the wire."""
        name = f"event: {self.name}\n".encode() if self.name else b""
        return b"%bdata: %b\n\n" % (name, b"[DONE]" if self.document is None else encode(self.document))


class Answer(Struct, frozen=True):
    """A document (then `output` are its tokens) or events (then each carries its own)."""

    prompt: int
    document: Document | None = None
    output: int = 0
    events: Iterator[Event] | None = None


Failure = Callable[[int], Event]  # the dialect's error event for the position in the stream
