"""OpenAI's dialect: chat completions, completions, embeddings, responses, models.

Errors are `{"error": {message, type, param, code}}`, all four keys always present. Mid-stream, the clients raise any
`data:` object with a truthy top-level `error`; the Responses API has an `error` event of its own instead.
"""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tidegate.errors import TidegateError
from tidegate.wire.dialect import Governed, Route, Tokens, encode

TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Function(Struct, frozen=True):
    """A function tool; its `parameters` are the caller's own JSON schema and are not read."""

    name: str | None = None


class Tool(Struct, frozen=True):
    type: str | None = None
    name: str | None = None
    function: Function | None = None


class Part(Struct, frozen=True):
    """One part of a message's content."""

    type: str | None = None
    text: str | None = None


class Message(Struct, frozen=True):
    """One message, or one input item of the Responses API."""

    role: str | None = None
    content: str | list[Part] | None = None


class StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


Messages = Annotated[Raw, Meta(extra={"holds": Message})]
Tools = Annotated[Raw, Meta(extra={"holds": Tool})]


class Chat(Governed, frozen=True, kw_only=True):
    """POST /v1/chat/completions"""

    messages: Messages
    tools: Tools | UnsetType = UNSET
    max_completion_tokens: Tokens | None = None
    stream_options: StreamOptions | None = None

    @property
    def output_limit(self) -> int | None:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens


class Completion(Governed, frozen=True, kw_only=True):
    """POST /v1/completions"""

    prompt: Raw
    stream_options: StreamOptions | None = None


class Embedding(Governed, frozen=True, kw_only=True):
    """POST /v1/embeddings"""

    input: Raw


class Responses(Governed, frozen=True, kw_only=True):
    """POST /v1/responses"""

    input: Messages | UnsetType = UNSET
    instructions: str | None = None
    tools: Tools | UnsetType = UNSET
    max_output_tokens: Tokens | None = None

    @property
    def output_limit(self) -> int | None:
        return self.max_output_tokens


class OpenAI:
    """What OpenAI's clients send and expect."""

    name = "openai"
    key_fields: tuple[bytes, ...] = (b"authorization",)
    forwarded: tuple[bytes, ...] = (
        b"authorization",
        b"openai-organization",
        b"openai-project",
        b"openai-beta",
        b"idempotency-key",
        b"x-client-request-id",
        b"user-agent",
    )

    def authorization(self, credential: str) -> bytes:
        return b"Authorization: Bearer %b" % credential.encode()

    def error(self, error: TidegateError, run: bytes) -> bytes:
        return encode({"error": error_object(error)})

    def models(self, names: tuple[str, ...]) -> bytes:
        rows = [{"id": name, "object": "model", "created": 0, "owned_by": "tidegate"} for name in names]
        return encode({"object": "list", "data": rows})


def error_object(error: TidegateError) -> dict[str, str | None]:
    """The four keys that the clients look for."""
    kind = TYPES.get(error.status, "invalid_request_error" if error.side == "caller" else "server_error")
    return {"message": error.message, "type": kind, "param": None, "code": error.code}


def chat_stream_error(error: TidegateError, run: bytes) -> bytes:
    """Chat completions and completions: the clients raise it when they read it."""
    return b"data: %b\n\n" % encode({"error": error_object(error)})


def responses_stream_error(error: TidegateError, run: bytes) -> bytes:
    """The Responses API's own event. It carries the top-level `error` too, which is what the clients raise."""
    event: dict[str, object] = {"type": "error", "code": error.code, "message": error.message, "param": None}
    event |= {"sequence_number": 0, "error": error_object(error)}
    return b"event: error\ndata: %b\n\n" % encode(event)


DIALECT: Final = OpenAI()
ROUTES: Final = (
    Route(b"POST", b"/v1/chat/completions", "chat.completions", DIALECT, Chat, stream_error=chat_stream_error),
    Route(b"POST", b"/v1/completions", "completions", DIALECT, Completion, stream_error=chat_stream_error),
    Route(b"POST", b"/v1/embeddings", "embeddings", DIALECT, Embedding),
    Route(b"POST", b"/v1/responses", "responses", DIALECT, Responses, stream_error=responses_stream_error),
    Route(b"GET", b"/v1/models", "models", DIALECT),
)
