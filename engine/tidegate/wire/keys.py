"""A virtual key as it travels: in a field of the dialect (`Authorization: Bearer tg_...`) or in `x-tidegate-key`.

    tg_4fJ0cVbQx91Z_m3V...    `tg_`, 12 letters and digits, `_`, 43 letters and digits
    --- the id ----

The id is public: it stands in records, lists and messages. What follows is 43 times one of 62, which is 256 bits. There
is no checksum: a mistyped key is refused like any other wrong one, by the same comparison.
"""

import re
from base64 import b64decode
from typing import Final

PREFIX: Final = b"tg_"
ID: Final = 15  # characters of the id, its prefix among them
LENGTH: Final = ID + 1 + 43
BEARER: Final = len(b"Bearer ")
BASIC: Final = b"basic "
USUAL: Final = b"Bearer " + PREFIX
_ANYWHERE: Final = re.compile(rb"tg_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}").search


def presented(value: bytes) -> bytes | None:
    """The virtual key that a field presents, also a spoilt one; None where it is something else, such as a provider's.

    What is meant as a virtual key must never be taken for a provider's key, which leaves this house: so quotes around
    it, a second word, capital letters or a scheme that hides it make it a wrong key, and not another kind of key.
    """
    if len(value) == len(USUAL) + LENGTH - len(PREFIX) and value.startswith(USUAL):
        return value[BEARER:]
    if value[: len(BASIC)].lower() == BASIC and _meant(_decoded(value[len(BASIC) :])):
        return value
    if PREFIX not in value.lower():
        return None
    return _meant(value)


def _decoded(value: bytes) -> bytes:
    """A name and a password, as two words; nothing where they are none."""
    try:
        return b64decode(value + b"==").replace(b":", b" ")
    except ValueError:
        return b""


def _meant(value: bytes) -> bytes | None:
    words = value.split()
    if _ANYWHERE(value) or any(word[:3].lower() == PREFIX for word in words):
        return words[1] if len(words) == 2 and words[0].lower() == b"bearer" else value
    return None
