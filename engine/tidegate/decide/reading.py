"""The `input` document as the gateway's own values have it, so that a policy reads them without one being made.

What is listed here is read by compiled policies straight from the `Call` and the `Caller`; a field that nothing fills
yet is null, and null is what policies see. tests/decide/test_reading.py holds this table against the Structs of
`input.py`: every field is in both.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from tidegate.decide.input import VERSION, WEEKDAYS, Time
from tidegate.model import MICRO_CENTS, Call, Caller, Estimate
from tidegate.rego.generate.typed import Known, Part, Read, Record

PARAMETERS: Final = ("call", "caller", "estimate", "ns", "integration", "limits")
HOUR: Final = 3_600_000_000_000
DAY: Final = 24 * HOUR
JOINED: Final = "\n"  # between the texts of a message
# Fields of a message whose texts say nothing to a model
MARKS: Final = frozenset(
    ("role", "type", "id", "tool_call_id", "tool_use_id", "call_id", "item_id", "status", "detail")
)
DATA: Final = frozenset(("image_url", "url", "input_audio", "file_data", "file_id", "signature", "encrypted_content"))
NO_TEXT: Final = MARKS | DATA | {"cache_control", "media_type", "format"}
FREE: Final = frozenset(("input", "variables", "arguments"))


def rfc3339(ns: int) -> str:
    return Time.at(ns).rfc3339


def messages(call: Call) -> list[dict[str, Any]]:
    """What is said to the model, whatever the dialect calls it, oldest first."""
    found = [
        _message("system", {"content": content})
        for content in (_field(call, "system"), _field(call, "instructions"))
        if content is not None
    ]
    for name in ("messages", "prompt", "suffix", "input"):
        content = _field(call, name)
        if isinstance(content, list) and not (content and isinstance(content[0], int)):  # else it is one, of tokens
            found += map(_said, content)
        elif content is not None:
            found.append(_said(content))
    return found


def _field(call: Call, name: str) -> Any:
    """A field of the body that is decoded only when a policy asks for it."""
    content = getattr(call.fields, name, None)
    if isinstance(content, msgspec.Raw):
        return msgspec.json.decode(content)
    return content if isinstance(content, str) else None


def _said(said: Any) -> dict[str, Any]:
    return _message(said.get("role"), said) if isinstance(said, dict) else _message("user", {"content": said})


def _message(role: object, said: dict[str, Any]) -> dict[str, Any]:
    content = said.get("content")
    parts = [_part(part) for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return {"role": role if isinstance(role, str) else None, "text": _text(said), "parts": parts}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    return {"type": kind if isinstance(kind, str) else None, "text": _text(part)}


def _text(said: dict[str, Any]) -> str | None:
    texts: list[str] = []
    _gather(said, texts, False)
    return JOINED.join(texts) if texts else None


def _gather(value: object, texts: list[str], free: bool) -> None:
    """Every text in a value. Of a `free` one, such as a tool's input, nobody knows what its fields mean."""
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, list):
        for each in value:
            _gather(each, texts, free)
    elif isinstance(value, dict):
        for key, each in value.items():
            if free or not (key in NO_TEXT or (key == "data" and value.get("type") != "text")):
                _gather(each, texts, free or key in FREE)


def tools(call: Call) -> list[dict[str, Any]]:
    """The tools on offer. A function tool is known by its function's name."""
    found = []
    for field in ("tools", "functions"):
        offered = _field(call, field)
        for tool in offered if isinstance(offered, list) else []:
            inside = (tool.get("function"), tool.get("custom")) if isinstance(tool, dict) else ()
            named = next((each for each in inside if isinstance(each, dict)), tool)
            name = named.get("name") if isinstance(named, dict) else None
            found.append({"name": name if isinstance(name, str) else None})
    return found


Limits = Callable[[], dict[str, dict[str, Any]]]


def no_limits() -> dict[str, dict[str, Any]]:
    """`input.limits` where none are declared."""
    return {}


