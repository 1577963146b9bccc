"""What every dialect states, so that the steps need not know which one they serve.

A `Route` is one governed endpoint: its path, its method, the Struct that its body decodes to, and its dialect. A path
without a Route does not exist here, so nothing can pass ungoverned.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct

from tidegate.errors import TidegateError
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


def encode(document: Mapping[str, object]) -> bytes:
    """The one JSON encoder for what Tidegate itself says on the wire."""
    return msgspec.json.encode(document)
