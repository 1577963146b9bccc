"""Edits of a body at known places: every byte outside them stays as it came."""

from collections.abc import Sequence

Edit = tuple[int, int, bytes]  # (start, end, new): `new` in place of `body[start:end]`


def splice(body: bytes, edits: Sequence[Edit]) -> bytes:
    """The body with every edit made; insertions at one point keep their order."""
    pieces: list[bytes] = []
    done = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        if not done <= start <= end <= len(body):
            raise ValueError(f"an edit of bytes {start} to {end} overlaps another or leaves the body")
        pieces += body[done:start], new
        done = end
    pieces.append(body[done:])
    return b"".join(pieces)
