from collections.abc import Iterable, Iterator
from typing import Final

from typing_extensions import disjoint_base

from tidegate.model import Measure

MEASURES: Final[tuple[Measure, ...]]

_Drawn = tuple[bytes, Measure, int, int, int]

@disjoint_base
class Draws:
    """Of each bucket: its key, its measure, what is held, what was used (0 until that is known), and the end of its
    window in seconds (0: it has none).
    """

    overdraft: bool
    """More was used than was held."""

    def __init__(self, draws: Iterable[_Drawn] = (), overdraft: bool = False) -> None:
        """ValueError for a key that has not 16 bytes, and for numbers below zero."""
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[_Drawn]: ...
    def recorded(self, seq: int) -> None:
        """The record of this number says what was used: whoever holds it may settle it now. Here it does nothing."""
