"""Random streams: events of every endpoint in ordinary and in odd spellings, and ways to cut them."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from tests.count import texts

ENDPOINTS = ("chat.completions", "completions", "responses", "messages")
DECOYS = (
    '{"choices":[{"index":0,"delta":{"content":"decoy"}}]}', '","content":"decoy', "\\", '\\"', '"', "\u2028", "\x7f",
    "data: x\n\n", "[DONE]", "😀", "\ud83d", "\ude00\ud83d", "\x00\x1f", "/", "\ufeff",
)  # fmt: skip
ODD = (None, 0, 1, -1, 2.5, True, False, "", "odd", [], {}, [[]], [{}], {"a": [1, {"b": None}]}, 65535, 65536, 10**20)
NAMES = (
    "index", "content", "text", "delta", "choices", "type", "usage", "error", "name", "arguments", "refusal",
    "reasoning", "reasoning_content", "tool_calls", "function", "finish_reason", "output_index", "content_index",
    "summary_index", "item", "response", "status", "thinking", "partial_json", "stop_reason", "content_block",
    "message", "x_groq", "id", "custom", "input",
    "obfuscation", "contents", "Index", "", "logprobs",
)  # fmt: skip
REASONS = (None, "stop", "length", "tool_calls", 'odd "reason"', "x" * 80)


def text(random: Random) -> str:
    pieces = [random.choice((texts.prose, texts.prose, texts.edges, texts.scalars))(random)]
    if random.random() < 0.3:
        pieces.append(random.choice(DECOYS))
    if random.random() < 0.03:
        pieces.append(random.choice(texts.UNITS) * random.choice((100, 300, 700)))
    random.shuffle(pieces)
    return "".join(pieces)


def document(endpoint: str, random: Random) -> dict[str, Any]:
    """An event as providers send it."""
    return {
        "chat.completions": chat,
        "completions": completion,
        "responses": response,
        "messages": message,
    }[endpoint](random)


def envelope(random: Random) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1763690000}
    if random.random() < 0.3:
        fields["usage"] = random.choice((None, None, {"prompt_tokens": 3, "completion_tokens": random.randrange(9)}))
    if random.random() < 0.3:
        fields["obfuscation"] = text(random)
    if random.random() < 0.02:
        fields["error"] = random.choice((None, False, {"message": "no"}, "no", *ODD))
    return fields


def pieces(random: Random) -> list[dict[str, Any]]:
    """The content of a message as Mistral's servers send it."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": text(random)}]}
    return random.sample([thought, {"type": "text", "text": text(random)}, {"type": "reference"}], random.randrange(4))


def chat(random: Random) -> dict[str, Any]:
    def call(index: int) -> dict[str, Any]:
        if random.random() < 0.1:
            return {"index": index, "type": "custom", "custom": {"name": "patch", "input": text(random)}}
        function = {"arguments": text(random)}
        if random.random() < 0.3:
            function["name"] = "get_weather"
        return {"index": index, "id": "call_1", "type": "function", "function": function}

    def choice(index: int) -> dict[str, Any]:
        delta: dict[str, Any] = {"role": "assistant"} if random.random() < 0.2 else {}
        names = ("content", "content", "content", "refusal", "reasoning", "reasoning_content", "function_call", "tools")
        for name in random.sample(names, random.choice((0, 1, 1, 1, 2, 3))):
            if name == "tools":
                delta["tool_calls"] = [call(at) for at in random.sample(range(4), random.choice((1, 1, 2)))]
            elif name == "function_call":
                delta[name] = {"name": "get_weather", "arguments": text(random)}
            else:
                delta[name] = random.choice((None, "", text(random), text(random)))
                if name == "content" and random.random() < 0.1:
                    delta[name] = pieces(random)
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": random.choice(REASONS)}

    indexes = random.sample(range(3), random.choice((0, 1, 1, 1, 1, 2)))
    return {**envelope(random), "choices": [choice(index) for index in indexes]}


