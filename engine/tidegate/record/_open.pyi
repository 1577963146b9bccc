from typing import final

@final
class Begun:
    """A run that may be in one list of those that are open."""

@final
class OpenRuns:
    """Keeps every run that was put into it until it has ended."""

    def begin(self, run: Begun, seq: int) -> None:
        """It has an intent of this number, from 1 on; of several the last counts."""
    def end(self, run: Begun | None) -> None:
        """It has an outcome. One that never began may end, too."""
    @property
    def first(self) -> int:
        """The intent of the oldest one; 0: there is none."""
