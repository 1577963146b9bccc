"""OpenAI's dialect: chat completions, completions, embeddings, responses, models.

Errors are `{"error": {message, type, param, code}}`, all four keys always present, and `run`, `rule` and `remaining` of
our own behind them. Mid-stream, the clients raise any `data:` object with a truthy top-level `error`; the Responses API
has an `error` event of its own instead.
"""

from functools import partial
from typing import Annotated, Final

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tidegate.errors import BudgetExceeded, LimitExceeded, TidegateError
from tidegate.wire import endings_openai
from tidegate.wire._strict import locate
from tidegate.wire.dialect import Choices, Governed, Route, Tokens, encode, explanation
from tidegate.wire.output import lower_chat, lower_completion, lower_response
from tidegate.wire.splice import Edit

TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
RATES: Final = ("requests", "tokens")  # a limit of these has its measure for a type
QUOTA: Final = "insufficient_quota"  # by which programs tell money that is spent from a pace that is too high


class Function(Struct, frozen=True):
    """A function tool; its `parameters` are the caller's own JSON schema and are only counted."""

    name: str | None = None
    description: str | None = None
    parameters: Raw | UnsetType = UNSET


class Tool(Struct, frozen=True):
    """A tool; in responses a function's fields stand in the tool itself."""

    type: str | None = None
    name: str | None = None
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    function: Function | None = None


class Image(Struct, frozen=True):
    """An image of a message has a `url`, the screenshot of a computer an `image_url`."""

    url: str | None = None
    detail: str | None = None
    image_url: str | None = None


class Audio(Struct, frozen=True):
    data: str | None = None
    format: str | None = None


class File(Struct, frozen=True):
    file_data: str | None = None
    filename: str | None = None


class Part(Struct, frozen=True):
    """One part of a message's content."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    image_url: str | Image | None = None
    detail: str | None = None
    input_audio: Audio | None = None
    file: File | None = None
    file_data: str | None = None
    filename: str | None = None


class Called(Struct, frozen=True):
    """A function or a custom tool that was called."""

    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class ToolCall(Struct, frozen=True):
    function: Called | None = None
    custom: Called | None = None


class Spoken(Struct, frozen=True):
    id: str | None = None


class Summary(Struct, frozen=True):
    text: str | None = None


class Message(Struct, frozen=True):
    """One message, or one input item of the Responses API."""

    type: str | None = None
    role: str | None = None
    content: str | list[Part] | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Called | None = None
    audio: Spoken | None = None
    arguments: str | None = None
    input: str | None = None
    output: str | list[Part] | Image | None = None
    result: str | None = None
    summary: list[Summary] | None = None
    encrypted_content: str | None = None


class Choice(Struct, frozen=True):
    """Which tool must be called."""

    name: str | None = None
    function: Called | None = None


class Schema(Struct, frozen=True):
    """A form of the answer."""

    json_schema: Raw | UnsetType = UNSET
    schema: Raw | UnsetType = UNSET


class Format(Schema, frozen=True):
    """The form of the answer, which in responses stands in `format`."""

    format: Schema | None = None


class StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


Messages = Annotated[Raw, Meta(extra={"holds": Message})]
Tools = Annotated[Raw, Meta(extra={"holds": Tool})]
Chosen = Annotated[Raw, Meta(extra={"holds": Choice})]
Form = Annotated[Raw, Meta(extra={"holds": Format})]


class Streaming(Governed, frozen=True, kw_only=True):
    """A body whose answer, as a stream, reports usage only if it was asked to."""

    stream_options: StreamOptions | None = None

    @property
    def says_usage(self) -> bool | None:
        return self.stream_options.include_usage if self.stream_options is not None else None


class Chat(Streaming, frozen=True, kw_only=True):
    """POST /v1/chat/completions"""

    messages: Messages
    tools: Tools | UnsetType = UNSET
    functions: Annotated[Raw, Meta(extra={"holds": Function})] | UnsetType = UNSET
    tool_choice: Chosen | UnsetType = UNSET
    function_call: Chosen | UnsetType = UNSET
    response_format: Form | UnsetType = UNSET
    max_completion_tokens: Tokens | None = None

    @property
    def output_limit(self) -> int | None:
        one, other = self.max_completion_tokens, self.max_tokens
        # servers differ in which one wins, and to some of them 0 is no limit
        return one if other is None else other if one is None else max(one, other) if one and other else 0


class Completion(Streaming, frozen=True, kw_only=True):
    """POST /v1/completions"""

    prompt: Raw
    suffix: str | None = None
    best_of: Choices | None = None


class Embedding(Governed, frozen=True, kw_only=True):
    """POST /v1/embeddings"""

    input: Raw


class Responses(Governed, frozen=True, kw_only=True):
    """POST /v1/responses"""

    input: Messages | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET  # one that is kept at the provider, and what is put into it
    instructions: str | None = None
    tools: Tools | UnsetType = UNSET
    tool_choice: Chosen | UnsetType = UNSET
    text: Form | UnsetType = UNSET
    previous_response_id: str | None = None
    conversation: Raw | UnsetType = UNSET
    max_output_tokens: Tokens | None = None
    background: bool | None = None

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
        return encode({"error": error_object(error, run)})

    def models(self, names: tuple[str, ...]) -> bytes:
        rows = [{"id": name, "object": "model", "created": 0, "owned_by": "tidegate"} for name in names]
        return encode({"object": "list", "data": rows})


def error_object(error: TidegateError, run: bytes) -> dict[str, object]:
    """The four keys that the clients look for, and ours."""
    told = {"message": error.message, "type": error_type(error), "param": None, "code": error.code}
    return told | explanation(error, run)


def error_type(error: TidegateError) -> str:
    """The kind of error that OpenAI's API would name."""
    if isinstance(error, BudgetExceeded):
        return QUOTA
    if isinstance(error, LimitExceeded) and error.measure in RATES:
        return error.measure
    return TYPES.get(error.status, "invalid_request_error" if error.side == "caller" else "server_error")


