from typing import final

@final
class Beginning:
    """What every leaf begins with: who wrote it, when, and its kind."""

    @property
    def kind(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def worker(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def time(self) -> int: ...
    @property
    def run(self) -> bytes | None:
        """The id of the run that it is about; None where it is about none. Raises only `RecordError`."""

def head(leaf: bytes | memoryview) -> Beginning:
    """Who wrote a leaf, when, and its kind, without reading further. Raises only `RecordError`."""

def drawn(leaf: bytes) -> list[tuple[bytes, int, int]]:
    """Of a leaf that ends a call: (bucket, end of its window, settled) of each draw from a budget. Raises only
    `RecordError`.
    """
