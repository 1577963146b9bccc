"""Where a model's text stands in what providers send: paths by endpoint, and the full parse that follows them.

The meter's walker follows the same paths through most events of a stream; what it does not decide comes here, and so do
whole answers. An endpoint that is to be metered is a table here and nothing else.

Text is what the model wrote: content, refusals, reasoning, the names and arguments of the tools it calls. It is counted
where it is new: `*.done` events and the last ones of the Responses API repeat everything, and are passed over. So are
signatures, audio, and `obfuscation`, which is noise.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct, field


class Leaf(Enum):
    """What stands at the end of a path, if it is no text."""

    CHOICE = 1  # which choice, part and part of a part a text belongs to, for all texts of the object and below
    PART = 2
    SUBPART = 3
    REASON = 4  # why a choice ended
    TYPE = 5  # what kind of event it is
    USAGE = 6  # usage for those who asked for it, and null or missing for others
    REPORT = 7  # usage that is there unasked
    ERROR = 8
    NOISE = 9  # what is another in every event and says nothing


class Text(Enum):
    """The kinds of text; each of a choice and part is counted by itself."""

    DELTA = 1  # the kind that the type of its event says
    CONTENT = 2
    REFUSAL = 3
    REASONING = 4
    SUMMARY = 5
    NAME = 6
    ARGUMENTS = 7
    FUNCTION_NAME = 8
    FUNCTION_ARGUMENTS = 9
    CODE = 10
    OBJECT = 11  # arguments that are no string but an object; only whole answers have them


NAMES: Final = frozenset((Text.NAME, Text.FUNCTION_NAME))  # of tools: no text for who looks for words in it

# of fields to a leaf, an object, a list of objects, or a text that may be such a list
Paths: TypeAlias = dict[str, "Leaf | Text | Paths | list[Paths] | tuple[Text, list[Paths]]"]


class Type(Struct, frozen=True):
    """A type of event: the text that counts in it, and what it means for the stream."""

    text: Text | None = None
    ends: bool = False
    fails: bool = False
    begins: bool = False  # what an ending of ours has to repeat stands in it
    closes: bool = False  # the part that it names is whole
    keeps: bool = False  # the same, of what the stream has put out so far


class Shape(Struct, frozen=True):
    """The events of an endpoint. Where they are `typed` only the text that the type names counts."""

    paths: Paths
    types: Mapping[str, Type] = field(default_factory=dict)
    typed: bool = False


PIECE: Final[Paths] = {"text": Text.CONTENT, "thinking": (Text.REASONING, [{"text": Text.REASONING}])}
MESSAGE: Final[Paths] = {
    "content": (Text.CONTENT, [PIECE]),  # in pieces where a server tells thoughts apart in it, as Mistral's do
    "refusal": Text.REFUSAL,
    "reasoning": Text.REASONING,
    "reasoning_content": Text.REASONING,  # the same from other servers; of those that send both, one counts
    "tool_calls": [
        {
            "index": Leaf.PART,
            "function": {"name": Text.NAME, "arguments": Text.ARGUMENTS},
            "custom": {"name": Text.NAME, "input": Text.ARGUMENTS},
        }
    ],
    "function_call": {"name": Text.FUNCTION_NAME, "arguments": Text.FUNCTION_ARGUMENTS},
}
ENDING: Final[Paths] = {
    "usage": Leaf.USAGE,
    "x_groq": {"usage": Leaf.REPORT},
    "error": Leaf.ERROR,
    "obfuscation": Leaf.NOISE,
}

STREAMS: Final[Mapping[str, Shape]] = {
    "chat.completions": Shape(
        {"choices": [{"index": Leaf.CHOICE, "delta": MESSAGE, "finish_reason": Leaf.REASON}], **ENDING}
    ),
    "completions": Shape(
        {"choices": [{"index": Leaf.CHOICE, "text": Text.CONTENT, "finish_reason": Leaf.REASON}], **ENDING}
    ),
    "responses": Shape(
        {
            "type": Leaf.TYPE,
            "delta": Text.DELTA,
            "output_index": Leaf.PART,
            "content_index": Leaf.SUBPART,
            "summary_index": Leaf.SUBPART,
            "item": {"name": Text.NAME},
            "response": {"status": Leaf.REASON, "usage": Leaf.REPORT},
            "error": Leaf.ERROR,
            "sequence_number": Leaf.NOISE,
            "obfuscation": Leaf.NOISE,
        },
        {
            "response.output_text.delta": Type(Text.CONTENT),
            "response.refusal.delta": Type(Text.REFUSAL),
            "response.reasoning_text.delta": Type(Text.REASONING),
            "response.reasoning_summary_text.delta": Type(Text.SUMMARY),
            "response.function_call_arguments.delta": Type(Text.ARGUMENTS),
            "response.custom_tool_call_input.delta": Type(Text.ARGUMENTS),
            "response.mcp_call_arguments.delta": Type(Text.ARGUMENTS),
            "response.code_interpreter_call_code.delta": Type(Text.CODE),
            "response.output_item.added": Type(Text.NAME, keeps=True),
            "response.content_part.added": Type(keeps=True),
            "response.content_part.done": Type(keeps=True),
            "response.created": Type(begins=True),
            "response.output_item.done": Type(closes=True, keeps=True),
            "response.completed": Type(ends=True),
            "response.incomplete": Type(ends=True),
            "response.failed": Type(ends=True),
            "error": Type(fails=True),
        },
        typed=True,
    ),
    "messages": Shape(
        {
            "type": Leaf.TYPE,
            "index": Leaf.PART,
            "delta": {
                "text": Text.CONTENT,
                "thinking": Text.REASONING,
                "partial_json": Text.ARGUMENTS,
                "stop_reason": Leaf.REASON,
            },
            "content_block": {"text": Text.CONTENT, "thinking": Text.REASONING, "name": Text.NAME},
            "message": {"usage": Leaf.REPORT},
            "usage": Leaf.REPORT,
            "error": Leaf.ERROR,
        },
        {"content_block_stop": Type(closes=True), "message_stop": Type(ends=True), "error": Type(fails=True)},
    ),
    # these do not stream, or not text; a stream of theirs is framed all the same
    "embeddings": Shape(ENDING),
    "messages.count_tokens": Shape({}),
    "models": Shape({}),
}

ITEM: Final[Paths] = {
    "content": [{"text": Text.CONTENT, "refusal": Text.REFUSAL}],
    "summary": [{"text": Text.SUMMARY}],
    "name": Text.NAME,
    "arguments": Text.ARGUMENTS,
    "input": Text.ARGUMENTS,
    "code": Text.CODE,
}
BLOCK: Final[Paths] = {
    "text": Text.CONTENT,
    "thinking": Text.REASONING,
    "name": Text.NAME,
    "input": Text.OBJECT,
}

# whole answers
ANSWERS: Final[Mapping[str, Paths]] = {
    "chat.completions": {"choices": [{"message": MESSAGE}]},
    "completions": {"choices": [{"text": Text.CONTENT}]},
    "responses": {"output": [ITEM]},
    "messages": {"content": [BLOCK]},
    "embeddings": {},
    "messages.count_tokens": {},
    "models": {},
}

MOST_NUMBER: Final = 65535  # of a choice or part
LONGEST_MEMBER: Final = 128  # bytes, of an opening's; ids, names of models and numbers are shorter
LONGEST_OPENING: Final = 1024  # bytes; those of OpenAI have 600
NUMBERS: Final[Mapping[Leaf, str]] = {Leaf.CHOICE: "choice", Leaf.PART: "part", Leaf.SUBPART: "subpart"}


class Found(Struct):
    """A text or a reason, and which one it is."""

    leaf: Leaf | Text
    text: str
    choice: int = 0
    part: int = 0
    subpart: int = 0


class Said(Struct):
    """What a document says."""

    found: list[Found] = field(default_factory=list)
    choices: int = 0  # one more than the highest choice
    type: str | None = None
    part: int | None = None  # that the whole document is of
    reported: bool = False  # there is usage
    asked: bool = False  # of the kind that was asked for
    fails: bool = False


def parsed(data: bytes) -> Any:
    """What a client may read in a document, so long as any parser does; None where it reads nothing."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # lone surrogates, for instance, or bytes that are not UTF-8
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def opening(data: bytes) -> bytes | None:
    """The response of an event that opens one, without its long members (it repeats instructions and tools); None where
    there is none, or where too much would be left to keep for as long as a stream lasts.
    """
    try:
        members = msgspec.json.decode(data, type=_Opening).response
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    kept = msgspec.json.encode({name: value for name, value in members.items() if len(bytes(value)) <= LONGEST_MEMBER})
    return kept if len(kept) <= LONGEST_OPENING else None


