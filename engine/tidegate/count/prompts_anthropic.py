"""What a prompt of Anthropic's dialect has: system, messages, tools.

Anthropic publishes no vocabulary and no framing, only what tools add and how images count. A message is taken for its
role, its texts and 3 tokens more, and 3 open the answer, which together is what a message of one word is billed. With
tools a prompt of Anthropic's own comes in, of a length that its documents state; the tools stand in it as JSON.
"""

import re
from functools import lru_cache
from types import NoneType
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tidegate.count._prompt import Form
from tidegate.count.tally import Tally
from tidegate.wire.anthropic import Choice, Tool

PRIMER: Final = 3
MESSAGE: Final = 3
CALL: Final = 3

# tokens of the provider's own prompt: where the model may use a tool, and where it must
_TOOL_PROMPTS: Final = (
    (re.compile(r"claude-3-opus"), (530, 281)),
    (re.compile(r"claude-3-sonnet"), (159, 235)),
    (re.compile(r"claude-3(?:-5)?-haiku"), (264, 340)),
    (re.compile(r""), (346, 313)),
)
# tokens of the tools that Anthropic has itself, by the beginning of their type
_OWN_TOOLS: Final = {"bash_": 245, "text_editor_": 700, "computer_": 735}


class Source(Struct, frozen=True):
    """Where an image or a document is."""

    type: str | None = None
    data: str | None = None
    content: str | list[Raw] | None = None


class Block(Struct, frozen=True):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    data: str | None = None
    name: str | None = None
    input: Raw | UnsetType = UNSET
    content: str | list[Raw] | None = None
    source: Source | str | None = None
    title: str | None = None
    context: str | None = None


class Message(Struct, frozen=True):
    role: str | None = None
    content: str | list[Raw] | None = None


_PLAIN: Final = Form(Message.__struct_fields__, Block.__struct_fields__, ("text",))
_LIST: Final = msgspec.json.Decoder(list[Raw])
_SYSTEM: Final = msgspec.json.Decoder(str | list[Raw])
_MESSAGE: Final = msgspec.json.Decoder(Message)
_BLOCK: Final = msgspec.json.Decoder(Block)
_TOOL: Final = msgspec.json.Decoder(Tool)
_CHOICE: Final = msgspec.json.Decoder(Choice | NoneType)


def system(tally: Tally, given: Raw) -> None:
    """What stands before the messages."""
    tally.framing += MESSAGE
    _content(tally, tally.read(given, _SYSTEM))


def messages(tally: Tally, given: Raw) -> None:
    tally.framing += PRIMER
    odd = tally.odd(given, _PLAIN, MESSAGE, 0)
    if odd is None:
        odd = tally.read(given, _LIST) or []
    for each in odd:
        tally.messages += 1
        tally.framing += MESSAGE
        message = tally.read(each, _MESSAGE)
        if message is not None:
            tally.text(message.role)
            _content(tally, message.content)


def _content(tally: Tally, content: str | list[Raw] | None, within: bool = False) -> None:
    if isinstance(content, str):
        tally.text(content)
    else:
        for each in content or ():
            _block(tally, each, within)


def _block(tally: Tally, json: Raw, within: bool) -> None:
    """One block; `within` another, where those that hold blocks do not occur and are not looked into."""
    block = tally.read(json, _BLOCK)
    if block is None:
        return
    match block.type:
        case "text":
            tally.text(block.text)
        case "thinking":
            tally.remembered(block.thinking)
        case "redacted_thinking":
            tally.opaque(block.data)
        case "image":
            source = block.source if isinstance(block.source, Source) else Source()
            tally.image(source.data if source.type == "base64" else None)
        case "tool_use" | "server_tool_use":
            tally.plain = False
            tally.framing += CALL
            tally.text(block.name)
            if block.input is not UNSET:
                tally.as_written(block.input)
        case "tool_result" if not within:
            tally.plain = False
            tally.framing += CALL
            _content(tally, block.content, within=True)
        case "document" if not within and isinstance(block.source, Source):
            _document(tally, block, block.source)
        case "search_result" if not within and isinstance(block.source, str):
            tally.plain = False
            tally.text(block.source)
            tally.text(block.title)
            _content(tally, block.content, within=True)
        case _:
            tally.unknown(json)


def _document(tally: Tally, block: Block, source: Source) -> None:
    tally.plain = False
    tally.text(block.title)
    tally.text(block.context)
    match source.type:
        case "text":
            tally.text(source.data)
        case "content":
            _content(tally, source.content, within=True)
        case "base64":
            tally.file(source.data)
        case _:
            tally.file(None)


def tools(tally: Tally, tools: Raw) -> None:
    """The tools on offer, and the provider's own prompt for them as it is where the model may choose."""
    offered = tally.read(tools, _LIST)
    if not offered:
        return
    tally.plain = False
    tally.framing += tool_prompt(tally.model)[0]
    for each in offered:
        tally.tools += 1
        tool = tally.read(each, _TOOL)
        if tool is None:
            continue
        if tool.type is None or tool.type == "custom":
            tally.framing += CALL
            tally.text(tool.name)
            tally.text(tool.description)
            if tool.input_schema is not UNSET:
                tally.as_written(tool.input_schema)
        else:
            tally.others += 1
            tally.framing += next((n for kind, n in _OWN_TOOLS.items() if (tool.type or "").startswith(kind)), 0)
            tally.as_written(each)


def tool_choice(tally: Tally, choice: Raw) -> None:
    """Which tool is to be used: where one must be, the provider's own prompt has another length. Comes after tools."""
    chosen = tally.read(choice, _CHOICE)
    if chosen is not None and tally.tools and chosen.type in ("any", "tool"):
        may, must = tool_prompt(tally.model)
        tally.framing += must - may
        tally.text(chosen.name)


@lru_cache(maxsize=1024)
def tool_prompt(model: str) -> tuple[int, int]:
    """How long the provider's own prompt is: where the model may use a tool, and where it must."""
    return next(lengths for names, lengths in _TOOL_PROMPTS if names.search(model))
