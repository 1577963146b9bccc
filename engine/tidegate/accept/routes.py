"""The route table: what exists here, decided from the bytes of the request line and nothing else.

A path is compared as it was sent, without decoding or normalising, so that no reader behind can see another one.
`/v1/models` is spoken by two dialects; a client of Anthropic's says so by its `anthropic-version` field.
"""

from typing import Final

from tidegate.accept._head import Request
from tidegate.errors import CallerError, Forbidden, MediaRefused, MethodRefused, NotFound
from tidegate.wire import anthropic, openai
from tidegate.wire.dialect import Dialect, Route

BY_PATH: Final[dict[bytes, Route]] = {route.path: route for route in (*anthropic.ROUTES, *openai.ROUTES)}
ANTHROPIC_MODELS: Final = next(route for route in anthropic.ROUTES if route.endpoint == "models")
JSON: Final = b"application/json"


def admit(request: Request) -> None:
    """Finds the request's route, or says in `request.refusal` why there is none."""
    route = BY_PATH.get(request.path)
    headers = request.headers
    if route is None:
        request.refusal = NotFound(f"there is no route `{_shown(request.path)}`")
        return
    if b"anthropic-version" in headers and route.endpoint == "models":
        route = ANTHROPIC_MODELS
    request.route = route
    if (
        request.method != route.method
        or b"origin" in headers
        or b"content-encoding" in headers
        or request.query
        or (route.body is not None and headers.get(b"content-type") != JSON)
    ):
        request.refusal = _refusal(request, route)


def _refusal(request: Request, route: Route) -> CallerError | None:
    """Why this request may not use this route; None for the unusual spellings that are fine."""
    headers = request.headers
    if request.method != route.method:
        allow = route.method.decode()
        return MethodRefused(f"`{_shown(request.path)}` takes {allow} only", allow)
    if b"origin" in headers:
        # Only browsers send it. A page that a browser shows must not spend through a gateway on its user's machine.
        return Forbidden("calls from web pages are not served")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return MediaRefused("compressed requests are not read; send the body as it is")
    if route.body is not None:
        media, _, _ = headers.get(b"content-type", b"").partition(b";")
        if media.strip().lower() != JSON:
            return MediaRefused("the body must be declared as `Content-Type: application/json`")
    for parameter in request.query.split(b"&"):
        name = parameter.partition(b"=")[0]
        if name and name not in route.query:
            return NotFound(f"`{_shown(request.path)}` takes no query parameter `{_shown(name)}`")
    return None


def dialect_of(request: Request | None) -> Dialect:
    """The dialect whose error shape the sender most likely reads, also where there is no route."""
    if request is not None:
        if request.route is not None:
            return request.route.dialect
        if request.path.startswith(b"/v1/messages") or b"anthropic-version" in request.headers:
            return anthropic.DIALECT
    return openai.DIALECT


def _shown(text: bytes) -> str:
    return text[:200].decode("ascii", "replace")