class _Opening(Struct):
    response: dict[str, msgspec.Raw]


def said(paths: Paths, document: Any) -> Said | None:
    """What a parsed document says; None if it is no object."""
    if not isinstance(document, dict):
        return None
    result = Said()
    result.found.extend(_found(paths, document, None, result))
    result.part = next((_whole(document.get(name)) for name, leaf in paths.items() if leaf is Leaf.PART), None)
    return result


def counted(shape: Shape, event: Said) -> Iterator[tuple[Found, Text]]:
    """The texts of an event that count, and their kinds."""
    admitted = shape.types.get(event.type or "", Type()).text
    for each in event.found:
        if isinstance(each.leaf, Text):
            kind = admitted if each.leaf is Text.DELTA and admitted is not Text.NAME else each.leaf
            if kind is not None and (kind is admitted or not shape.typed):
                yield each, kind


def reasons(shape: Shape, event: Said) -> Iterator[Found]:
    """Why choices have ended."""
    if not shape.typed or shape.types.get(event.type or "", Type()).ends:
        yield from (each for each in event.found if each.leaf is Leaf.REASON)


def _found(paths: Paths, fields: dict[str, Any], position: int | None, into: Said) -> Iterable[Found]:
    """The texts and reasons in an object; a list has it at the position."""
    found: list[Found] = []
    numbers: dict[str, int] = {}
    kinds: set[Leaf | Text] = set()
    for name, leaf in paths.items():
        value = fields.get(name)
        if isinstance(leaf, tuple):
            leaf = leaf[isinstance(value, list)]
        if isinstance(leaf, Leaf) and leaf in NUMBERS:
            _number(numbers, NUMBERS[leaf], value, position)
        elif isinstance(leaf, dict):
            if isinstance(value, dict):
                found += _found(leaf, value, None, into)
        elif isinstance(leaf, list):
            for at, each in enumerate(value if isinstance(value, list) else ()):
                if isinstance(each, dict):
                    found += _found(leaf[0], each, min(at, MOST_NUMBER), into)
        elif leaf is Text.OBJECT:
            if isinstance(value, dict) and value:
                found.append(Found(leaf, json.dumps(value, ensure_ascii=False)))
        elif isinstance(leaf, Text) or leaf is Leaf.REASON:
            if isinstance(value, str) and value and leaf not in kinds:
                found.append(Found(leaf, value))
                kinds.add(leaf)
        else:
            _note(into, leaf, value)
    if "choice" in numbers:
        into.choices = max(into.choices, numbers["choice"] + 1)
    for each in found:
        for name, number in numbers.items():
            setattr(each, name, number)
    return found


def _number(numbers: dict[str, int], name: str, value: Any, position: int | None) -> None:
    number = _whole(value)
    if number is None:
        number = position
    if number is not None:
        numbers[name] = number


def _whole(value: Any) -> int | None:
    """A number of a choice or part."""
    valid = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_NUMBER
    return value if valid else None


def _note(into: Said, leaf: Any, value: Any) -> None:
    """What the document says beside texts."""
    if leaf is Leaf.TYPE:
        into.type = value if isinstance(value, str) else None
    elif leaf is Leaf.ERROR:
        into.fails |= bool(value)
    elif isinstance(value, dict) and leaf is not Leaf.NOISE:
        into.reported = True
        into.asked |= leaf is Leaf.USAGE
