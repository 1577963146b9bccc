"""Usage as OpenAI reports it, and the many servers that speak its dialect.

`prompt_tokens` contains the cached ones and those written to a cache, `completion_tokens` contains reasoning. Some
servers leave reasoning out of `completion_tokens` (xAI, Gemini) and count it in `total_tokens`: what the total has more
is output. DeepSeek, Moonshot, Groq and Perplexity have fields of their own beside OpenAI's.

A stream reports in its last chunk, if it was asked to; where a server reports in every chunk, the numbers grow, so
that the last one counts. The Responses API reports in its terminal event.
"""

from typing import Any, Final

from msgspec import Struct

from tidegate.count._figures import Figures
from tidegate.count._usage_chat import UNDECIDED, full_usage, quick_usage
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
        kind = self.action.type if self.action is not None else None
        return self.type == "web_search_call" and (kind is None or kind == "search")


class Response(Struct, frozen=True):
    usage: ResponseUsage | None = None
    service_tier: str | None = None
    output: tuple[Item, ...] | None = None


class ResponseEvent(Struct, frozen=True):
    """An event of the Responses API; those that end it hold the whole response."""

    response: Response | None = None


# what the fast reader looks for; what it does not decide is decoded as the Structs above
_PROMPT: Final = {"cached_tokens": int, "cache_write_tokens": int, "audio_tokens": int}
_OUTPUT: Final = {"reasoning_tokens": int, "audio_tokens": int}
_RESPONSE: Final = Figures(
    {
        "usage": {
            "input_tokens": int,
            "output_tokens": int,
            "total_tokens": int,
            "input_tokens_details": _PROMPT,
            "output_tokens_details": _OUTPUT,
        },
        "service_tier": str,
        "output": [{"type": "web_search_call", "action": None}],
    }
)


def chat_usage(answer: bytes) -> Usage | None:
    """What an answer of chat completions, completions or embeddings says, or an event of its stream."""
    found: Usage | None = quick_usage(answer)
    return _chat_usage(decoded(answer, Chat)) if found is UNDECIDED else found


class ChatReport:
    """What one call of chat completions, completions or embeddings used."""

    def __init__(self) -> None:
        self.usage: Usage | None = None

    def plain(self, body: bytes) -> None:
        """Read a whole answer."""
        self.event(body)

    def event(self, data: bytes) -> None:
        """Read the data of one event of a stream."""
        self.usage = chat_usage(data) or self.usage


class ResponseReport:
    """What one call of the Responses API used."""

    def __init__(self) -> None:
        self.usage: Usage | None = None

    def plain(self, body: bytes) -> None:
        """Read a whole answer."""
        figures = _RESPONSE.read(body)
        if figures is None:
            self._take(decoded(body, Response))
        else:
            self.usage = _response_usage(figures, 0) or self.usage

    def event(self, data: bytes) -> None:
        """Read the data of one event of a stream."""
        event = decoded(data, ResponseEvent)
        self._take(event.response if event else None)

    def _take(self, response: Response | None) -> None:
        if response and response.usage:
            searches = sum(item.is_search for item in response.output or ())
            figures = _response_figures(response.usage, response.service_tier)
            self.usage = _response_usage(figures, searches) or self.usage


def _chat_usage(chat: Chat | None) -> Usage | None:
    """The usage of what was decoded in full."""
    said = (chat and (chat.usage or (chat.x_groq and chat.x_groq.usage))) or ChatUsage()
    prompt = said.prompt_tokens_details or PromptDetails()
    output = said.completion_tokens_details or CompletionDetails()
    figures = [
        said.prompt_tokens,
        said.completion_tokens,
        said.total_tokens,
        prompt.cached_tokens,
        prompt.cache_write_tokens,
        prompt.audio_tokens,
        output.reasoning_tokens,
        output.audio_tokens,
        said.cached_tokens,
        said.prompt_cache_hit_tokens,
        said.reasoning_tokens,
        said.citation_tokens,
        said.num_search_queries,
    ]
    return full_usage(figures, chat.service_tier if chat else None)


def _response_figures(said: ResponseUsage, tier: str | None) -> list[Any]:
    """The figures as the fast reader has them."""
    prompt = said.input_tokens_details or PromptDetails()
    output = said.output_tokens_details or CompletionDetails()
    return [
        said.input_tokens,
        said.output_tokens,
        said.total_tokens,
        prompt.cached_tokens,
        prompt.cache_write_tokens,
        prompt.audio_tokens,
        output.reasoning_tokens,
        output.audio_tokens,
        tier,
    ]


def _response_usage(figures: list[Any], searches: int) -> Usage | None:
    read, said, total, cached, written, _, thought, _, tier = figures
    if read is None:
        return None
    return Usage(
        input_tokens=read,
        output_tokens=max(said or 0, (total or 0) - read),
        kind="provider",
        cached_tokens=cached or 0,
        cache_write_tokens=written or 0,
        reasoning_tokens=thought or 0,
        web_searches=searches,
        service=service(tier),
    )
