"""Lowers what a body says about the length of its answer: afterwards it asks for no more than it may.

What is lowered is the limit of one answer, as the caller states it; a call for several answers (`n`) may get so much
for each of them. A body that states none gets one, under the name that its provider is most likely to know.

Nothing else changes, so that a provider may refuse what is left: OpenAI's responses take no limit below 16, and
Anthropic none that the call's own `thinking.budget_tokens` reaches.
"""

from typing import Final

import msgspec

from tidegate.wire._strict import locate
from tidegate.wire.splice import Edit

# OpenAI refuses `max_tokens` for models that reason; most servers that only speak like OpenAI know nothing else
REASONING: Final = frozenset(("openai", "azure"))
COMPLETION_DEFAULT: Final = 16  # tokens of a completion whose caller says nothing, at the same two


def lower_chat(body: bytes, most: int, provider: str) -> tuple[Edit, ...]:
    """Chat completions have two names; servers differ in which of them wins, so that both are lowered."""
    name = b"max_completion_tokens" if provider in REASONING else b"max_tokens"
    return _lowered(body, most, (b"max_completion_tokens", b"max_tokens"), name)


def lower_completion(body: bytes, most: int, provider: str) -> tuple[Edit, ...]:
    """Completions: where the provider's own default is low enough, it stays."""
    stays = provider in REASONING and most >= COMPLETION_DEFAULT
    return _lowered(body, most, (b"max_tokens",), None if stays else b"max_tokens")


def lower_response(body: bytes, most: int, provider: str) -> tuple[Edit, ...]:
    """Responses."""
    return _lowered(body, most, (b"max_output_tokens",), b"max_output_tokens")


def lower_message(body: bytes, most: int, provider: str) -> tuple[Edit, ...]:
    """Anthropic's messages."""
    return _lowered(body, most, (b"max_tokens",), b"max_tokens")


def _lowered(body: bytes, most: int, names: tuple[bytes, ...], missing: bytes | None) -> tuple[Edit, ...]:
    """The edits that make every limit in `names` at most `most`; where none is stated, `missing` becomes one."""
    edits: list[Edit] = []
    stated = False
    for name in names:
        span = locate(body, name)
        value = None if span is None else msgspec.json.decode(body[slice(*span)], type=int | None)
        if span is not None and value is not None:
            stated = True
            if not 0 < value <= most:  # to some servers 0 is no limit
                edits.append((*span, b"%d" % most))
    if stated or missing is None:
        return tuple(edits)
    span = locate(body, missing)
    if span is not None:  # it is null
        return ((*span, b"%d" % most),)
    start = body.index(b"{") + 1  # a body has a model, so that something follows
    return ((start, start, b'"%b":%d,' % (missing, most)),)
