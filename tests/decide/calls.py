"""Calls as accept reads them."""

from typing import Any

import msgspec

from tidegate.model import Call
from tidegate.wire import anthropic, openai
from tidegate.wire.reader import Reader

ROUTES = {route.endpoint: route for route in (*openai.ROUTES, *anthropic.ROUTES) if route.endpoint != "models"}
MODELS = openai.ROUTES[-1]


def call(endpoint: str, **body: Any) -> Call:
    """A call with such a body."""
    route = ROUTES[endpoint]
    assert route.body is not None
    octets = msgspec.json.encode(body)
    return Call(b"01" * 13, route, {}, b"", octets, Reader(route.body, 64).read(octets))


def listing() -> Call:
    """A call without a body."""
    return Call(b"02" * 13, MODELS, {}, b"", b"", None)