def completion(random: Random) -> dict[str, Any]:
    indexes = random.sample(range(3), random.choice((0, 1, 1, 1, 1, 2)))
    choices = [{"text": text(random), "index": at, "finish_reason": random.choice(REASONS)} for at in indexes]
    return {**envelope(random), "choices": choices}


def response(random: Random) -> dict[str, Any]:
    kind = random.choice((
        *("response.output_text.delta",) * 4, "response.refusal.delta", "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta", "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta", "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta", "response.audio.delta", "response.unknown.delta",
        "response.output_text.done", "response.output_item.added", "response.output_item.done", "response.completed",
        "response.created", "error",
    ))  # fmt: skip
    fields: dict[str, Any] = {"type": kind, "sequence_number": random.randrange(100), "item_id": "msg_1"}
    fields["output_index"] = random.randrange(2)
    if random.random() < 0.5:
        fields[random.choice(("content_index", "summary_index"))] = random.randrange(2)
    if kind.endswith(".delta"):
        fields["delta"] = text(random)
    elif "output_item" in kind:
        fields["item"] = {"type": "function_call", "name": "get_weather", "arguments": text(random)}
    elif kind in ("response.completed", "response.created"):
        usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3} if kind.endswith("completed") else None
        fields["response"] = {"status": kind[9:], "output": [{"content": [{"text": text(random)}]}], "usage": usage}
    else:
        fields["text"] = text(random)
    return fields


def message(random: Random) -> dict[str, Any]:
    kind = random.choice(
        (
            *("content_block_delta",) * 5, "content_block_start", "content_block_stop", "message_start",
            "message_delta", "ping", "message_stop",
        )
    )  # fmt: skip
    fields: dict[str, Any] = {"type": kind}
    if kind == "content_block_delta":
        name, below = random.choice(
            (
                ("text_delta", "text"),
                ("input_json_delta", "partial_json"),
                ("thinking_delta", "thinking"),
                ("signature_delta", "signature"),
            )
        )
        fields |= {"index": random.randrange(3), "delta": {"type": name, below: text(random)}}
    elif kind == "content_block_start":
        block = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
        fields |= {
            "index": random.randrange(3),
            "content_block": random.choice((block, {"type": "text", "text": text(random)})),
        }
    elif kind == "content_block_stop":
        fields["index"] = random.randrange(3)
    elif kind == "message_start":
        fields["message"] = {"content": [], "usage": {"input_tokens": 3, "output_tokens": 0}}
    elif kind == "message_delta":
        fields |= {"delta": {"stop_reason": random.choice(REASONS)}, "usage": {"output_tokens": 5}}
    return fields


def spoilt(value: Any, random: Random) -> Any:
    """The document with some members made odd, moved, doubled in another spelling or taken away."""
    if isinstance(value, list):
        return [spoilt(one, random) for one in value] + random.choice(([], [], [random.choice(ODD)]))
    if not isinstance(value, dict):
        return value
    fields = {}
    for name, below in value.items():
        luck = random.random()
        if luck < 0.03:
            continue
        fields[name] = random.choice(ODD) if luck < 0.07 else spoilt(below, random)
    if random.random() < 0.2:
        fields[random.choice(NAMES)] = random.choice((text(random), *ODD))
    return fields


def spelled(value: Any, random: Random, style: float) -> str:
    """JSON in one of its many spellings: members in any order and twice, white space, escapes; now and then none."""
    wild = random.random() < style
    blank = (lambda: random.choice(("", " ", "\t", "  ", "\n ", "\r"))) if wild else (lambda: "")
    if isinstance(value, dict):
        members = list(value.items())
        if wild:
            random.shuffle(members)
            if members and random.random() < 0.1:
                name, below = random.choice(members)
                members.insert(random.randrange(len(members) + 1), (name, random.choice((below, *ODD, text(random)))))
        inside = ",".join(
            f"{blank()}{string(name, random, style / 4)}{blank()}:{blank()}{spelled(below, random, style)}{blank()}"
            for name, below in members
        )
        return f"{{{inside or blank()}}}"
    if isinstance(value, list):
        return f"[{','.join(blank() + spelled(one, random, style) + blank() for one in value) or blank()}]"
    if isinstance(value, str):
        return string(value, random, style)
    if isinstance(value, float | int) and not isinstance(value, bool) and wild:
        return random.choice((json.dumps(value), json.dumps(value), f"{value}e0", f"{value}.50", f"{value}E+2", "-0"))
    return json.dumps(value)


