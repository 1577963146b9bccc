from typing import Literal

def whole_entries(
    data: bytes, at: int, seq: int, key: int, begins: int, last: int
) -> tuple[list[bytes], int, Literal["more", "invalid", "seal"]]:
    """The records that stand whole and unharmed from a byte on, the first of them being `seq`, up to `last`; the byte
    after the last of them, and what is there: the end of what was given, a seal (then its byte), or something else.
    `begins` is the byte of a segment that the data begins with, where a block may end in zeros; -1 for a ring's.
    """
