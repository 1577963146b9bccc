from collections.abc import Sequence

def leaf_hashes(entries: Sequence[bytes]) -> list[bytes]:
    """The hash of each entry of the log."""

def root_hash(hashes: Sequence[bytes]) -> bytes:
    """The root over these neighbours: leaves, or the roots of full subtrees of one size, the last perhaps not full."""
