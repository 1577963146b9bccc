"""Usage as Anthropic reports it: `input_tokens` is what was neither read from a cache nor written to one, so that all
three make up the input. `output_tokens` contains thinking.

A stream reports its input at once, in `message_start`, and the output so far in `message_delta`; the numbers of the
latter are whole and not differences, and may repeat those of the input. What a later event leaves out stands.
"""

from typing import Any, Final

from msgspec import Struct, structs

from tidegate.count._figures import Figures
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


NOTHING: Final = MessageUsage()

# what the fast reader looks for; what it does not decide is decoded as the Structs above
_MESSAGE: Final = Figures(
    {
        "usage": {
            "input_tokens": int,
            "output_tokens": int,
            "cache_creation_input_tokens": int,
            "cache_read_input_tokens": int,
            "cache_creation": {"ephemeral_5m_input_tokens": int, "ephemeral_1h_input_tokens": int},
            "output_tokens_details": {"thinking_tokens": int},
            "server_tool_use": {"web_search_requests": int},
            "service_tier": str,
            "speed": str,
        }
    }
)


class MessageReport:
    """What one message used."""

    def __init__(self) -> None:
        self._so_far = NOTHING
        self._whole: Usage | None = None

    def plain(self, body: bytes) -> None:
        """Read a whole answer."""
        figures = _MESSAGE.read(body)
        if figures is None:
            message = decoded(body, Message)
            self._take(message.usage if message else None)
        else:
            self._whole = _usage(figures)

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
        return self._whole or _usage(_figures(self._so_far))


def _figures(said: MessageUsage) -> list[Any]:
    """The figures as the fast reader has them."""
    created = said.cache_creation or CacheCreation()
    return [
        said.input_tokens,
        said.output_tokens,
        said.cache_creation_input_tokens,
        said.cache_read_input_tokens,
        created.ephemeral_5m_input_tokens,
        created.ephemeral_1h_input_tokens,
        (said.output_tokens_details or OutputDetails()).thinking_tokens,
        (said.server_tool_use or ServerToolUse()).web_search_requests,
        said.service_tier,
        said.speed,
    ]


def _usage(figures: list[Any]) -> Usage | None:
    fresh, said, created, cached, briefly, kept, thought, searches, tier, speed = figures
    if fresh is None:
        return None
    written = max(created or 0, (briefly or 0) + (kept or 0))
    return Usage(
        input_tokens=fresh + written + (cached or 0),
        output_tokens=said or 0,
        kind="provider",
        cached_tokens=cached or 0,
        cache_write_tokens=written,
        cache_write_1h_tokens=kept or 0,
        reasoning_tokens=thought or 0,
        web_searches=searches or 0,
        service=service(speed) or service(tier),
    )