def chat_stream_error(error: TidegateError, run: bytes) -> bytes:
    """Chat completions and completions: the clients raise it when they read it."""
    return b"data: %b\n\n" % encode({"error": error_object(error, run)})


def responses_stream_error(error: TidegateError, run: bytes) -> bytes:
    """The Responses API's own event. It carries the top-level `error` too, which is what the clients raise."""
    event: dict[str, object] = {"type": "error", "code": error.code, "message": error.message, "param": None}
    event |= {"sequence_number": 0, "error": error_object(error, run)}
    return b"event: error\ndata: %b\n\n" % encode(event)


def ask_usage(body: bytes) -> Edit:
    """What is to be written into the body of a stream that does not say whether it wants usage."""
    wanted = b'"include_usage":true'
    options = locate(body, b"stream_options")
    if options is None:
        start = body.index(b"{") + 1  # a body has a model, so that something follows
        return start, start, b'"stream_options":{%b},' % wanted
    start, end = options
    if body[start:end] == b"null":
        return start, end, b"{%b}" % wanted
    said = locate(body[start:end], b"include_usage")
    if said is not None:
        return start + said[0], start + said[1], b"true"
    return start + 1, start + 1, wanted + (b"," if body[start + 1 : end - 1].strip() else b"")


DIALECT: Final = OpenAI()
_streaming = partial(Route, stream_error=chat_stream_error, ask_usage=ask_usage)
ROUTES: Final = (
    _streaming(
        b"POST",
        b"/v1/chat/completions",
        "chat.completions",
        DIALECT,
        Chat,
        lower_output=lower_chat,
        finish=endings_openai.chat,
    ),
    _streaming(
        b"POST",
        b"/v1/completions",
        "completions",
        DIALECT,
        Completion,
        lower_output=lower_completion,
        finish=endings_openai.completion,
    ),
    Route(b"POST", b"/v1/embeddings", "embeddings", DIALECT, Embedding),
    Route(
        b"POST",
        b"/v1/responses",
        "responses",
        DIALECT,
        Responses,
        stream_error=responses_stream_error,
        lower_output=lower_response,
        finish=endings_openai.responses,
    ),
    Route(b"GET", b"/v1/models", "models", DIALECT),
)
