from typing import final

from tidegate.errors import CallerError
from tidegate.wire.dialect import Route

@final
class Request:
    """One request as its connection received it: the fields that mean something here, and its body once whole."""

    @property
    def method(self) -> bytes: ...
    @property
    def path(self) -> bytes: ...
    @property
    def query(self) -> bytes: ...
    @property
    def headers(self) -> dict[bytes, bytes]: ...
    @property
    def http11(self) -> bool: ...
    @property
    def keep_alive(self) -> bool: ...
    @property
    def size(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def whole(self) -> bool: ...
    body: bytes
    route: Route | None
    refusal: CallerError | None
    def __init__(
        self, method: bytes, path: bytes, query: bytes, headers: dict[bytes, bytes], http11: bool, keep_alive: bool
    ) -> None: ...

@final
class Last:
    """The head of a connection's last request, to be recognised when it comes again."""

    def __init__(self, request: Request, data: bytes, head_limit: int) -> None:
        """`request` was scanned at the start of `data`."""

    def again(self, data: bytes) -> Request | None:
        """The Request at the start of `data` if its head is this one, as `scan` would read it; else None."""

def scan(data: bytes, line_limit: int, head_limit: int, count_limit: int) -> Request | None: ...
