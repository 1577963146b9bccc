from collections.abc import Container, Iterable
from typing import final

@final
class Form:
    """One route's requests to one integration."""

    def __init__(
        self, start: bytes, fields: bytes, forwarded: Iterable[bytes], keyed: Container[bytes], measured: bool
    ) -> None:
        """`start` is the first line up to the path's end, `fields` what stands behind the target: the version and our
        own fields. `forwarded` are the names of the caller's fields that go along, in lower case; those of `keyed` do
        so only where they have no virtual key. `measured`: there is a body.
        """

    def head(self, headers: dict[bytes, bytes], query: bytes, length: int) -> bytes:
        """The head, from its first line to the empty one."""
