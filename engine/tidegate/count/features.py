"""What the ratio between two vocabularies depends on most: the script of a text, and how long its tokens are."""

from typing import Final, Literal

from msgspec import Struct

Side = Literal["prompt", "output"]

FOREIGN: Final = 0.2  # of the bytes; more are not ASCII in any script but the Latin one
DENSE: Final = 3.7  # characters of a token; code, numbers and rare scripts have fewer
BUCKETS: Final = 4


class Features(Struct, frozen=True):
    """Which of four kinds of text it mostly is, and whether it was read or written by the model."""

    side: Side
    bucket: int = 0


def features(side: Side, tokens: int, characters: int, size: int, foreign: int) -> Features:
    """Of a text with so many tokens, as they were counted here, characters, bytes, and bytes that are not ASCII."""
    return Features(side, bucket_of(tokens, characters, size, foreign))


def bucket_of(tokens: int, characters: int, size: int, foreign: int) -> int:
    """Which kind of text it is."""
    share, dense = FOREIGN, DENSE
    return 2 * (foreign > share * size) + (characters < dense * tokens)
