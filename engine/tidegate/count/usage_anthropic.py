"""Usage as Anthropic reports it: `input_tokens` is what was neither read from a cache nor written to one, so that all
three make up the input. `output_tokens` contains thinking.

A stream reports its input at once, in `message_start`, and the output so far in `message_delta`; the numbers of the
latter are whole and not differences, and may repeat those of the input. What a later event leaves out stands.
"""

from msgspec import Struct, structs

from tidegate.count.usage_fields import Tokens, decoded, service
from tidegate.model import Usage


class CacheCreation(Struct, frozen=True):
    ephemeral_5m_input_tokens: Tokens = None
    ephemeral_1h_input_tokens: Tokens = None


class ServerToolUse(Struct, frozen=True):
    web_search_requests: Tokens = None


class OutputDetails(Struct, frozen=True):
    thinking_tokens: Tokens = None


class MessageUsage(Struct, frozen=True):
    input_tokens: Tokens = None
    output_tokens: Tokens = None
    cache_creation_input_tokens: Tokens = None
    cache_read_input_tokens: Tokens = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: ServerToolUse | None = None
    service_tier: str | None = None
    speed: str | None = None  # `fast` costs more


class Message(Struct, frozen=True):
    usage: MessageUsage | None = None


class Event(Struct, frozen=True):
    """An event: `message_start` holds the message, `message_delta` has usage of its own."""

    message: Message | None = None
    usage: MessageUsage | None = None


class MessageReport:
    """What one message used."""

    def __init__(self) -> None:
        self._so_far = MessageUsage()

    def plain(self, body: bytes) -> None:
        """Read a whole answer."""
        message = decoded(body, Message)
        self._take(message.usage if message else None)

    def event(self, data: bytes) -> None:
        """Read the data of one event of a stream."""
        if event := decoded(data, Event):
            self._take(event.message.usage if event.message else event.usage)

    def _take(self, usage: MessageUsage | None) -> None:
        if usage:
            said = {name: value for name, value in structs.asdict(usage).items() if value is not None}
            self._so_far = structs.replace(self._so_far, **said)

    @property
    def usage(self) -> Usage | None:
        """What is known so far; None where the input was not reported."""
        said = self._so_far
        if said.input_tokens is None:
            return None
        created = said.cache_creation or CacheCreation()
        kept = created.ephemeral_1h_input_tokens or 0
        written = max(said.cache_creation_input_tokens or 0, (created.ephemeral_5m_input_tokens or 0) + kept)
        cached = said.cache_read_input_tokens or 0
        return Usage(
            input_tokens=said.input_tokens + written + cached,
            output_tokens=said.output_tokens or 0,
            kind="provider",
            cached_tokens=cached,
            cache_write_tokens=written,
            cache_write_1h_tokens=kept,
            reasoning_tokens=(said.output_tokens_details or OutputDetails()).thinking_tokens or 0,
            web_searches=(said.server_tool_use or ServerToolUse()).web_search_requests or 0,
            service=service(said.speed) or service(said.service_tier),
        )
