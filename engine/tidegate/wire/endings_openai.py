"""How OpenAI's streams end when they are stopped.

Chat completions and completions: a chunk with the reason for each choice that has not ended, the usage if the client
asked for it, `[DONE]`. The Responses API: `response.incomplete`, numbered as the event in whose place it comes.
"""

from typing import Final

from msgspec import Raw

from tidegate.wire.dialect import encode
from tidegate.wire.endings import Cause, Passed, Stop, Used, members, one_line

FINISH: Final[dict[Cause, str]] = {"limit": "length", "policy": "content_filter"}
INCOMPLETE: Final[dict[Cause, str]] = {"limit": "max_output_tokens", "policy": "content_filter"}
REPEATED: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
MOST_CHOICES: Final = 128  # that a meter knows to have ended

# what a response has in any case; the members that were too long to keep are missing from its opening
RESPONSE: Final[dict[str, object]] = {
    "object": "response",
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
}


def chat(stop: Stop, passed: Passed) -> bytes | None:
    return _chunks(stop, passed, {"delta": {}})


def completion(stop: Stop, passed: Passed) -> bytes | None:
    return _chunks(stop, passed, {"text": ""})


def responses(stop: Stop, passed: Passed) -> bytes | None:
    """With what was put out, as far as it was kept. There are no `done` events for what is open: an application takes
    their text for a whole one.
    """
    opening, event = members(passed.opening), members(passed.held_back)
    if opening is None or event is None:
        return None
    response = {
        **RESPONSE,
        **opening,
        "status": "incomplete",
        "error": None,
        "incomplete_details": {"reason": INCOMPLETE[stop.cause]},
        "output": Raw(passed.output or b"[]"),
        "usage": _response_usage(stop.used),
    }
    number = event.get("sequence_number", Raw(b"0"))
    ending = {"type": "response.incomplete", "response": response, "sequence_number": number}
    return b"event: response.incomplete\ndata: %b\n\n" % one_line(encode(ending))


def _chunks(stop: Stop, passed: Passed, empty: dict[str, object]) -> bytes | None:
    event = members(passed.held_back)
    if event is None or passed.choices > MOST_CHOICES:
        return None
    base = {name: event[name] for name in REPEATED if name in event}
    silent: dict[str, object] = {"usage": None} if stop.asked else {}
    closed = {**empty, "logprobs": None, "finish_reason": FINISH[stop.cause]}
    ending = [
        {**base, "choices": [{"index": choice, **closed}], **silent}
        for choice in range(max(passed.choices, 1))
        if choice not in passed.finish
    ]
    if stop.asked:
        ending.append({**base, "choices": [], "usage": _usage(stop.used)})
    return b"".join(b"data: %b\n\n" % one_line(encode(chunk)) for chunk in ending) + b"data: [DONE]\n\n"


def _usage(used: Used) -> dict[str, object]:
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }


def _response_usage(used: Used) -> dict[str, object]:
    return {
        "input_tokens": used.input_tokens,
        "input_tokens_details": {"cached_tokens": used.cached_tokens, "cache_write_tokens": used.cache_write_tokens},
        "output_tokens": used.output_tokens,
        "output_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        "total_tokens": used.input_tokens + used.output_tokens,
    }
