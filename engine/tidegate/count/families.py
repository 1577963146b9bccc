"""Which family a model's name belongs to, whatever providers put before and after the name."""

import re
from functools import lru_cache
from typing import Final

_CLAUDE: Final = re.compile(r"claude-(?:[a-z]+-)?(\d)(?:[-.](\d{1,2})(?!\d))?")
_NEWER: Final = (4, 7)


def family(names: str) -> re.Pattern[str]:
    """Fits (by `match`) the names that begin so after a path and `ft:`, and go on with no letter, digit or decimal."""
    return re.compile(rf"(?:.*/)?(?:ft:)?(?:{names})(?![\w.])")


def is_claude(model: str) -> bool:
    return "claude" in model


@lru_cache(maxsize=1024)
def is_newer_claude(model: str) -> bool:
    """Whether it is of Claude's later generation (4.7 and up), which has another vocabulary and sees larger images. A
    Claude whose name does not say is taken for one: it is the more expensive kind.
    """
    found = _CLAUDE.search(model)
    return is_claude(model) and (found is None or (int(found[1]), int(found[2] or 0)) >= _NEWER)