def string(value: str, random: Random, style: float) -> str:
    """A string; with more or fewer escapes than are needed."""
    if random.random() >= style:
        return json.dumps(value, ensure_ascii=random.random() < 0.5 or any(map(is_surrogate, value)))
    return '"' + "".join(letter(character, random) for character in value) + '"'


def letter(character: str, random: Random) -> str:
    luck = random.random()
    if luck < 0.15 and ord(character) <= 0xFFFF:
        return f"\\u{ord(character):04X}"
    if luck < 0.3 and ord(character) <= 0xFFFF:
        return f"\\u{ord(character):04x}"
    if character == "/" and luck < 0.6:
        return "\\/"
    return json.dumps(character, ensure_ascii=luck < 0.3 or is_surrogate(character))[1:-1]


def is_surrogate(character: str) -> bool:
    return "\ud800" <= character < "\ue000"


def members(fields: dict[str, Any], random: Random) -> list[str]:
    """The members of an object without usage, and what stands between them."""
    pieces: list[str] = []
    for name, below in fields.items():
        if name in ("usage", "error"):
            continue
        between = random.choice((",", ",", ", ", " , ", " ,\t"))
        pieces += [between] * bool(pieces) + [json.dumps(name) + ":" + spelled(below, random, 0.0)]
    return pieces


def with_null(pieces: list[str], random: Random) -> str:
    """The same members with usage that is null among them."""
    usage = random.choice(('"usage":null', '"usage": null', '"usage" : null'))
    comma = random.choice((",", ", ", " , "))
    at = random.randrange(0, len(pieces) + 1, 2) if pieces else 0
    if at == 0:
        return usage + comma * bool(pieces) + "".join(pieces)
    return "".join(pieces[: at - 1]) + comma + usage + "".join(pieces[at - 1 :])


BROKEN = (
    "{",
    "}",
    ",",
    ":",
    '"',
    "\\",
    "\\u12",
    "nul",
    "01",
    "1.",
    "-",
    "+1",
    "1e",
    "NaN",
    "tru",
    "]",
    "[",
    "\x01",
    "\x00",
    "'",
    "\\x",
    ",,",
)


def broken(line: bytes, random: Random) -> bytes:
    """What is most likely no JSON any more."""
    at, luck = random.randrange(len(line) + 1), random.random()
    if luck < 0.3:
        return line[:at]
    if luck < 0.6:
        return line[:at] + random.choice(BROKEN).encode() + line[at:]
    if luck < 0.8:
        return line[:at] + random.choice(texts.INVALID) + line[at:]
    return line[:at] + line[at + 1 :]


def data(endpoint: str, random: Random, odd: float) -> bytes:
    """The data of one event."""
    value: Any = document(endpoint, random)
    style = 0.0
    if random.random() < odd:
        value, style = spoilt(value, random), random.choice((0.0, 0.2, 0.6))
    line = spelled(value, random, style).encode("utf-8", "surrogatepass")
    if random.random() < 0.1 * odd:
        line = broken(line, random)
    if random.random() < 0.01:
        line = random.choice(
            (b"[DONE]", b"", b"{}", b"[]", b"null", b"{not json", b"[DONE] or not", b" {}", b"\xef\xbb\xbf{}")
        )
    return line


