"""Prompts are counted by the published formulas; what has none is estimated, never refused and never free."""

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.count import reference
from tests.count.reference_prompts import MODELS
from tidegate.accept.routes import BY_PATH
from tidegate.count import prompts, prompts_anthropic, prompts_openai
from tidegate.count.features import Features
from tidegate.count.prompts import COUNTED, LONG, PromptCount, count_prompt
from tidegate.count.registry import PUBLISHED, UNKNOWN, Registry, Supplied
from tidegate.count.tally import Tally
from tidegate.wire import anthropic, openai
from tidegate.wire.dialect import Governed

UNTIMED = settings(deadline=None)  # the machine may be busy
ROUTES = {route.endpoint: route for route in BY_PATH.values()}
CHAT = "chat.completions"


def fields(endpoint: str, body: bytes) -> Governed:
    return msgspec.json.decode(body, type=ROUTES[endpoint].body)


def count(endpoint: str, **body: Any) -> PromptCount:
    body.setdefault("model", "gpt-4o")
    return count_prompt(endpoint, fields(endpoint, json.dumps(body).encode()))


def said(*content: Any, model: str = "gpt-4o") -> PromptCount:
    """A chat of one user's message with these parts, without what any such message has."""
    whole = count(CHAT, model=model, messages=[{"role": "user", "content": list(content)}])
    return msgspec.structs.replace(whole, tokens=whole.tokens - 3 - 3 - 1)


def tokens(text: str, encoding: str = "o200k_base") -> int:
    return len(reference.encoding(encoding).encode_ordinary(text))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


# what OpenAI's cookbook prints as billed for its two examples
JARGON = [
    {"role": "system", "content": "You are a helpful, pattern-following assistant that translates corporate jargon "
     "into plain English."},
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {"role": "system", "name": "example_assistant", "content": "Things working well together will increase revenue."},
    {"role": "system", "name": "example_user", "content": "Let's circle back when we have more bandwidth to touch base "
     "on opportunities for increased leverage."},
    {"role": "system", "name": "example_assistant", "content": "Let's talk later when we're less busy about how to do "
     "better."},
    {"role": "user", "content": "This late pivot means we don't have time to boil the ocean for the client "
     "deliverable."},
]  # fmt: skip
WEATHER = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ],
    "tools": [{"type": "function", "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {"type": "object", "required": ["location"], "properties": {
            "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
            "unit": {"type": "string", "description": "The unit of temperature to return",
                     "enum": ["celsius", "fahrenheit"]},
        }},
    }}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "jargon", "weather"),
    [("gpt-3.5-turbo-0125", 129, 105), ("gpt-4-0613", 129, 105), ("gpt-4o-2024-08-06", 124, 101),
     ("gpt-4o-mini-2024-07-18", 124, 101)],
)  # fmt: skip
def test_the_cookbook_s_examples_are_what_was_billed(model: str, jargon: int, weather: int) -> None:
    assert count(CHAT, model=model, messages=JARGON).tokens == jargon
    assert count(CHAT, model=model, messages=JARGON).kind == "exact"
    assert count(CHAT, model=model, **WEATHER).tokens == weather
    assert count(CHAT, model=model, **WEATHER).kind == "estimated"


@pytest.mark.parametrize("model", MODELS)
def test_every_family_has_its_framing(model: str) -> None:
    chat = {"messages": [*JARGON, *WEATHER["messages"]], "tools": WEATHER["tools"], "tool_choice": "none"}
    assert count(CHAT, model=model, **chat).tokens == MODELS[model].chat(chat)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.text("abcdefgh_", min_size=1, max_size=12)
SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "object"])},
        optional={"description": TEXTS, "enum": st.lists(NAMES | st.integers(), max_size=3)},
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, max_size=3)},
        optional={"description": TEXTS},
    ),
    max_leaves=8,
)
CALLS = st.fixed_dictionaries({"id": NAMES, "function": st.fixed_dictionaries({"name": NAMES, "arguments": TEXTS})})
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"])},
    optional={
        "content": TEXTS | st.none() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS})),
        "name": NAMES,
        "tool_calls": st.lists(CALLS, max_size=2),
        "tool_call_id": NAMES,
    },
)
FUNCTIONS = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "description": TEXTS,
        "parameters": st.fixed_dictionaries({"properties": st.dictionaries(NAMES, SCHEMAS, max_size=3)}),
    },
)
CHOICES = st.sampled_from(["none", "auto", "required"]) | NAMES.map(
    lambda name: {"type": "function", "function": {"name": name}}
)
CHATS = st.fixed_dictionaries(
    {"model": st.sampled_from(sorted(MODELS)), "messages": st.lists(TURNS, max_size=4)},
    optional={
        "tools": st.lists(st.fixed_dictionaries({"type": st.just("function"), "function": FUNCTIONS}), max_size=3),
        "tool_choice": CHOICES,
    },
)


