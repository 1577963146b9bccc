"""What it costs to meter a call that is no stream: its prompt, its price, what its answer reports, what it is charged.

`lines` measures; `python -m bench.calls` prints. The yardstick is the least that a gateway in Python does for the same:
`orjson` for both bodies, tiktoken for each text of the prompt, and the cookbook's sum.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time_ns
from typing import Any

import msgspec
import orjson
import tiktoken

from bench.report import Line, ratio_line
from tidegate.count.calibration import Calibration
from tidegate.count.metering import Meters
from tidegate.count.prices import Prices
from tidegate.count.prices_table import shipped
from tidegate.count.registry import PUBLISHED
from tidegate.model import Call
from tidegate.wire.openai import ROUTES

ROUNDS = 12
INPUT, OUTPUT = 250, 1000  # micro-cents a token of gpt-4o
SYSTEM = {"role": "system", "content": "You are a helpful assistant, brief and exact."}
ASKED = "Please tell me about the tides in the North Sea, and how high they get near the coast of Frisia, please."
TOOL = {
    "type": "function",
    "function": {
        "name": "get_tide",
        "description": "The height of the tide at a place, and when it turns.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "The harbour, e.g. Emden"},
                "unit": {"type": "string", "enum": ["cm", "ft"]},
            },
        },
    },
}
ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-BvXkq3Jm1YhT0pQ8sR7uZcW2aLdEf",
        "object": "chat.completion",
        "created": 1763690000,
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The tide comes in. " * 15, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 30,
            "completion_tokens": 60,
            "total_tokens": 90,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
    }
)


def bodies(text: str) -> dict[str, dict[str, Any]]:
    """By the name of the line."""
    long = [
        {"role": "assistant" if number % 2 else "user", "content": text[1_000 * number : 1_000 * (number + 1)]}
        for number in range(62)
    ]
    return {
        "call_plain": {"messages": [SYSTEM, {"role": "user", "content": ASKED}], "max_tokens": 100},
        "call_8k": {"messages": [SYSTEM, *long[:7]]},
        "call_64k": {"messages": [SYSTEM, *long]},
        "call_tools": {"messages": [SYSTEM, {"role": "user", "content": ASKED}], "tools": [TOOL] * 10},
        "call_learnt": {"model": "gpt-4.1", "messages": [SYSTEM, {"role": "user", "content": ASKED}]},
    }


def texts_of(document: Any) -> list[str]:
    """The texts of a prompt; of tools all that is written in them."""
    if isinstance(document, str):
        return [document]
    inner = document if isinstance(document, list) else document.values()
    return [text for each in inner for text in texts_of(each)]


def nanoseconds(work: Callable[[], object], calls: int) -> float:
    """Of one call."""
    start = process_time_ns()
    for _ in range(calls):
        work()
    return (process_time_ns() - start) / calls


def lines(text: str, encoding: tiktoken.Encoding, rounds: int = ROUNDS) -> list[Line]:
    """A line for each body."""
    with tempfile.TemporaryDirectory() as folder:
        meters = Meters(PUBLISHED, Calibration(Path(folder), 0), Prices(shipped()), 1 << 20)
        return [_line(name, body, meters, encoding, rounds) for name, body in bodies(text).items()]


GOALS = {"call_plain": 1 / 4, "call_8k": 1 / 8, "call_64k": 1 / 8, "call_tools": 1 / 3, "call_learnt": 1 / 2}


def _line(name: str, body: dict[str, Any], meters: Meters, encoding: tiktoken.Encoding, rounds: int) -> Line:
    route = ROUTES[0]
    data = orjson.dumps({"model": "gpt-4o"} | body)
    call = Call(b"0" * 26, route, {}, b"", data, msgspec.json.decode(data, type=route.body))  # type: ignore[type-var]
    encode, model = encoding.encode_ordinary, call.model

    def ours() -> tuple[int, int]:
        metering = meters.open(call, model, "openai")
        metering.plain(ANSWER)
        usage = metering.settled(metering.counted(), True)
        return metering.prompt_tokens, metering.cost(usage)

    def theirs() -> tuple[int, int]:
        document = orjson.loads(data)
        tokens = 3
        for message in document["messages"]:
            tokens += 3 + len(encode(message["role"])) + len(encode(message["content"]))
        for tool in document.get("tools", ()):
            tokens += sum(len(encode(text)) for text in texts_of(tool))
        usage = orjson.loads(ANSWER)["usage"]
        return tokens, usage["prompt_tokens"] * INPUT + usage["completion_tokens"] * OUTPUT

    if name not in ("call_tools", "call_learnt") and ours() != theirs():
        raise SystemExit(f"{name}: {ours()} against {theirs()}")
    calls = max(20_000_000 // (2_000 + 100 * len(data)), 20)
    pairs = []
    for _ in range(rounds):
        mine = nanoseconds(ours, calls)
        pairs.append((mine, nanoseconds(theirs, max(calls // 10, 5))))
    return ratio_line(name, pairs, unit="ns", goal=GOALS[name], gate=GOALS[name] * 2)


if __name__ == "__main__":
    from bench.count import prose, reference

    found = lines(prose(), reference())
    for line in found:
        print(line, *(f"  {detail}" for detail in line.details), sep="\n")
    sys.exit(0 if all(line.holds for line in found) else 1)
