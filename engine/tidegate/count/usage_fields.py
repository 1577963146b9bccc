"""What the reports of all providers have in common: counts that may be missing, and names of services."""

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

Tokens = Annotated[int, Meta(ge=0, le=1_000_000_000_000)] | None
Document = TypeVar("Document")

SERVICES: Final = frozenset(("flex", "priority", "fast", "batch"))


def decoded(data: bytes, shape: type[Document]) -> Document | None:
    """A document; None for one that is not what providers send. Nothing is known then, and what was counted stands."""
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def service(name: str | None) -> str:
    """What a call was served as; every provider has another word for its standard service."""
    return name if name in SERVICES else ""
