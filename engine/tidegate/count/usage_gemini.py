"""Usage as Gemini reports it: the prompt contains what was cached but not what its tools fed in, and the candidates do
not contain the thoughts, which are output all the same. Audio and images are told apart in lists, the cached ones once
more among the cached.

Every chunk of a stream may report, and the numbers grow: the last one counts. Without server-sent events a stream is
one JSON array of its chunks.
"""

from msgspec import Struct

from tidegate.count.usage_fields import Tokens, decoded, service
from tidegate.model import Usage


class Modality(Struct, frozen=True, rename="camel"):
    modality: str | None = None
    token_count: Tokens = None


Modalities = tuple[Modality, ...] | None


class Metadata(Struct, frozen=True, rename="camel"):
    prompt_token_count: Tokens = None
    candidates_token_count: Tokens = None
    thoughts_token_count: Tokens = None
    tool_use_prompt_token_count: Tokens = None
    cached_content_token_count: Tokens = None
    prompt_tokens_details: Modalities = None
    tool_use_prompt_tokens_details: Modalities = None
    cache_tokens_details: Modalities = None
    candidates_tokens_details: Modalities = None
    service_tier: str | None = None


class Chunk(Struct, frozen=True, rename="camel"):
    """An answer, or a chunk of a stream."""

    usage_metadata: Metadata | None = None


class GenerateReport:
    """What one call of `generateContent` used."""

    def __init__(self) -> None:
        self.usage: Usage | None = None

    def plain(self, body: bytes) -> None:
        """Read a whole answer, or an array of chunks."""
        if body.lstrip()[:1] == b"[":
            for chunk in decoded(body, tuple[Chunk, ...]) or ():
                self._take(chunk)
        else:
            self._take(decoded(body, Chunk))

    def event(self, data: bytes) -> None:
        """Read the data of one event of a stream."""
        self._take(decoded(data, Chunk))

    def _take(self, chunk: Chunk | None) -> None:
        if chunk and chunk.usage_metadata and chunk.usage_metadata.prompt_token_count is not None:
            self.usage = _usage(chunk.usage_metadata)


def _usage(said: Metadata) -> Usage:
    prompt = (*(said.prompt_tokens_details or ()), *(said.tool_use_prompt_tokens_details or ()))
    thoughts = said.thoughts_token_count or 0
    return Usage(
        input_tokens=(said.prompt_token_count or 0) + (said.tool_use_prompt_token_count or 0),
        output_tokens=(said.candidates_token_count or 0) + thoughts,
        kind="provider",
        cached_tokens=said.cached_content_token_count or 0,
        input_audio_tokens=_uncached(prompt, said.cache_tokens_details, "AUDIO"),
        input_image_tokens=_uncached(prompt, said.cache_tokens_details, "IMAGE", "DOCUMENT"),
        reasoning_tokens=thoughts,
        output_audio_tokens=_tokens(said.candidates_tokens_details, "AUDIO"),
        output_image_tokens=_tokens(said.candidates_tokens_details, "IMAGE", "DOCUMENT"),
        service=service((said.service_tier or "").lower()),
    )


def _uncached(prompt: Modalities, cached: Modalities, *names: str) -> int:
    """Tokens of the prompt that are not among the cached ones already."""
    return max(_tokens(prompt, *names) - _tokens(cached, *names), 0)


def _tokens(listed: Modalities, *names: str) -> int:
    return sum(each.token_count or 0 for each in listed or () if each.modality in names)
