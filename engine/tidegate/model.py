"""What passes between the steps: small frozen values, so that a step can neither forget nor change what another said.

`pipeline.py` alone knows the order; a step sees only the values it is given. `Call` is compiled with C fields, because
every step reads it; nothing writes to it after it was made.
"""

from typing import Literal

from msgspec import Struct

from tidegate.wire.dialect import Governed, Route


class Call:
    """accept: one call as it was read. `fields` are the governed fields of `body`; a GET has neither."""

    def __init__(
        self,
        run: bytes,
        route: Route,
        headers: dict[bytes, bytes],
        query: bytes,
        body: bytes,
        fields: Governed | None,
    ) -> None:
        self.run = run  # its id, time-ordered and unique across workers
        self.route = route
        self.headers = headers
        self.query = query
        self.body = body
        self.fields = fields
        self.model = fields.model if fields is not None else ""
        self.stream = fields is not None and fields.stream is True


class Caller(Struct, frozen=True, eq=False):
    """identify: whose call it is."""

    tenant: str
    mode: Literal["key", "byok", "anonymous"]


class Decision(Struct, frozen=True, eq=False):
    """decide: what is to be done with a call, with every reason that was found."""

    action: Literal["allow", "warn", "throttle", "block"]
    reasons: tuple[str, ...] = ()


class Hold(Struct, frozen=True, eq=False):
    """limit: what a call has drawn and must settle or give back."""

    tokens: int = 0


class Usage(Struct, frozen=True, eq=False):
    """count: what a call consumed, and how that is known."""

    input_tokens: int
    output_tokens: int
    kind: Literal["provider", "exact", "calibrated", "estimated"]


class Outcome(Struct, frozen=True, eq=False):
    """forward: how a call ended. `status` is what the client was told; `error` is a code of `errors.py`."""

    status: int
    error: str | None = None
    client_left: bool = False
    usage: Usage | None = None