def event(endpoint: str, random: Random, odd: float, end: bytes) -> bytes:
    """One event with its empty line, the line ends all the same or, if they are empty, any."""
    ends = iter(lambda: end or random.choice((b"\n", b"\r\n", b"\r")), None)
    rows = []
    if random.random() < 0.3:
        rows.append(
            random.choice(
                (
                    b"event: ping",
                    b"event:error",
                    b"event: error",
                    b"event",
                    b": comment",
                    b":",
                    b"id: 3",
                    b"retry: 5",
                    b"datas: no",
                    b"dat",
                    b"data",
                    b"eventual: error",
                    b" data: no",
                )
            )
            if random.random() < odd
            else b"event: x"
        )
    line = data(endpoint, random, odd)
    if random.random() < 0.1 * odd:
        rows += [b"data:" + random.choice((b"", b" ")) + piece for piece in line.replace(b"\r", b"\n").split(b"\n")]
    else:
        line = line.replace(b"\n", b" ").replace(b"\r", b" ")
        rows.append((b"data:" if random.random() < 0.1 * odd else b"data: ") + line)
    if random.random() < 0.1 * odd:
        rows.append(random.choice((b"event: error", b": more", b"data", b"data:")))
    return b"".join(row + next(ends) for row in rows) + next(ends)


def stream(endpoint: str, random: Random, events: int, odd: float) -> bytes:
    end = random.choice((b"\n", b"\n", b"\r\n", b"\r", b""))
    pieces = [event(endpoint, random, odd, end) for _ in range(events)]
    if random.random() < odd / 4:
        pieces.insert(0, b"\xef\xbb\xbf")
    if random.random() < odd / 4:
        pieces.insert(random.randrange(len(pieces)), random.choice((b"\n", b"\r\n", b": keep-alive\n\n", b"\r\r\n")))
    if random.random() < odd / 2:
        pieces[-1] = pieces[-1][: random.randrange(len(pieces[-1]))]
    return b"".join(pieces)


def said(*texts: bytes, more: bytes = b"") -> bytes:
    """A chunk a text, whose strings are spelt as they stand here; `more` are members before the choices."""
    chunk = b'data: {%b"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
    return b"".join(chunk % (more, text) for text in texts)


def beside(*values: bytes) -> bytes:
    """A chunk for each value of a member that nobody looks for."""
    return b"".join(said(b"a", more=b'"x":%b,' % value) for value in values)


# streams of chat completions that chance seldom finds
RARE = {
    "a value broken in two lines": said(b"a").replace(b'{"choices', b'{"x":tr\ndata: ue,"choices'),
    "a text broken in two lines": said(b"a\ndata: b"),
    "a comment and a name between two lines": said(b"a").replace(b":[", b":\n: x\nid: 1\ndata:["),
    "a done that is not": b"data:  [DONE]\n\n" + said(b"a"),
    "a tab before a value": b"data:\t[DONE]\n\n" + said(b"a").replace(b"data: ", b"data:\t"),
    "zeros before a number": beside(b"01", b"-01", b"0", b"-0"),
    "numbers that are none": beside(b"1.", b".5", b"1e", b"-", b"+1", b"0x1"),
    "numbers that are odd": beside(b"0.0e-0", b"1E9", b"NaN", b"1e999", b"1" * 400),
    "literals that are none": beside(b"nul", b"True", b"truex", b""),
    "a brace closed by a bracket": beside(b'{"y":1]', b"[1}", b"[[1]}]"),
    "commas that lead nowhere": beside(b"[1,]", b'{"y":1,}', b"[,]") + said(b"c", more=b","),
    "names without colons": beside(b'1,"y"', b'{"y"}', b"1,y:1", b"{1:1}"),
    "control characters": said(b"a\tb", b"a\x00b", b"a\x7fb") + beside(b'"\x1f"', b'{"\x00":1}'),
    "escapes that are none": said(b"\\x", b"\\u12", b"\\u12g4", b"\\U1234", b"a\\"),
    "half a character at the end of a text": said(b"\xe4\xb8", b"\xad", b"\xf0\x9f", b"\x98\x80"),
    "half a character before an escape": said(b"\xe4\\u00ad\xb8\\n", b"\\u4e2d\xe4"),
    "halves of pairs": said(rb"\ud83d", rb"\ude00", rb"\ud83d\ude00", rb"\ud83dx\ude00", rb"\ud83d\ud83d\ude00"),
    "deep values": beside(*(b"[" * deep + b"1" + b"]" * deep for deep in (63, 64, 65))),
    "values too deep for any parser": beside(b"[" * 9000 + b"]" * 9000, b"1"),
    "an escaped name": said(b"a").replace(b"content", b"c\\u006fntent") + said(b"b", more=b'"ch\\u006fices":[],'),
    "a name twice": said(b"one two", more=b'"choices":[{"delta":{"content":"three"}}],') + said(b'a b","content":"c d'),
    "choices and parts without numbers": b'data: {"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b",'
    b'"tool_calls":[{"function":{"name":"c"}},{"function":{"name":"d"}}]}}]}\n\n',
    "two spellings of one text": said(b'a","refusal":"b","reasoning":"c","reasoning_content":"c')
    + said(b'a","refusal":"","reasoning":"d","reasoning_content":"c')
    + b'data: {"choices":[{"delta":{"reasoning_content":"c","reasoning":"c"}}]}\n\n'
    + b'data: {"choices":[{"delta":{"reasoning_content":"d e","reasoning":"c"}}]}\n\n',
    "noise that is none": b"".join(
        said(b"a", more=b'"obfuscation":%b,' % noise)
        for noise in (b"12", b"012", b"1.5", b'"x"', b'"\\q"', b"7", b"00")
    ),
    "next to nothing": b"data: {}\n\ndata: \n\ndata:  \n\ndata: {\n\ndata: { }\n\ndata\n\n" + said(b"a"),
    "more behind the document": said(b"a").replace(b"}\n", b"} {}\n") + said(b"a").replace(b"}\n", b"} \n"),
    "a hundred texts in a chunk": b'data: {"choices":[%b]}\n\n' % b",".join([b'{"delta":{"content":"a"}}'] * 100),
    "an escaped text, longer than what is undone at a time": said(b"\\n\\u00e9\\ud83d\\ude00" * 200),
}  # fmt: skip


