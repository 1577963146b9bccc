"""Blocks while they are generated: how each is left, and what leaves more than one."""

from __future__ import annotations

from typing import Final

DEEPEST: Final = 16  # nested blocks in one Python function; CPython refuses the twenty-first


class Unreachable(Exception):
    """The rest of the block can never run."""


class Frame:
    """A block that is being generated. `used`: something leaves it early; `flags`: what leaves more than it."""

    __slots__ = ("counted", "fail", "flags", "label", "leave", "looped", "tail", "used")

    def __init__(self, label: str, fail: str, leave: str, tail: bool, looped: bool = False) -> None:
        self.label = label
        self.fail = fail  # how its end is reached
        self.leave = leave  # how it is left for good
        self.tail = tail  # nothing follows it in the block around it
        self.looped = looped
        self.counted = True  # it is a block of the plan
        self.used = False
        self.flags: set[Frame] = set()


def only_guard(body: list[tuple[int, str]], flag: str, depth: int) -> tuple[list[tuple[int, str]], str] | None:
    """The condition of a negated block that ends with one and has no other way to fail, and the lines before it.

    No condition means that the block's end is always reached.
    """
    if body and body[-1] == (depth, f"{flag} = True") and not any(text in ("break", "continue") for _, text in body):
        return body[:-1], ""
    if len(body) < 5 or body[0] != (depth, "while True:") or body[-1] != (depth + 1, "break"):
        return None
    condition, leave, end = body[-4], body[-3], body[-2]
    if end != (depth + 1, f"{flag} = True") or leave != (depth + 2, "break") or condition[0] != depth + 1:
        return None
    between = body[1:-4]
    if any(text in ("break", "continue") or text.endswith(":") for _, text in between):
        return None
    return [(level - 1, text) for level, text in between], f"not ({condition[1][3:-1]})"
