"""What every dialect states, so that the steps need not know which one they serve.

A `Route` is one governed endpoint: its path, its method, the Struct that its body decodes to, and its dialect. A path
without a Route does not exist here, so nothing can pass ungoverned.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct

from tidegate.errors import TidegateError
from tidegate.wire.endings import Passed, Stop
from tidegate.wire.splice import Edit

Model = Annotated[str, Meta(min_length=1, max_length=256)]
Tokens = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Choices = Annotated[int, Meta(ge=1, le=1024)]


class Governed(Struct, frozen=True, kw_only=True):
    """The fields of a body that the steps read; what a body does not have stays absent."""

    model: Model
    stream: bool | None = None
    max_tokens: Tokens | None = None
    n: Choices | None = None
    user: str | None = None

    @property
    def output_limit(self) -> int | None:
        """The most tokens one answer may have, as the caller put it."""
        return self.max_tokens

    @property
    def says_usage(self) -> bool | None:
        """Whether the caller wants its stream to report usage; None where it does not say."""
        return None

    @property
    def end_user(self) -> str | None:
        """Whom the caller says it acts for."""
        return self.user


class Dialect(Protocol):
    """One provider family's way to say things."""

    name: str
    key_fields: tuple[bytes, ...]  # the header fields that may carry the caller's key
    forwarded: tuple[bytes, ...]  # the header fields a provider of this dialect may see

    def authorization(self, credential: str) -> bytes:
        """The header line that proves a configured credential."""
        ...

    def error(self, error: TidegateError, run: bytes) -> bytes:
        """The body of an error answer."""
        ...

    def models(self, names: tuple[str, ...]) -> bytes:
        """The body of a list of models."""
        ...


class Route(Struct, frozen=True, eq=False):
    """One governed endpoint."""

    method: bytes
    path: bytes
    endpoint: str
    dialect: Dialect
    body: type[Governed] | None = None
    query: frozenset[bytes] = frozenset()  # the parameters that are passed on; any other is refused
    stream_error: Callable[[TidegateError, bytes], bytes] | None = None  # the event that ends a stream as failed
    ask_usage: Callable[[bytes], Edit] | None = None  # makes a stream report usage; None: it always does, or is none
    # body, most, provider -> what makes an answer at most so long, () where it is; None: there is no output to limit
    lower_output: Callable[[bytes, int, str], tuple[Edit, ...]] | None = None
    finish: Callable[[Stop, Passed], bytes | None] | None = None  # the events that end it when it is stopped

    def stop(self, stop: Stop, passed: Passed) -> bytes | None:
        """What a stream ends with that is stopped: a finish that says why, or an error where a client could take that
        for more than it is. A comment before it has the error's code, for whoever looks at the wire. None where an
        answer of this endpoint is no stream.
        """
        if self.stream_error is None:
            return None
        ending = self.finish(stop, passed) if self.finish is not None and not passed.calling else None
        return b": stopped by tidegate: %b\n\n%b" % (
            stop.error.code.encode(),
            ending if ending is not None else self.stream_error(stop.error, stop.run),
        )


def explanation(error: TidegateError, run: bytes) -> dict[str, object]:
    """What an error says in every dialect beside the dialect's own words: the run, and what refused it."""
    told: dict[str, object] = {"run": run.decode()}
    if error.rule:
        told["rule"] = error.rule
    if error.remaining is not None:
        told["remaining"] = error.remaining
    return told


def encode(document: Mapping[str, object]) -> bytes:
    """The one JSON encoder for what Tidegate itself says on the wire."""
    return msgspec.json.encode(document)
