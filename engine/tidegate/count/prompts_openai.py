"""What a prompt of OpenAI's dialect has: texts, messages, and what happened between them.

The formulas are those of OpenAI's cookbook, found by comparing with what was billed: a message is its role, its texts
and 3 tokens more, a name is one more; 3 tokens open the answer. A call in the history, of which nothing is published,
is 3, its name and its arguments; the ids of calls reach no model. prompts_tools.py has the tools.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from tidegate.count._prompt import Form
from tidegate.count.tally import Tally
from tidegate.wire.openai import Audio, Called, File, Image, Part, Spoken, Summary, ToolCall

PRIMER: Final = 3
CALL: Final = 3


class Message(Struct, frozen=True):
    role: str | None = None
    content: str | list[Raw] | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Called | None = None
    audio: Spoken | None = None


class Item(Struct, frozen=True):
    """An item of a response's input."""

    type: str | None = None
    role: str | None = None
    content: str | list[Raw] | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    output: str | list[Raw] | Image | None = None
    result: str | None = None
    summary: list[Summary] | None = None
    encrypted_content: str | None = None


SAID: Final = ("text", "input_text", "output_text", "summary_text", "reasoning_text")  # types of parts that are texts
RESULTS: Final = ("tool", "function")  # roles

_CHAT: Final = Form(Message.__struct_fields__, Part.__struct_fields__, SAID, roles=RESULTS, named=True)
_ITEMS: Final = Form(Item.__struct_fields__, Part.__struct_fields__, SAID, sorts=("message",))
_LIST: Final = msgspec.json.Decoder(list[Raw])
_TEXTS: Final = msgspec.json.Decoder(str | list[str | int | list[int]])
_INPUT: Final = msgspec.json.Decoder(str | list[Raw])
_MESSAGE: Final = msgspec.json.Decoder(Message)
_PART: Final = msgspec.json.Decoder(Part)
_ITEM: Final = msgspec.json.Decoder(Item)


def texts(tally: Tally, prompt: Raw) -> None:
    """A prompt of completions or an input of embeddings: texts, or tokens, which are their own count."""
    said = tally.read(prompt, _TEXTS)
    if said is None:
        return
    numbers = isinstance(said, str) or all(isinstance(each, int) for each in said)
    tally.prompts = 1 if numbers else len(said)
    for each in [said] if isinstance(said, str) else said:
        if isinstance(each, str):
            tally.text(each)
        else:
            tally.framing += 1 if isinstance(each, int) else len(each)


def most_prompts(prompt: Raw) -> int:
    """The most prompts that stand in one of completions which nobody has read."""
    text = bytes(prompt)
    return 1 if text[:1] == b'"' else max(text.count(b'"') // 2 + text.count(b"[") - 1, 1)


def best_of(tally: Tally, given: int) -> None:
    """How many answers of completions are made, of which the caller gets the best `n`."""
    tally.best = given


def text(tally: Tally, given: str) -> None:
    """A text by itself."""
    tally.text(given)


def messages(tally: Tally, given: Raw) -> None:
    """The messages of chat completions."""
    tally.framing += PRIMER
    odd = tally.odd(given, _CHAT, tally.around.message, tally.around.name)
    if odd is None:
        odd = tally.read(given, _LIST) or []
    for each in odd:
        _message(tally, each)


def _message(tally: Tally, json: Raw) -> None:
    tally.messages += 1
    tally.framing += tally.around.message
    message = tally.read(json, _MESSAGE)
    if message is None:
        return
    tally.text(message.role)
    _content(tally, message.content)
    if message.name is not None:
        tally.framing += tally.around.name
        tally.text(message.name)
    if message.role in RESULTS:
        tally.plain = False
    if message.refusal:
        tally.plain = False
        tally.text(message.refusal)
    if message.reasoning_content:
        tally.remembered(message.reasoning_content)
    for call in message.tool_calls or ():
        _called(tally, call.function or call.custom)
    if message.function_call is not None:
        _called(tally, message.function_call)
    if message.audio is not None:
        tally.audio(None)


def _called(tally: Tally, called: Called | None) -> None:
    tally.plain = False
    tally.framing += CALL
    if called is not None:
        tally.text(called.name)
        tally.text(called.arguments)
        tally.text(called.input)


def _content(tally: Tally, content: str | list[Raw] | None) -> None:
    if isinstance(content, str):
        tally.text(content)
    else:
        for each in content or ():
            _part(tally, each)


def _part(tally: Tally, json: Raw) -> None:
    part = tally.read(json, _PART)
    if part is None:
        return
    match part.type:
        case kind if kind in SAID:
            tally.text(part.text)
        case "refusal":
            tally.plain = False
            tally.text(part.refusal)
        case "image_url" | "input_image":
            image = part.image_url if isinstance(part.image_url, Image) else Image(part.image_url, part.detail)
            tally.image(image.url, image.detail)
        case "input_audio":
            audio = part.input_audio or Audio()
            tally.audio(audio.data, audio.format)
        case "file" | "input_file":
            file = part.file or File(part.file_data, part.filename)
            tally.text(file.filename)
            tally.file(file.file_data)
        case _:
            tally.unknown(json)


def instructions(tally: Tally, instructions: str) -> None:
    """The instructions of responses: a message before the others."""
    tally.messages += 1
    tally.framing += tally.around.message
    tally.text("system")
    tally.text(instructions)


def items(tally: Tally, given: Raw) -> None:
    """The input of responses: a text, or messages and what happened between them."""
    tally.framing += PRIMER
    odd = tally.odd(given, _ITEMS, tally.around.message, tally.around.name)
    if odd is not None:
        for each in odd:
            _item(tally, each)
        return
    said = tally.read(given, _INPUT)
    if isinstance(said, str):
        tally.messages += 1
        tally.framing += tally.around.message
        tally.text("user")
        tally.text(said)
        return
    for each in said or ():
        _item(tally, each)


def _item(tally: Tally, json: Raw) -> None:
    item = tally.read(json, _ITEM)
    if item is None:
        return
    match item.type:
        case None | "message":
            tally.messages += 1
            tally.framing += tally.around.message
            tally.text(item.role)
            _content(tally, item.content)
        case "function_call" | "custom_tool_call":
            _called(tally, Called(item.name, item.arguments, item.input))
        case "function_call_output" | "custom_tool_call_output":
            tally.plain = False
            tally.messages += 1
            tally.framing += tally.around.message
            _content(tally, None if isinstance(item.output, Image) else item.output)
        case "computer_call_output" if isinstance(item.output, Image):
            tally.image(item.output.image_url)
        case "image_generation_call":
            tally.image(item.result)
        case "reasoning":
            for summary in item.summary or ():
                tally.text(summary.text)
            _content(tally, item.content)
            tally.opaque(item.encrypted_content)
        case _:
            tally.unknown(json)


def template(tally: Tally, prompt: Raw) -> None:
    """A prompt that only the provider has, and what is put into it, as it is written."""
    if bytes(prompt) != b"null":
        kept(tally, prompt)
        tally.as_written(prompt)


def kept(tally: Tally, reference: object) -> None:
    """An earlier part of the conversation that only the provider has: it is not in the count."""
    if reference is not None:
        tally.plain = False
        tally.others += 1
