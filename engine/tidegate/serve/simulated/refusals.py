"""The shape of an error in each dialect."""

from collections.abc import Callable

from .answer import Document

Shape = Callable[[int, str, str], Document]  # status, message, request id

OPENAI = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
ANTHROPIC = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
WORDS = {
    400: "the request was invalid",
    401: "incorrect API key provided",
    403: "the key may not use this model",
    404: "the model does not exist",
    429: "rate limit reached, try again in 1 s",
    500: "the server had an error while processing the request",
    503: "the service is unavailable",
    529: "overloaded",
}


def openai(status: int, message: str, request_id: str) -> Document:
    """All four keys are always there; the SDKs rely on it."""
    kind, code = OPENAI.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(status: int, message: str, request_id: str) -> Document:
    """Anthropic repeats the request id in the body."""
    kind = ANTHROPIC.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