@UNTIMED
@given(CHATS)
def test_chats_with_tools_count_as_the_formulas_say(body: dict[str, Any]) -> None:
    assert count(CHAT, **body).tokens == MODELS[body["model"]].chat(body)


@UNTIMED
@given(st.lists(st.fixed_dictionaries({"role": NAMES, "content": TEXTS}), max_size=4), st.sampled_from(sorted(MODELS)))
def test_plain_messages_are_exact_where_somebody_compared_them_with_bills(turns: list[Any], model: str) -> None:
    found = count(CHAT, model=model, messages=turns)
    assert found.kind == ("estimated" if model in ("gpt-4.1", "o3", "claude-sonnet-4-5") else "exact")
    assert (found.messages, found.tools, found.images, found.others, found.media) == (len(turns), 0, 0, 0, 0)


@pytest.mark.parametrize("endpoint", sorted(name for name, route in ROUTES.items() if route.body is not None))
def test_every_governed_body_has_its_prompt_counted(endpoint: str) -> None:
    body = ROUTES[endpoint].body
    assert body is not None
    no_prompt = {"background", "max_completion_tokens", "max_output_tokens", "stream_options", "metadata"}
    held = set(body.__struct_fields__) - set(Governed.__struct_fields__) - no_prompt
    assert held <= set(COUNTED[endpoint]), "a field that nobody counts, or that is no part of the prompt"
    least = {"prompt": "word", "input": "word", "messages": [user("word")]}
    given_ = {name: least[name] for name in held & set(least)}
    assert count(endpoint, **given_).tokens >= 1


# what counting reads otherwise than the dialects check it: parts one by one, so that one that is odd hides no other
READ = [
    (openai.Message, prompts_openai.Message),
    (openai.Message, prompts_openai.Item),
    (anthropic.Message, prompts_anthropic.Message),
    (anthropic.Block, prompts_anthropic.Block),
    (anthropic.Source, prompts_anthropic.Source),
]


@pytest.mark.parametrize(("checked", "read"), READ)
def test_a_name_that_is_counted_has_one_meaning(checked: type[msgspec.Struct], read: type[msgspec.Struct]) -> None:
    assert set(read.__struct_fields__) <= set(checked.__struct_fields__)


def test_an_endpoint_without_a_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="the endpoint `models` has no prompt"):
        count_prompt("models", fields(CHAT, b'{"model":"a","messages":[]}'))


@pytest.mark.parametrize("endpoint", ["completions", "embeddings"])
def test_texts_and_tokens_are_what_they_are(endpoint: str) -> None:
    name = "prompt" if endpoint == "completions" else "input"

    def counted(given_: Any, model: str = "text-embedding-3-small") -> tuple[int, str]:
        found = count(endpoint, model=model, **{name: given_})
        return found.tokens, found.kind

    words = "über alles"
    assert counted(words) == (tokens(words, "cl100k_base"), "exact")
    assert counted([words, "b"]) == (tokens(words, "cl100k_base") + 1, "exact")
    assert counted([1, 2, 3]) == (3, "exact")
    assert counted([[1, 2, 3], [4]], "nobody-s-model") == (4, "exact")
    assert counted(words, "nobody-s-model") == (tokens(words), "estimated")
    assert counted({"unheard": "of"}) == (tokens('{"unheard": "of"}', "cl100k_base"), "estimated")


def test_parts_that_are_texts_are_plain() -> None:
    found = count(CHAT, messages=[user([{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}])])
    assert (found.tokens, found.kind) == (3 + 3 + 1 + 2, "exact")


