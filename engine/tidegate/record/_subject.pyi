from typing import Literal, final

_Part = Literal["client_request", "upstream_request", "upstream_response", "client_response", "document"]
PARTS: tuple[_Part, ...]

@final
class Subject:
    """One subject's key. It cannot be read from here; only what goes through it comes out."""

    @property
    def identity(self) -> bytes:
        """What the store of keys knows it by."""
    @property
    def pseudonym(self) -> bytes:
        """What a leaf calls it: 16 bytes."""
    def __init__(self, identity: bytes, key: bytes) -> None:
        """A key of 1 to 64 bytes; ValueError for another."""
    def session(self, id: str) -> bytes:
        """The pseudonym of a session of this user; empty where there is none."""
    def parent(self, id: str) -> bytes:
        """The pseudonym of the run that one of this user's came from; empty where there is none."""
    def salt(self, run: bytes, part: _Part) -> bytes:
        """What goes before the bytes of that part of a run; `run` is the 13 bytes of its id."""
    def commitment(self, run: bytes, part: _Part, content: bytes) -> bytes:
        """What a leaf says of the bytes of that part of a run."""