def varied(value: Any, random: Random, name: str = "") -> Any:
    """The same document with other texts, other noise, and seldom something else."""
    if isinstance(value, dict):
        return {name: varied(below, random, name) for name, below in value.items()}
    if isinstance(value, list):
        return [varied(one, random, name) for one in value]
    if name in ("content", "delta", "text", "partial_json", "obfuscation") and isinstance(value, str):
        return text(random) if random.random() < 0.8 else random.choice(("", *DECOYS))
    if name == "sequence_number":
        return random.choice((0, 7, 12, 345, 1.5, "12", None))
    return random.choice((5, None, text(random))) if random.random() < 0.01 else value


def alike(endpoint: str, random: Random) -> bytes:
    """A stream of events that are much alike."""
    first = document(endpoint, random)
    if endpoint != "messages":
        first |= {"sequence_number": 1, "obfuscation": "abc"}
    lines = []
    for _ in range(random.randrange(2, 10)):
        line = spelled(varied(first, random), random, 0.0).encode()
        if random.random() < 0.2:
            line = broken(line, random).replace(b"\n", b" ").replace(b"\r", b" ")
        if random.random() < 0.1:
            line = line.replace(b'_number":', b'_number":0')
        lines.append(b"data: %b\n\n" % line)
    return b"".join(lines)


def reads(stream: bytes, random: Random) -> Iterator[bytes]:
    """The stream as a network might cut it."""
    sizes = random.choice(((1,), range(1, 9), (1, 2, 5, 17, 90, 317, 1300), (1300,), (16_384,)))
    start = 0
    while start < len(stream):
        size = random.choice(sizes)
        yield stream[start : start + size]
        start += size


def seeds() -> list[bytes]:
    """What a fuzzer begins with: which endpoint, how it is cut, and a stream."""
    random = Random(9)
    found = [b"\x00\x10" + stream for stream in RARE.values() if len(stream) < 2_000]
    for number, endpoint in enumerate(ENDPOINTS):
        found += [bytes((number, 30)) + stream(endpoint, random, 3, 0.5) for _ in range(20)]
    return found