PARTS: list[tuple[str, dict[str, Any], int]] = [
    ("a refusal", {"type": "refusal", "refusal": "No, thanks"}, tokens("No, thanks")),
    ("an image elsewhere is the largest", {"type": "image_url", "image_url": {"url": "https://a/b.png"}}, 1445),
    ("a small one is the base", {"type": "image_url", "image_url": {"url": "https://a/b", "detail": "low"}}, 85),
    ("an image as a string", {"type": "image_url", "image_url": "https://a/b.png"}, 1445),
    ("0.3 s of speech by its bytes", {"type": "input_audio", "input_audio": {"data": "A" * 1600, "format": "mp3"}}, 3),
    ("uncompressed speech", {"type": "input_audio", "input_audio": {"data": "A" * 1600, "format": "wav"}}, 2),
    ("two pages by their bytes", {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 40_000}},
     2 * 4500),
    ("a text file is a text",
     {"type": "file", "file": {"filename": "a", "file_data": "data:text/plain;base64,aGkgdGhlcmU="}},
     1 + tokens("hi there")),
    ("a file that only the provider has", {"type": "file", "file": {"file_id": "file-1"}}, 20 * 4500),
    ("a part that nobody knows is its JSON", {"type": "hologram"}, tokens('{"type": "hologram"}')),
    ("so is one of another form", {"type": "text", "text": 5}, tokens('{"type": "text", "text": 5}')),
]  # fmt: skip


@pytest.mark.parametrize(("note", "part", "expected"), PARTS, ids=[note for note, *_ in PARTS])
def test_what_is_no_text_is_estimated(note: str, part: dict[str, Any], expected: int) -> None:
    found = said(part)
    assert (found.tokens, found.kind) == (expected, "estimated")


