"""How a stream ends that the gateway stops: what the dialects' endings are told, and the rule that holds for all.

An ending says what a client can read as what it is: a finish whose reason is a limit, or a filter. In the middle of a
call of a tool there is none: clients mend what is missing in half arguments, and applications take a finish for leave
to call the tool with them. So there, and where what an ending needs is not known, the stream ends in the dialect's
error event, which every client raises.
"""

import contextlib
import json
from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec
from msgspec import Raw, Struct

from tidegate.errors import TidegateError

Cause = Literal["limit", "policy"]


class Used(Protocol):
    """What the stream used until it was stopped, the event that was held back included."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...


class Passed(Protocol):
    """What the client has got of the stream; a Meter that was watched from its first read on knows it."""

    @property
    def held_back(self) -> bytes | None:
        """The data of the event in whose place the ending comes."""
        ...

    @property
    def opening(self) -> bytes | None:
        """The members of the response that the stream opened with, if it did."""
        ...

    @property
    def output(self) -> bytes | None:
        """What the response has put out so far, where that is known."""
        ...

    @property
    def choices(self) -> int:
        """How many choices have been seen."""
        ...

    @property
    def finish(self) -> Mapping[int, str]:
        """Why those have ended that have."""
        ...

    @property
    def calling(self) -> bool:
        """A call of a tool has begun and not ended."""
        ...


class Stop(Struct, frozen=True, eq=False):
    """Why a stream is stopped, and what its ending is to say."""

    cause: Cause  # a limit or what was held for the call is used up; a policy says stop
    error: TidegateError  # for where there is no finish
    run: bytes
    used: Used
    asked: bool = False  # the client asked for usage, where it has to


def members(data: bytes | None) -> dict[str, Raw] | None:
    """The members of a document, each as it came; None where it is no object or there is none."""
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=dict[str, Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _sound_members(data)


def _sound_members(data: bytes) -> dict[str, Raw] | None:
    """Of a document that only a lenient parser reads, the members that every parser would. Providers cut texts between
    the surrogates of a character, for instance; all else of such an event is in order.
    """
    try:
        document = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    sound = {}
    for name, value in document.items():
        with contextlib.suppress(ValueError, RecursionError):
            sound[name] = Raw(msgspec.json.encode(value))
    return sound


def one_line(document: bytes) -> bytes:
    """The document without line ends: what came in several lines must not end an event too early."""
    return msgspec.json.format(document, indent=-1)
