"""Faults on request: how they are asked for, and which there are.

A request asks with the header `x-simulate: FAULT` or, because headers do not survive gateways and model names do,
with the model `simulated-FAULT`; several are joined by `+`, as in `simulated-pace-20+stall-5`. Where both speak, the
header wins; `x-simulate-pace: MS` wins over both. Events are counted from 0, and a fault at event K strikes in place
of it: K events went out before. A plain answer has no events: there K = 0 strikes before the head and every other K
in the middle of the body.
"""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from ...errors import CallerError
from .text import Limit

PREFIX = "simulated-"
HOUR_MS = 3_600_000
MIB = 1024 * 1024

Position = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Milliseconds = Annotated[float, Meta(ge=0, le=HOUR_MS)]
Size = Annotated[int, Meta(ge=1, le=256 * MIB)]


class Plan(Struct, frozen=True, rename="kebab", kw_only=True):
    """The faults of one call. A field that is a flag is asked for by its name alone, any other as `name-N`."""

    status: Literal[400, 401, 403, 404, 429, 500, 503, 529] | None = None  # an error of that status
    stall: Position | None = None  # nothing more, for ever
    reset: Position | None = None  # TCP reset
    close: Position | None = None  # the connection ends cleanly, the answer does not
    error: Position | None = None  # the dialect's error event, then the end; a plain answer becomes a 500
    truncate: bool = False  # content-length says more than there is, then the connection closes
    long_length: bool = False  # the same, and the connection stays open
    short_length: bool = False  # content-length says less than there is
    bad_chunk: bool = False  # the second chunk has no size
    malformed_sse: bool = False  # comments, garbage JSON, lines without colon, mixed line ends between the events
    split_utf8: bool = False  # written in pieces that split characters and the ends of events
    huge_line: Size | None = None  # event 1 (or a plain answer) is padded to N bytes
    slow_head: Milliseconds | None = None  # the head comes byte by byte over N milliseconds
    no_head: bool = False  # accepted, never answered
    pace: Milliseconds | None = None  # between events; before a plain answer
    fast: bool = False  # no pace, whatever the provider's own is
    words: Limit | None = None  # a text of exactly N words, even above the caller's limit
    pad: Size | None = field(default=None, name="bytes")  # a plain answer is padded to N bytes


FIELDS = {one.encode_name: one for one in msgspec.structs.fields(Plan)}
FLAGS = {name for name, one in FIELDS.items() if one.default is False}
DEFAULTS = {"huge-line": 10 * MIB}
KNOWN = ", ".join(name if name in FLAGS else f"{name}-N" for name in FIELDS)


def plan(model: str, header: str | None, pace: str | None) -> Plan:
    """The faults that a call asks for with its model's name and its two headers."""
    wanted: dict[str, Any] = {}
    if model.startswith(PREFIX):
        wanted |= parse(model.removeprefix(PREFIX))
    if header is not None:
        wanted |= parse(header)
    if pace is not None:
        wanted |= parse(f"pace-{pace}")
    try:
        return msgspec.convert(wanted, Plan)
    except msgspec.ValidationError as error:
        raise CallerError(f"a fault cannot be simulated as asked: {error}") from None


def parse(text: str) -> dict[str, Any]:
    """The faults in `stall-5+pace-20`, not yet checked against their bounds."""
    return dict(_fault(part.strip()) for part in text.split("+"))


def _fault(part: str) -> tuple[str, float | bool]:
    if part in FLAGS:
        return part, True
    if part in DEFAULTS:
        return part, DEFAULTS[part]
    name, number = re.fullmatch(r"(.*?)(?:-(\d{1,12}(?:\.\d{1,6})?))?", part, re.ASCII | re.DOTALL).groups()  # type: ignore[union-attr]
    if number is None or name not in FIELDS or name in FLAGS:
        raise CallerError(f"unknown fault `{part}`; known are {KNOWN}, joined by `+`")
    return name, float(number) if "." in number else int(number)
