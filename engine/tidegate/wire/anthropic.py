"""Anthropic's dialect: messages and count_tokens.

Errors are `{"type": "error", "error": {type, message}, "request_id"}`, with `code`, `run`, `rule` and `remaining` of
our own inside `error`. A stream's events are known by their name: the clients drop events without one, so an error in
mid-stream is `event: error`. The key comes as `x-api-key` or, from newer clients, as a bearer token.
"""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tidegate.errors import BudgetExceeded, TidegateError
from tidegate.wire import endings_anthropic
from tidegate.wire.dialect import Governed, Route, encode, explanation
from tidegate.wire.output import lower_message

TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
SPENT: Final = {"error_code": "enforced_spend_limit_reached"}  # Anthropic's own code for a limit on spending


class Inner(Struct, frozen=True):
    """A content block in another."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    data: str | None = None
    name: str | None = None
    input: Raw | UnsetType = UNSET
    title: str | None = None
    context: str | None = None


class Source(Struct, frozen=True):
    """Where an image or a document is."""

    type: str | None = None
    data: str | None = None
    content: str | list[Inner] | None = None


class Within(Inner, frozen=True):
    """A content block that is in another and has a source."""

    source: Source | str | None = None


class Block(Within, frozen=True):
    """One content block."""

    content: str | list[Within] | None = None


class Message(Struct, frozen=True):
    role: str | None = None
    content: str | list[Block] | None = None


class Tool(Struct, frozen=True):
    """A tool; its `input_schema` is the caller's own JSON schema and is only counted."""

    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: Raw | UnsetType = UNSET


class Choice(Struct, frozen=True):
    """Which tool must be used."""

    type: str | None = None
    name: str | None = None


class Metadata(Struct, frozen=True):
    user_id: str | None = None


class Messages(Governed, frozen=True, kw_only=True):
    """POST /v1/messages and /v1/messages/count_tokens"""

    messages: Annotated[Raw, Meta(extra={"holds": Message})]
    system: Annotated[Raw, Meta(extra={"holds": Block})] | UnsetType = UNSET
    tools: Annotated[Raw, Meta(extra={"holds": Tool})] | UnsetType = UNSET
    tool_choice: Annotated[Raw, Meta(extra={"holds": Choice})] | UnsetType = UNSET
    metadata: Metadata | None = None

    @property
    def end_user(self) -> str | None:
        return self.metadata.user_id if self.metadata is not None else None


class Anthropic:
    """What Anthropic's clients send and expect."""

    name = "anthropic"
    key_fields: tuple[bytes, ...] = (b"x-api-key", b"authorization")
    forwarded: tuple[bytes, ...] = (
        b"x-api-key",
        b"authorization",
        b"anthropic-version",
        b"anthropic-beta",
        b"idempotency-key",
        b"user-agent",
    )

    def authorization(self, credential: str) -> bytes:
        return b"X-Api-Key: %b" % credential.encode()

    def error(self, error: TidegateError, run: bytes) -> bytes:
        return encode(error_document(error, run))

    def models(self, names: tuple[str, ...]) -> bytes:
        created = "1970-01-01T00:00:00Z"
        rows = [{"type": "model", "id": name, "display_name": name, "created_at": created} for name in names]
        first, last = (names[0], names[-1]) if names else (None, None)
        return encode({"data": rows, "has_more": False, "first_id": first, "last_id": last})


def error_document(error: TidegateError, run: bytes) -> dict[str, object]:
    """The error as the clients look for it; the code stands in the message too, which is what their users see."""
    kind = TYPES.get(error.status, "invalid_request_error" if error.side == "caller" else "api_error")
    told: dict[str, object] = {"type": kind, "message": f"{error.message} ({error.code})"}
    if isinstance(error, BudgetExceeded):
        told["details"] = SPENT
    told["code"] = error.code
    return {"type": "error", "error": told | explanation(error, run), "request_id": run.decode()}


def stream_error(error: TidegateError, run: bytes) -> bytes:
    """The named event that the clients raise."""
    return b"event: error\ndata: %b\n\n" % encode(error_document(error, run))


DIALECT: Final = Anthropic()
BETA: Final = frozenset((b"beta",))  # the clients' beta interface marks its calls so
ROUTES: Final = (
    Route(
        b"POST",
        b"/v1/messages",
        "messages",
        DIALECT,
        Messages,
        BETA,
        stream_error,
        lower_output=lower_message,
        finish=endings_anthropic.messages,
    ),
    Route(b"POST", b"/v1/messages/count_tokens", "messages.count_tokens", DIALECT, Messages, BETA),
    Route(b"GET", b"/v1/models", "models", DIALECT, None, frozenset((b"beta", b"limit", b"before_id", b"after_id"))),
)