def test_no_text_is_in_the_media_and_a_text_is_not() -> None:
    found = said({"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "https://a"}})
    assert (found.tokens, found.media, found.images) == (1 + 1445, 1445, 1)


def test_a_history_with_functions_reasoning_and_speech() -> None:
    called = {"role": "assistant", "function_call": {"name": "find", "arguments": "{}"}}
    assert count(CHAT, messages=[called]).tokens == 3 + 3 + 1 + 3 + tokens("find") + tokens("{}")
    thought = {"role": "assistant", "reasoning_content": "Let me see", "refusal": "No"}
    assert count(CHAT, messages=[thought]).tokens == 3 + 3 + 1 + tokens("Let me see") + tokens("No")
    spoke = {"role": "assistant", "audio": {"id": "audio_1"}}
    assert count(CHAT, messages=[spoke]).media == 6000
    custom = {"role": "assistant", "tool_calls": [{"type": "custom", "custom": {"name": "sql", "input": "select 1"}}]}
    assert count(CHAT, messages=[custom]).tokens == 3 + 3 + 1 + 3 + tokens("sql") + tokens("select 1")
    assert count(CHAT, messages=[thought]).others == 1, "whether it is read again is not known"
    for turn in (called, thought, spoke, custom, {"role": "tool", "content": "x", "tool_call_id": "1"}):
        assert count(CHAT, messages=[turn]).kind == "estimated"


def test_functions_are_tools_and_a_schema_for_the_answer_is_as_it_is_written() -> None:
    functions = [tool["function"] for tool in WEATHER["tools"]]
    older = count(
        CHAT, messages=WEATHER["messages"], functions=functions, function_call={"name": "get_current_weather"}
    )
    assert older.tokens == 101 + 7 + tokens("get_current_weather")
    schema = {"name": "answer", "schema": {"type": "object"}}
    plain = count(CHAT, messages=[user("hi")])
    asked = {"type": "json_schema", "json_schema": schema}
    shaped = count(CHAT, messages=[user("hi")], response_format=asked)
    assert (shaped.tokens, shaped.kind) == (plain.tokens + tokens(json.dumps(schema)), "estimated")
    assert count(CHAT, messages=[user("hi")], response_format={"type": "json_object"}) == plain


def test_whatever_a_schema_may_hold_is_counted() -> None:
    def schema(parameters: Any) -> int:
        tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
        return count(CHAT, messages=[], tools=[tool]).tokens - 3 - 12 - 7 - tokens("f:")

    assert schema({}) == 0
    assert schema({"properties": {"a": {"type": ["string", "null"]}}}) == 3 + 3 + tokens("a:string|null:")
    inner = {"type": "string", "description": "A street."}
    street = tokens("string:A street")
    assert schema({"items": inner}) == street
    assert schema({"additionalProperties": inner, "anyOf": [inner], "oneOf": [inner], "allOf": [inner]}) == 4 * street
    assert schema({"$defs": {"a": {"items": inner}}, "definitions": {"b": {"items": inner}}}) == 2 * street
    assert schema({"properties": {"a": {"default": {"b": 1}}}}) == 6 + tokens("a::") + tokens('{"b": 1}')
    assert schema({"items": True, "additionalProperties": False}) == 0
    assert schema({"properties": {"a": True}}) == tokens('{"properties": {"a": true}}'), "of another form"


def test_tools_of_the_provider_s_own_are_their_json() -> None:
    search = {"type": "web_search", "search_context_size": "low"}
    found = count("responses", input="hi", tools=[search])
    assert found.tokens == 3 + 3 + 1 + 1 + 12 + tokens(json.dumps(search))
    assert (found.tools, found.others) == (1, 1)


def test_the_items_of_responses() -> None:
    def items(*items: Any) -> int:
        return count("responses", input=list(items)).tokens - 3

    assert count("responses", input="hi").tokens == 3 + 3 + 1 + 1
    assert count("responses", instructions="Be brief", input="hi").tokens == 8 + 3 + 1 + tokens("Be brief")
    assert items({"role": "user", "content": [{"type": "input_text", "text": "hi"}]}) == 3 + 1 + 1
    assert items({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}) == 5
    assert items({"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}) == 3 + 1 + 1
    assert items({"type": "custom_tool_call", "name": "f", "input": "hi"}) == 3 + 1 + 1
    assert items({"type": "function_call_output", "call_id": "1", "output": "hi"}) == 3 + 1
    assert items({"type": "function_call_output", "output": [{"type": "input_text", "text": "hi"}]}) == 3 + 1
    assert items({"type": "reasoning", "summary": [{"text": "hi"}], "encrypted_content": "A" * 40}) == 1 + 10
    assert items({"type": "image", "image_url": "?"}) == tokens('{"type": "image", "image_url": "?"}')
    assert (
        items({"role": "user", "content": [{"type": "input_image", "image_url": "https://a", "detail": "low"}]})
        == 4 + 85
    )
    screen = {"type": "computer_screenshot", "image_url": "https://a"}
    assert items({"type": "computer_call_output", "call_id": "1", "output": screen}) == 1445
    assert items({"type": "image_generation_call", "id": "1", "result": "A" * 4000}) == 1445
    file = {"type": "input_file", "filename": "a", "file_data": "A" * 10}
    assert items({"role": "user", "content": [file]}) == 4 + 1 + 4500
    shape = {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}}
    assert count("responses", input="hi", text=shape).tokens == 8 + tokens('{"type": "object"}')
    assert count("responses", input="hi", previous_response_id="resp_1").others == 1, "what is kept cannot be counted"
    put_in = {"id": "pmpt_1", "variables": {"place": "the harbour of a small town by the sea"}}
    assert count("responses", input="hi", prompt=put_in).others == 1, "nor is a prompt that is kept"
    assert count("responses", input="hi", prompt=put_in).tokens > count("responses", input="hi").tokens + 9
    assert count("responses", input="hi", prompt=None) == count("responses", input="hi")
    assert count("responses", input="hi").kind == "estimated", "nobody published how responses are framed"


CLAUDE = "claude-sonnet-4-5"


def claude(*content: Any, model: str = CLAUDE, **more: Any) -> PromptCount:
    """A message of these blocks, without what any such message has."""
    whole = count("messages", model=model, messages=[user(list(content))], **more)
    return msgspec.structs.replace(whole, tokens=whole.tokens - 3 - 3 - 1)


def test_a_short_message_to_claude_is_what_it_is_billed() -> None:
    assert count("messages", model=CLAUDE, messages=[user("hi")]).tokens == 8
    assert count("messages.count_tokens", model=CLAUDE, messages=[user("hi")]).tokens == 8


HI = {"type": "text", "text": "hi"}
NOBODY_S = {"type": "hologram"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://a"}}
BLOCKS: list[tuple[str, dict[str, Any], int]] = [
    ("a text", HI | {"cache_control": {"type": "ephemeral"}}, 1),
    ("thinking", {"type": "thinking", "thinking": "hi", "signature": "A" * 100}, 1),
    ("hidden thinking", {"type": "redacted_thinking", "data": "A" * 41}, 11),
    ("a call", {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}, 3 + 1 + tokens('{"a": 1}')),
    ("a result", {"type": "tool_result", "tool_use_id": "toolu_1", "content": "hi"}, 3 + 1),
    ("a result in blocks", {"type": "tool_result", "content": [HI]}, 3 + 1),
    ("a result without content", {"type": "tool_result", "tool_use_id": "toolu_1"}, 3),
    ("an image in a result", {"type": "tool_result", "content": [IMAGE]}, 3 + 1568),
    ("an image elsewhere", IMAGE, 1568),
    ("a text as a document", {"type": "document", "title": "hi", "source": {"type": "text", "data": "hi"}}, 2),
    ("blocks as a document", {"type": "document", "source": {"type": "content", "content": [HI]}}, 1),
    ("pages", {"type": "document", "source": {"type": "base64", "data": "A" * 40_000}}, 2 * 4500),
    ("pages elsewhere", {"type": "document", "source": {"type": "file", "file_id": "f"}}, 20 * 4500),
    ("what was found", {"type": "search_result", "source": "hi", "title": "hi", "content": [HI]}, 3),
    ("a block nobody knows", NOBODY_S, tokens(json.dumps(NOBODY_S))),
    ("one in a result", {"type": "tool_result", "content": [NOBODY_S]}, 3 + tokens(json.dumps(NOBODY_S))),
    ("a result in a result", {"type": "tool_result", "content": [{"type": "tool_result", "content": []}]},
     3 + tokens('{"type": "tool_result", "content": []}')),
]  # fmt: skip


@pytest.mark.parametrize(("note", "block", "expected"), BLOCKS, ids=[note for note, *_ in BLOCKS])
def test_claude_s_blocks(note: str, block: dict[str, Any], expected: int) -> None:
    found = claude(block)
    assert (found.tokens, found.kind) == (expected, "estimated")


def test_claude_s_earlier_thoughts_may_or_may_not_be_read() -> None:
    thought = {"type": "thinking", "thinking": "hi"}
    assert (claude(thought).others, claude(thought).media) == (1, 0)
    assert claude({"type": "redacted_thinking", "data": "A" * 40}).others == 1
    assert claude(HI).others == 0


def test_claude_s_system_and_tools() -> None:
    tool = {"name": "f", "description": "hi", "input_schema": {"type": "object"}}
    one = 3 + 1 + 1 + tokens('{"type": "object"}')
    assert claude(system="hi").tokens == 3 + 1
    assert claude(system=[{"type": "text", "text": "hi"}]).tokens == 3 + 1
    assert claude(tools=[tool]).tokens == 346 + one
    assert claude(tools=[tool], tool_choice={"type": "auto"}).tokens == 346 + one
    assert claude(tools=[tool], tool_choice={"type": "tool", "name": "f"}).tokens == 313 + one + 1
    assert claude(tools=[tool], tool_choice={"type": "any"}, model="claude-3-opus-20240229").tokens == 281 + one
    assert claude(tools=[]).tokens == 0
    bash = {"type": "bash_20250124", "name": "bash"}
    assert claude(tools=[bash]).tokens == 346 + 245 + tokens(json.dumps(bash))


@pytest.mark.parametrize(
    ("text", "bucket"),
    [("Plain English words make long tokens", 0), ("x=[1];y={2:3}", 1), ("Обычное предложение на русском", 2)],
)
def test_a_prompt_tells_what_kind_of_text_it_is(text: str, bucket: int) -> None:
    assert count("completions", prompt=text * 5).features == Features("prompt", bucket)
    assert count("completions", prompt=[text, text]).features == Features("prompt", bucket)


def test_an_operator_s_vocabulary_counts_but_servers_add_tokens_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "bytes.tiktoken"
    alphabet = [bytes([byte]) for byte in range(256)]
    path.write_bytes(b"\n".join(b64encode(token) + b" %d" % rank for rank, token in enumerate(alphabet)))
    registry = Registry([Supplied("bytes", path, "llama3", ("our-*",))])
    found = count_prompt("completions", fields("completions", b'{"model":"our-llama","prompt":"four"}'), registry)
    assert (found.tokens, found.kind) == (4, "estimated")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "text", "source", "function", "input"]) | NAMES, inner
        )
    ),
)


