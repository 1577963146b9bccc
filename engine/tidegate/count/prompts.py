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

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET, Raw, Struct

from tidegate.count import prompts_anthropic as anthropic
from tidegate.count import prompts_openai as openai
from tidegate.count import prompts_tools as tools
from tidegate.count._prompt import Fields
from tidegate.count.features import Features, features
from tidegate.count.framing import framing
from tidegate.count.registry import PUBLISHED, Kind, Registry, published_encoding
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


TEXTS: Final = frozenset(("completions", "embeddings"))  # endpoints whose prompts are texts, with nothing between them

Counted = Callable[[Tally, Any], None]  # the field is a Raw, or what its dialect has decoded

_MESSAGES: Final[dict[str, Counted]] = {
    "system": anthropic.system,
    "messages": anthropic.messages,
    "tools": anthropic.tools,
    "tool_choice": anthropic.tool_choice,
}
_UNSET: Final = UNSET
# by Route.endpoint and field, in the order of counting; what a dialect does not read is not counted
COUNTED: Final[dict[str, dict[str, Counted]]] = {
    "chat.completions": {
        "messages": openai.messages,
        "tools": tools.tools,
        "functions": tools.functions,
        "tool_choice": tools.tool_choice,
        "function_call": tools.tool_choice,
        "response_format": tools.response_format,
    },
    "completions": {"prompt": openai.texts, "suffix": openai.text, "best_of": openai.best_of},
    "embeddings": {"input": openai.texts},
    "responses": {
        "instructions": openai.instructions,
        "input": openai.items,
        "tools": tools.tools,
        "tool_choice": tools.tool_choice,
        "text": tools.response_format,
        "prompt": openai.template,
        "previous_response_id": openai.kept,
        "conversation": openai.kept,
    },
    "messages": _MESSAGES,
    "messages.count_tokens": _MESSAGES,
}

# the same by what a body decodes to, as it is needed
_READ: Final[dict[str, dict[type[Governed], Fields]]] = {endpoint: {} for endpoint in COUNTED}


class Scheme:
    """How prompts to one model are counted."""

    def __init__(self, model: str, registry: Registry) -> None:
        encoding = registry.encoding(model)
        self.model = model
        self.vocabulary = registry.vocabulary(encoding)
        self.kind: Kind = encoding.kind  # of what is counted in that vocabulary
        self.public = encoding.kind == "exact" and encoding == published_encoding(model)
        self.framing = framing(model)
        self.framed = self.public and self.framing.published
        self.tool_prompt = anthropic.tool_prompt(model)

    def counts_as(self, other: "Scheme") -> bool:
        """Whether a prompt without images has as many tokens for the other's model."""
        return (
            self.vocabulary is other.vocabulary
            and self.framing is other.framing
            and self.tool_prompt == other.tool_prompt
        )

    def kind_of(self, endpoint: str, tally: Tally) -> Kind:
        """How the count of a prompt is known. Plain text has the tokens that the provider will report, where both the
        vocabulary and the framing are public. With an operator's vocabulary the texts have, but servers put tokens of
        their own before them; prompts that are tokens already are what they are.
        """
        if endpoint == "chat.completions":
            known = self.framed
        else:
            known = endpoint in TEXTS and (self.public or not tally.counted)
        return "exact" if known and tally.plain else "estimated"


def tallied(endpoint: str, fields: Governed, scheme: Scheme) -> Tally:
    """What a call's prompt has, by its Route.endpoint. Never fails over what the caller wrote: what cannot be read is
    counted as it is written. Raises ValueError for an endpoint that has no prompt.
    """
    of_endpoint = _READ.get(endpoint)
    if of_endpoint is None:
        raise ValueError(f"the endpoint `{endpoint}` has no prompt")
    read = of_endpoint.get(type(fields))
    if read is None:
        read = of_endpoint[type(fields)] = _read(endpoint, type(fields))
    tally = Tally.__new__(Tally, scheme.model, scheme.vocabulary)
    tally.around = scheme.framing
    for at in range(read.count):
        value = read.of(fields, at)
        if value is None or value is _UNSET:
            continue
        if type(value) is Raw and _is_endless(value):
            tally.as_written(value)
        else:
            read.by[at](tally, value)
    return tally


def count_prompt(endpoint: str, fields: Governed, registry: Registry = PUBLISHED) -> PromptCount:
    """The tokens of a call's prompt for the model that it names; otherwise as `tallied`."""
    scheme = Scheme(fields.model, registry)
    tally = tallied(endpoint, fields, scheme)
    return counted(tally, scheme.kind_of(endpoint, tally))


def counted(tally: Tally, kind: Kind) -> PromptCount:
    """The count that a tally came to."""
    return PromptCount(
        tokens=tally.tokens,
        kind=kind,
        features=features("prompt", tally.counted, tally.characters, tally.size, tally.foreign),
        media=tally.media,
        messages=tally.messages,
        tools=tally.tools,
        images=tally.images,
        others=tally.others,
    )


def _read(endpoint: str, body: type[Governed]) -> Fields:
    """What is counted of the fields that a dialect reads."""
    return Fields(body, {name: by for name, by in COUNTED[endpoint].items() if name in body.__struct_fields__})


def _is_endless(value: Raw) -> bool:
    size, most = len(value), MOST
    if size <= most:
        return False
    text = bytes(value)
    return text.count(b",") + text.count(b"{") > most
