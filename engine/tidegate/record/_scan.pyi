from typing import Literal

def whole_entries(
    data: bytes, at: int, seq: int, key: int
) -> tuple[list[bytes], int, Literal["more", "invalid", "seal"]]:
    """The records that stand whole and unharmed from a byte on, the first of them being `seq`; the byte after the last
    of them, and what is there: the end of what was given, a seal, or something else.
    """