@UNTIMED
@given(ANYTHING, ANYTHING, st.sampled_from(sorted(COUNTED)))
def test_whatever_a_caller_writes_is_counted(one: Any, other: Any, endpoint: str) -> None:
    given_ = {"model": "gpt-4o", **dict.fromkeys(("messages", "prompt", "input"), one), "tools": other, "system": other}
    try:
        held = fields(endpoint, json.dumps(given_).encode())
    except msgspec.ValidationError:
        return
    found = count_prompt(endpoint, held)
    assert 0 <= found.tokens <= 200_000 * (1 + found.images + found.others) + len(json.dumps(given_))


def test_nobody_is_made_to_hold_a_million_of_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MOST", 1000)
    body = b'{"model":"gpt-4o","messages":[%s]}' % b",".join([b"{}"] * 2000)
    found = count_prompt(CHAT, fields(CHAT, body))
    assert (found.messages, found.kind) == (0, "estimated")
    assert found.tokens == tokens("[" + ",".join(["{}"] * 2000) + "]")
    words = json.dumps({"model": "gpt-4o", "messages": [user("word, " * 400)]})
    assert count_prompt(CHAT, fields(CHAT, words.encode())).messages == 1, "long, but of few"


def test_long_base64_in_what_nobody_knows_is_a_file_and_not_a_text() -> None:
    film = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + "A" * 40_000}}
    found = said(film)
    assert (found.media, found.others, found.images) == (2 * 4500, 1, 0)
    assert found.tokens - found.media == tokens(json.dumps(film).replace("A" * 40_000, ""))
    speech = {"type": "speech", "words": "word, " * 1000}
    assert said(speech).tokens == tokens(json.dumps(speech)), "a long text is none"
    short = {"type": "hologram", "data": "A" * 1000}
    assert said(short).tokens == tokens(json.dumps(short))
    several = json.dumps({"type": "film", "frames": ["QUFB" * 1000] * 9, "end": "x"})
    tally = Tally("gpt-4o", PUBLISHED.vocabulary(UNKNOWN))
    tally.unknown(msgspec.Raw(several.encode()))
    assert (tally.media, tally.size) == (9 * 4500, len(several.replace("QUFB" * 1000, "")))


