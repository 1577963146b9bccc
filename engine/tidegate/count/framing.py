"""What a model of OpenAI's dialect has around the texts of a prompt."""

from functools import lru_cache
from typing import Final

from tidegate.count.families import family


class Framing:
    """In tokens: around a message, for its name, around a function. `published`: somebody compared plain messages with
    what was billed.
    """

    def __init__(self, message: int, name: int, function: int, published: bool) -> None:
        self.message = message
        self.name = name
        self.function = function
        self.published = published


OLDEST: Final = Framing(4, -1, 10, True)
OLDER: Final = Framing(3, 1, 10, True)
RECENT: Final = Framing(3, 1, 7, True)
ASSUMED: Final = Framing(3, 1, 7, False)
_FRAMINGS: Final = (
    (family(r"gpt-3\.5-turbo-0301|gpt-35-turbo-0301"), OLDEST),
    (family(r"gpt-3\.5|gpt-35|gpt-4"), OLDER),
    (family(r"(?:chatgpt-|gpt-)4o"), RECENT),
)


@lru_cache(maxsize=1024)
def framing(model: str) -> Framing:
    """That of a model by its name; there is one of each kind, so that equals are the same."""
    return next((framing for names, framing in _FRAMINGS if names.match(model)), ASSUMED)
