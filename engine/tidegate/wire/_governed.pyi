from typing import Any, final

from msgspec import Struct

from tidegate.wire._strict import Shape

@final
class Fields:
    """Reads the bodies that one Struct describes."""

    def __init__(self, struct: type[Struct], shape: Shape) -> None:
        """`shape` is that of `struct`."""

    def read(self, body: bytes, depth: int) -> Any:
        """The Struct; the Fault of a body that has no one meaning; None where msgspec must read it."""
