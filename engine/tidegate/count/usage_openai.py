"""Usage as OpenAI reports it, and the many servers that speak its dialect.

`prompt_tokens` contains the cached ones and those written to a cache, `completion_tokens` contains reasoning. Some
servers leave reasoning out of `completion_tokens` (xAI, Gemini) and count it in `total_tokens`: what the total has more
is output. DeepSeek, Moonshot, Groq and Perplexity have fields of their own beside OpenAI's.

A stream reports in its last chunk, if it was asked to; where a server reports in every chunk, the numbers grow, so
that the last one counts. The Responses API reports in its terminal event.
"""

from msgspec import Struct

from tidegate.count.usage_fields import Tokens, decoded, service
from tidegate.model import Usage


class PromptDetails(Struct, frozen=True):
    cached_tokens: Tokens = None
    cache_write_tokens: Tokens = None
    audio_tokens: Tokens = None


class CompletionDetails(Struct, frozen=True):
    reasoning_tokens: Tokens = None
    audio_tokens: Tokens = None


class ChatUsage(Struct, frozen=True):
    """Of chat completions, completions and embeddings."""

    prompt_tokens: Tokens = None
    completion_tokens: Tokens = None
    total_tokens: Tokens = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    cached_tokens: Tokens = None  # Moonshot
    prompt_cache_hit_tokens: Tokens = None  # DeepSeek
    reasoning_tokens: Tokens = None  # Perplexity; what stands here and not in the details is not in the completion
    citation_tokens: Tokens = None  # Perplexity
    num_search_queries: Tokens = None  # Perplexity


class Groq(Struct, frozen=True):
    usage: ChatUsage | None = None


class Chat(Struct, frozen=True):
    """An answer, or a chunk of a stream."""

    usage: ChatUsage | None = None
    service_tier: str | None = None
    x_groq: Groq | None = None


class ResponseUsage(Struct, frozen=True):
    input_tokens: Tokens = None
    output_tokens: Tokens = None
    total_tokens: Tokens = None
    input_tokens_details: PromptDetails | None = None
    output_tokens_details: CompletionDetails | None = None


class Action(Struct, frozen=True):
    type: str | None = None


class Item(Struct, frozen=True):
    """An item of a response's output."""

    type: str | None = None
    action: Action | None = None

    @property
    def is_search(self) -> bool:
        """Whether it is one that is charged; opening a page that was found is not."""
        return self.type == "web_search_call" and (self.action is None or self.action.type in (None, "search"))


class Response(Struct, frozen=True):
    usage: ResponseUsage | None = None
    service_tier: str | None = None
    output: tuple[Item, ...] | None = None


class ResponseEvent(Struct, frozen=True):
    """An event of the Responses API; those that end it hold the whole response."""

    response: Response | None = None


class ChatReport:
    """What one call of chat completions, completions or embeddings used."""

    def __init__(self) -> None:
        self.usage: Usage | None = None

    def plain(self, body: bytes) -> None:
        """Read a whole answer."""
        self.event(body)

    def event(self, data: bytes) -> None:
        """Read the data of one event of a stream."""
        chat = decoded(data, Chat)
        usage = chat and (chat.usage or (chat.x_groq and chat.x_groq.usage))
        if chat and usage:
            self.usage = _chat_usage(usage, service(chat.service_tier)) or self.usage


class ResponseReport:
    """What one call of the Responses API used."""

    def __init__(self) -> None:
        self.usage: Usage | None = None

    def plain(self, body: bytes) -> None:
        """Read a whole answer."""
        self._take(decoded(body, Response))

    def event(self, data: bytes) -> None:
        """Read the data of one event of a stream."""
        event = decoded(data, ResponseEvent)
        self._take(event.response if event else None)

    def _take(self, response: Response | None) -> None:
        if response and response.usage:
            searches = sum(item.is_search for item in response.output or ())
            self.usage = _response_usage(response.usage, service(response.service_tier), searches) or self.usage


def _chat_usage(said: ChatUsage, served: str) -> Usage | None:
    prompt = said.prompt_tokens_details or PromptDetails()
    output = said.completion_tokens_details or CompletionDetails()
    apart = (said.reasoning_tokens or 0) + (said.citation_tokens or 0)
    if said.prompt_tokens is None:
        return None
    return Usage(
        input_tokens=said.prompt_tokens,
        output_tokens=max((said.completion_tokens or 0) + apart, (said.total_tokens or 0) - said.prompt_tokens),
        kind="provider",
        cached_tokens=prompt.cached_tokens or said.cached_tokens or said.prompt_cache_hit_tokens or 0,
        cache_write_tokens=prompt.cache_write_tokens or 0,
        input_audio_tokens=prompt.audio_tokens or 0,
        reasoning_tokens=output.reasoning_tokens or said.reasoning_tokens or 0,
        output_audio_tokens=output.audio_tokens or 0,
        web_searches=said.num_search_queries or 0,
        service=served,
    )


def _response_usage(said: ResponseUsage, served: str, searches: int) -> Usage | None:
    prompt = said.input_tokens_details or PromptDetails()
    output = said.output_tokens_details or CompletionDetails()
    if said.input_tokens is None:
        return None
    return Usage(
        input_tokens=said.input_tokens,
        output_tokens=max(said.output_tokens or 0, (said.total_tokens or 0) - said.input_tokens),
        kind="provider",
        cached_tokens=prompt.cached_tokens or 0,
        cache_write_tokens=prompt.cache_write_tokens or 0,
        reasoning_tokens=output.reasoning_tokens or 0,
        web_searches=searches,
        service=served,
    )