def test_a_thousand_parts_that_nobody_can_read_are_enough() -> None:
    def counted(strange: int) -> int:
        content = [5] * strange + [{"type": "text", "text": "hi"}]
        return said(*content).tokens

    assert counted(999) == 999 + 1
    assert counted(1000) == 1000 + len('{"type": "text", "text": "hi"}')
    assert counted(3000) == 3000 + len('{"type": "text", "text": "hi"}')


def test_depth_is_no_trouble() -> None:
    deep = b'{"properties":{"a":' * 150 + b"{}" + b"}}" * 150
    tool = b'{"type":"function","function":{"name":"f","parameters":%s}}' % deep
    found = count_prompt(CHAT, fields(CHAT, b'{"model":"gpt-4o","messages":[],"tools":[%s]}' % tool))
    assert found.tokens == 3 + 12 + 7 + tokens("f:") + 150 * (3 + 3 + tokens("a::"))
    results = b'{"type":"tool_result","content":[' * 150 + b"]}" * 150
    body = b'{"model":"claude","messages":[{"role":"user","content":[%s]}]}' % results
    assert count_prompt("messages", fields("messages", body)).tokens > 150


def test_the_loop_goes_on_while_a_long_prompt_is_counted_in_a_thread() -> None:
    words = "Many words, one after the other. " * 300_000
    body = json.dumps({"model": "gpt-4o", "messages": [user(words)]}).encode()
    assert len(body) > LONG
    held = fields(CHAT, body)
    count_prompt(CHAT, fields(CHAT, b'{"model":"gpt-4o","messages":[]}'))  # loads the vocabulary
    turns = 0
    inside: list[int] = []

    def counted() -> PromptCount:
        inside.append(turns)
        found = count_prompt(CHAT, held)
        inside.append(turns)
        return found

    async def counting() -> PromptCount:
        nonlocal turns
        running = asyncio.get_running_loop().run_in_executor(None, counted)
        while not running.done():
            turns += 1
            await asyncio.sleep(0)
        return await running

    assert asyncio.run(counting()).tokens > 2_000_000
    started, ended = inside
    assert ended - started > 20, "the loop stood still"
