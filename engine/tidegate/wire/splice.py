"""Edits of a body at known places: every byte outside them stays as it came."""

from collections.abc import Sequence


def splice(body: bytes, edits: Sequence[tuple[int, int, bytes]]) -> bytes:
    """The body with each `(start, end, new)` put in place of `body[start:end]`; insertions at one point keep order."""
    pieces: list[bytes] = []
    done = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        if not done <= start <= end <= len(body):
            raise ValueError(f"an edit of bytes {start} to {end} overlaps another or leaves the body")
        pieces += body[done:start], new
        done = end
    pieces.append(body[done:])
    return b"".join(pieces)
