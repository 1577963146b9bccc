"""The text of a module, and positions in it: nodes carry offsets, lines and columns are worked out when asked for."""

from bisect import bisect_right
from functools import cached_property
from typing import Final

WIDTH: Final = 120  # characters of a line that are shown, before and after what is meant


class Source:
    """One file. Lines and columns count from 1; a column counts characters, a tab is one."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        at = self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return starts

    def line(self, offset: int) -> int:
        return bisect_right(self._starts, offset)

    def column(self, offset: int) -> int:
        return offset - self._starts[self.line(offset) - 1] + 1

    def excerpt(self, start: int, end: int) -> list[str]:
        """The line of `start`, of a long one the part around it, and below it carets under what is meant."""
        begin = max(self._starts[self.line(start) - 1], start - WIDTH)
        stop = self.text.find("\n", begin)
        line = self.text[begin : min(stop if stop >= 0 else len(self.text), begin + 2 * WIDTH)].rstrip("\r")
        width = max(1, min(end, begin + len(line)) - start)
        margin = "".join("\t" if char == "\t" else " " for char in line[: start - begin])
        return [f"  {line}", f"  {margin}{'^' * width}"]
