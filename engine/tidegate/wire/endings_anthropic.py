"""How Anthropic's streams end when they are stopped: the open block ends, then the message, with reason and usage."""

from typing import Final

from tidegate.wire.dialect import encode
from tidegate.wire.endings import Cause, Passed, Stop, Used, members, one_line

FINISH: Final[dict[Cause, str]] = {"limit": "max_tokens", "policy": "refusal"}


def messages(stop: Stop, passed: Passed) -> bytes | None:
    event = members(passed.held_back)
    if event is None:
        return None
    ending: list[dict[str, object]] = []
    if bytes(event.get("type", b"")) == b'"content_block_delta"' and "index" in event:  # else no block is open
        ending.append({"type": "content_block_stop", "index": event["index"]})
    reason: dict[str, object] = {"stop_reason": FINISH[stop.cause], "stop_sequence": None}
    if stop.cause == "policy":
        reason["stop_details"] = {"type": "refusal", "category": None, "explanation": stop.error.message}
    ending.append({"type": "message_delta", "delta": reason, "usage": _usage(stop.used)})
    ending.append({"type": "message_stop"})
    return b"".join(_event(each) for each in ending)


def _event(document: dict[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(document["type"]).encode(), one_line(encode(document)))


def _usage(used: Used) -> dict[str, object]:
    """Of the whole message; here the input is without what was read from the cache or written to it."""
    return {
        "input_tokens": used.input_tokens - used.cached_tokens - used.cache_write_tokens,
        "cache_creation_input_tokens": used.cache_write_tokens,
        "cache_read_input_tokens": used.cached_tokens,
        "output_tokens": used.output_tokens,
    }
