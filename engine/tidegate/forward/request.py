"""The body that a provider shall get: the caller's own, with a few edits. Every byte outside them stays as it came."""

from tidegate.model import Call
from tidegate.wire._strict import locate
from tidegate.wire.dialect import encode
from tidegate.wire.splice import Edit, splice


def rewritten(
    call: Call, model: str, most: int | None, provider: str, include_usage: bool
) -> tuple[bytes, tuple[str, ...]]:
    """The body and what was changed in it: the model where the provider has another name for the one that is asked for,
    the most tokens of an answer where there are to be fewer, and a stream's usage where `asks_usage` says so.
    """
    route = call.route
    asks = asks_usage(call, include_usage)
    if model == call.model and not asks and (most is None or route.lower_output is None):
        return call.body, ()
    edits: list[Edit] = []
    names: tuple[str, ...] = ()
    if model != call.model:
        span = locate(call.body, b"model")
        assert span is not None
        edits.append((*span, encode_text(model)))
        names = ("model",)
    if most is not None and route.lower_output is not None:
        lowered = route.lower_output(call.body, most, provider)
        if lowered:
            edits += lowered
            names += ("max_tokens",)
    if asks:
        assert route.ask_usage is not None
        edits.append(route.ask_usage(call.body))
        names += ("include_usage",)
    return (splice(call.body, edits), names) if edits else (call.body, names)


def asks_usage(call: Call, include_usage: bool) -> bool:
    """Whether a stream is asked for usage that its caller neither wanted nor refused, and must not see; `include_usage`
    is what its integration says.
    """
    if not include_usage or not call.stream or call.route.ask_usage is None:
        return False
    return call.fields is not None and call.fields.says_usage is None


def encode_text(text: str) -> bytes:
    """A JSON string."""
    return encode({"": text})[4:-1]
