"""Usage as Bedrock's Converse reports it: `inputTokens` is what was neither read from a cache nor written to one. A
stream reports in its last event, `metadata`.

InvokeModel answers in the model's own dialect, and its usage is read as that one's.
"""

from msgspec import Struct

from tidegate.count.usage_fields import Tokens, decoded, service
from tidegate.model import Usage


class CacheDetail(Struct, frozen=True, rename="camel"):
    ttl: str | None = None
    input_tokens: Tokens = None


class ConverseUsage(Struct, frozen=True, rename="camel"):
    input_tokens: Tokens = None
    output_tokens: Tokens = None
    cache_read_input_tokens: Tokens = None
    cache_write_input_tokens: Tokens = None
    cache_details: tuple[CacheDetail, ...] | None = None


class ServiceTier(Struct, frozen=True):
    type: str | None = None


class Converse(Struct, frozen=True, rename="camel"):
    """An answer, or the payload of the event `metadata`."""

    usage: ConverseUsage | None = None
    service_tier: ServiceTier | None = None


class ConverseReport:
    """What one call of Converse used."""

    def __init__(self) -> None:
        self.usage: Usage | None = None

    def plain(self, body: bytes) -> None:
        """Read a whole answer."""
        self.event(body)

    def event(self, data: bytes) -> None:
        """Read the payload of one event of a stream."""
        answer = decoded(data, Converse)
        if answer and answer.usage and answer.usage.input_tokens is not None:
            tier = answer.service_tier
            self.usage = _usage(answer.usage, answer.usage.input_tokens, service(tier.type if tier else None))


def _usage(said: ConverseUsage, fresh: int, served: str) -> Usage:
    kept = sum(each.input_tokens or 0 for each in said.cache_details or () if each.ttl == "1h")
    written = max(said.cache_write_input_tokens or 0, sum(each.input_tokens or 0 for each in said.cache_details or ()))
    cached = said.cache_read_input_tokens or 0
    return Usage(
        input_tokens=fresh + cached + written,
        output_tokens=said.output_tokens or 0,
        kind="provider",
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=kept,
        service=served,
    )
