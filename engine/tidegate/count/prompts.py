"""How many tokens a prompt has, before it is sent: of every endpoint that reads one.

    count = count_prompt("chat.completions", fields)
    count.tokens, count.kind

A count is `exact` where the model's vocabulary is public, everything is plain text, and what stands between the texts
has been compared with bills: then it is what the provider will report. Any other is `estimated`; docs/tokens.md says
how far off each may be, and `calibration.py` makes better ones of them.

Counting is linear in the prompt and bounded in memory: a prompt with more commas and braces than `MOST` is counted as
one text. It takes about 10 ms a megabyte, and texts above 8 KiB are counted without the GIL: with a body longer than
`LONG` it belongs in a thread, so that the loop goes on.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from msgspec import UNSET, Raw, Struct

from tidegate.count import prompts_anthropic as anthropic
from tidegate.count import prompts_openai as openai
from tidegate.count import prompts_tools as tools
from tidegate.count.features import Features, features
from tidegate.count.registry import PUBLISHED, Encoding, Kind, Registry, published_encoding
from tidegate.count.tally import Tally
from tidegate.wire.dialect import Governed

LONG: Final = 1 << 16  # bytes of a body; counting less takes about a millisecond, which other calls can wait
MOST: Final = 1 << 20  # commas and braces; a prompt with more has about a million tokens, or is nothing but brackets


class PromptCount(Struct, frozen=True):
    """What a prompt has."""

    tokens: int
    kind: Kind
    features: Features
    media: int = 0  # of the tokens: of images, audio, files; no vocabulary changes them
    messages: int = 0
    tools: int = 0
    images: int = 0
    others: int = 0  # parts that are guessed, or that only the provider knows


Counted = Callable[[Tally, Any], None]  # the field is a Raw, or what its dialect has decoded

_MESSAGES: Final[Mapping[str, Counted]] = {
    "system": anthropic.system,
    "messages": anthropic.messages,
    "tools": anthropic.tools,
    "tool_choice": anthropic.tool_choice,
}
# by Route.endpoint and field, in the order of counting; what a dialect does not read is not counted
COUNTED: Final[Mapping[str, Mapping[str, Counted]]] = {
    "chat.completions": {
        "messages": openai.messages,
        "tools": tools.tools,
        "functions": tools.functions,
        "tool_choice": tools.tool_choice,
        "function_call": tools.tool_choice,
        "response_format": tools.response_format,
    },
    "completions": {"prompt": openai.texts, "suffix": Tally.text},
    "embeddings": {"input": openai.texts},
    "responses": {
        "instructions": openai.instructions,
        "input": openai.items,
        "tools": tools.tools,
        "tool_choice": tools.tool_choice,
        "text": tools.response_format,
        "previous_response_id": openai.kept,
        "conversation": openai.kept,
    },
    "messages": _MESSAGES,
    "messages.count_tokens": _MESSAGES,
}


def count_prompt(endpoint: str, fields: Governed, registry: Registry = PUBLISHED) -> PromptCount:
    """The tokens of a call's prompt, by its Route.endpoint. Never fails over what the caller wrote: what cannot be read
    is counted as it is written. Raises ValueError for an endpoint that has no prompt.
    """
    encoding = registry.encoding(fields.model)
    tally = Tally(fields.model, registry.vocabulary(encoding))
    for name, counted in _counted(endpoint, type(fields)):
        value = getattr(fields, name)
        if value is None or value is UNSET:
            continue
        if isinstance(value, Raw) and _is_endless(value):
            tally.as_written(value)
        else:
            counted(tally, value)
    return PromptCount(
        tokens=tally.counted + tally.framing + tally.media,
        kind="exact" if tally.plain and _is_known(endpoint, fields.model, encoding, tally) else "estimated",
        features=features("prompt", tally.counted, tally.characters, tally.size, tally.foreign),
        media=tally.media,
        messages=tally.messages,
        tools=tally.tools,
        images=tally.images,
        others=tally.others,
    )


@cache
def _counted(endpoint: str, body: type[Governed]) -> tuple[tuple[str, Counted], ...]:
    """What is counted of the fields that a dialect reads."""
    if endpoint not in COUNTED:
        raise ValueError(f"the endpoint `{endpoint}` has no prompt")
    return tuple((name, counted) for name, counted in COUNTED[endpoint].items() if name in body.__struct_fields__)


def _is_endless(value: Raw) -> bool:
    if memoryview(value).nbytes <= MOST:
        return False
    text = bytes(value)
    return text.count(b",") + text.count(b"{") > MOST


def _is_known(endpoint: str, model: str, encoding: Encoding, tally: Tally) -> bool:
    """Whether plain text has the tokens that the provider will report. With an operator's vocabulary the texts have,
    but servers put tokens of their own before them; prompts that are tokens already are what they are.
    """
    public = encoding.kind == "exact" and encoding == published_encoding(model)
    if endpoint == "chat.completions":
        return public and openai.framing(model).published
    return endpoint in ("completions", "embeddings") and (public or not tally.counted)
