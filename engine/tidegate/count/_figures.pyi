from typing import Any, Self, final

@final
class Figures:
    """Reads the figures of one kind of document."""

    def __new__(cls, fields: dict[str, Any]) -> Self:
        """What the fields that mean something are: `int` or `str`, an object as a `dict`, a list of objects as one in a
        `list`; a text is a kind that is not read here, and None is what is not read in any form. Raises ValueError for
        more than can be read."""

    def read(self, document: bytes) -> list[Any] | None:
        """The numbers in the order in which they were stated, then the words, None for each that is absent or null.
        None where only a full parse can say what the document is: where it is not JSON, where a name is escaped or
        there twice, where something has another form than stated."""