def moment(ns: int) -> dict[str, Any]:
    """`input.time`."""
    made: dict[str, Any] = msgspec.to_builtins(Time.at(ns))
    return made


class Own(msgspec.Struct, frozen=True):
    """The part of a body that is the caller's own."""

    metadata: dict[str, Any] | None = None


def metadata(call: Call) -> dict[str, Any]:
    """The caller's own fields; empty where the body has none."""
    if call.fields is None:
        return {}
    try:
        return msgspec.json.decode(call.body, type=Own).metadata or {}
    except msgspec.ValidationError:  # metadata that is no object
        return {}


def _record(fields: dict[str, Part]) -> Record:
    """A part of the document, with the expression that makes it whole."""
    texts = {name: repr(part.value) if isinstance(part, Known) else part.text for name, part in fields.items()}
    return Record(fields, "{" + ", ".join(f"{name!r}: {text}" for name, text in texts.items()) + "}")


FIELDS: Final[dict[str, dict[str, Part]]] = {
    "time": {
        "ns": Read("ns", "number"),
        "rfc3339": Read("rfc3339(ns)", "string", costly=True),
        "weekday": Read(f"WEEKDAYS[(ns // {DAY} + 3) % 7]", "string", few=True),
        "hour": Read(f"(ns // {HOUR} % 24)", "number"),
    },
    "run": {
        "id": Read("call.run.decode()", "string", costly=True),
        "session": Read("caller.session"),
        "parent": Read("caller.parent"),
        "tags": Read("list(caller.tags)", "array", costly=True),
    },
    "caller": {
        "tenant": Read("caller.tenant", "string", few=True),
        "key": Read("caller.key", few=True),
        "user": Read("caller.user"),
        "roles": Read("list(caller.roles)", "array", costly=True),
        "ip": Read("caller.ip"),
        "mode": Read("caller.mode", "string", few=True),
    },
    "request": {
        "endpoint": Read("call.route.endpoint", "string", few=True),
        "provider": Read("call.route.dialect.name", "string", few=True),
        "integration": Read("integration"),
        "model": Read("(call.model or None)", few=True),
        "stream": Read("call.stream", "boolean", few=True),
        "max_tokens": Read("call.most"),
        "n": Read("call.n"),
        "messages": Read("messages(call)", "array", costly=True),
        "tools": Read("tools(call)", "array", costly=True),
        "metadata": Read("metadata(call)", "object", costly=True),
        "bytes": Read("len(call.body)", "number"),
    },
    "estimate": {
        "prompt_tokens": Read("estimate.prompt_tokens", "number"),
        "prompt_kind": Read("estimate.prompt_kind", "string", few=True),
        "output_tokens": Read("estimate.output_tokens"),
        "usd": Read(f"(None if estimate.cost is None else estimate.cost / {MICRO_CENTS})", costly=True),
    },
}
NAMES: Final[dict[str, Any]] = {function.__name__: function for function in (rfc3339, messages, tools, metadata)} | {
    "WEEKDAYS": WEEKDAYS
}


DOCUMENT: Final = _record(
    {
        "version": Known(VERSION),
        "phase": Known("admission"),
        **{name: _record(fields) for name, fields in FIELDS.items()},
        "findings": Known([]),
        "limits": Read("limits()", "object", costly=True),
    }
)
_WHOLE: Final = compile(DOCUMENT.text, "<input>", "eval")


def document(
    call: Call,
    caller: Caller,
    estimate: Estimate,
    ns: int,
    integration: str | None = None,
    limits: Limits = no_limits,
) -> dict[str, Any]:
    """The whole document of a call, for those who need it as one."""
    values = (call, caller, estimate, ns, integration, limits)
    made: dict[str, Any] = eval(_WHOLE, NAMES | dict(zip(PARAMETERS, values, strict=True)))  # noqa: S307 - from above
    return made
