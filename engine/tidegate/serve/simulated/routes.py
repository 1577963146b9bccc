"""The routes: a request that was read becomes the script of its answer."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from ...errors import BadBody, CallerError, MethodRefused, NotFound
from . import anthropic, chat, faults, others, refusals, responses
from .answer import Answer, Failure
from .faults import Plan
from .script import Fields, Step, play, refuse
from .text import Sampler


class Request(Struct, frozen=True):
    """One HTTP request, or why it is not one."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    chunks: bool = True  # the client understands chunked transfer coding
    keep: bool = True  # the connection serves another request after it
    error: CallerError | None = None

    @property
    def shape(self) -> refusals.Shape:
        """Anthropic's clients name its version in every request; its paths are its own."""
        if "anthropic-version" in self.headers or self.path.startswith("/v1/messages"):
            return refusals.anthropic
        return refusals.openai


class Script(Struct, frozen=True):
    """What the connection is to do, and for whose bill."""

    steps: Iterator[Step]
    key: str
    prompt: int = 0
    status: int = 200
    stream: bool = False


class Route(Struct, frozen=True):
    """What a path takes and how it answers."""

    form: Any  # the type of the body; None takes no body
    answer: Callable[[Any, Sampler], Answer]
    failure: Failure

    @property
    def method(self) -> str:
        return "GET" if self.form is None else "POST"


MODELS: dict[refusals.Shape, Route] = {
    refusals.openai: Route(None, others.models_openai, chat.failure),
    refusals.anthropic: Route(None, others.models_anthropic, anthropic.failure),
}
ROUTES = {
    "/v1/chat/completions": Route(chat.ChatRequest, chat.answer_chat, chat.failure),
    "/v1/completions": Route(chat.CompletionRequest, chat.answer_completion, chat.failure),
    "/v1/embeddings": Route(others.EmbeddingsRequest, others.answer_embeddings, chat.failure),
    "/v1/responses": Route(responses.ResponsesRequest, responses.answer, responses.failure),
    "/v1/messages": Route(anthropic.MessagesRequest, anthropic.answer, anthropic.failure),
    "/v1/messages/count_tokens": Route(anthropic.CountRequest, anthropic.answer_count, anthropic.failure),
}


def respond(request: Request, seed: int, pace_ms: float) -> Script:
    """The script for a request; it never fails, because a refusal is a script too."""
    sampler = Sampler(seed, request.path.encode() + b"\0" + request.body)
    try:
        return _answer(request, sampler, pace_ms)
    except CallerError as error:
        return _refusal(error, request, sampler.key)


def _answer(request: Request, sampler: Sampler, pace_ms: float) -> Script:
    if request.error is not None:
        raise request.error
    route, form = _read(request)
    headers = request.headers
    plan = faults.plan(getattr(form, "model", ""), headers.get("x-simulate"), headers.get("x-simulate-pace"))
    stream = bool(getattr(form, "stream", False))
    if status := plan.status or (500 if plan.error is not None and not stream else None):
        return _failed(status, request, sampler.key, plan)
    sampler.exact = plan.words
    answer = route.answer(form, sampler)
    pace = plan.pace if plan.pace is not None else 0.0 if plan.fast else pace_ms
    fields = _fields(request, sampler.key, stream)
    steps = play(answer, plan, fields, pace / 1000, route.failure, request.chunks)
    return Script(steps, sampler.key, answer.prompt, 200, stream)


def _read(request: Request) -> tuple[Route, Any]:
    """The route and the decoded body, or the reason why there is none."""
    route = MODELS[request.shape] if request.path == "/v1/models" else ROUTES.get(request.path)
    if route is None:
        raise NotFound(f"no such route: `{request.method} {request.path}`")
    if request.method != route.method:
        raise MethodRefused(f"`{request.path}` takes {route.method}, not `{request.method}`", route.method)
    if route.form is None:
        return route, None
    try:
        return route, msgspec.json.decode(request.body, type=route.form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"the body is not what `{request.path}` takes: {error}") from None


def _refusal(error: CallerError, request: Request, key: str) -> Script:
    """The call could not be read."""
    fields = _fields(request, key, stream=False)
    if isinstance(error, MethodRefused):
        fields.append(("allow", error.allow))
    document = request.shape(error.status, error.message, f"req_{key}")
    return Script(refuse(error.status, document, Plan(), fields), key, status=error.status)


def _failed(status: int, request: Request, key: str, plan: Plan) -> Script:
    """`status-N`, together with other faults if they were asked for."""
    fields = _fields(request, key, stream=False)
    if status == 429:
        fields += [("retry-after", "1"), ("retry-after-ms", "1000")]
    document = request.shape(status, refusals.WORDS[status], f"req_{key}")
    return Script(refuse(status, document, plan, fields), key, status=status)


def _fields(request: Request, key: str, stream: bool) -> Fields:
    fields = [
        ("content-type", "text/event-stream; charset=utf-8" if stream else "application/json"),
        ("request-id" if request.shape is refusals.anthropic else "x-request-id", f"req_{key}"),
    ]
    if stream:
        fields.append(("cache-control", "no-cache"))
    if not request.keep:
        fields.append(("connection", "close"))
    return fields
