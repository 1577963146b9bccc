"""The Merkle tree of RFC 6962: its hashes, the edge that grows, the proofs and how they are checked.

A leaf and an inner node are hashed with different first bytes, so that nobody can pass one off as the other. A tree of
n leaves splits at the largest power of two below n; a subtree of 2^level leaves never changes once it is full, so that
a tree is described by its full subtrees alone: node (level, index) covers the leaves index * 2^level and following.

Writer and verifier share this module and nothing else but formats. The checks raise `ProofError`, so that no caller can
forget to look at an answer.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from tidegate.errors import TidegateError
from tidegate.record._hashes import root_hash

HASH_SIZE: Final = 32
TILE_WIDTH: Final = 256
EMPTY_ROOT: Final = sha256().digest()

Nodes = Callable[[int, int], bytes]  # the hash of the full subtree (level, index)


class ProofError(TidegateError):
    """A proof does not prove what it is said to prove."""

    code = "proof_refused"
    status = 422


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry of the log."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Edge:
    """The growing right edge of a tree: at each level of tiles, the hashes of the tile that is not full yet."""

    __slots__ = ("levels", "size")

    def __init__(self, size: int = 0, levels: Sequence[Sequence[bytes]] = ()) -> None:
        self.size = size
        self.levels: list[list[bytes]] = [list(level) for level in levels] or [[]]

    @property
    def room(self) -> int:
        """How many leaves fill the tile of leaves."""
        return TILE_WIDTH - len(self.levels[0])

    def extend(self, leaves: Sequence[bytes]) -> list[tuple[int, int, list[bytes]]]:
        """Takes up to `room` hashes of leaves; gives the tiles that they fill: their levels, indexes and hashes."""
        if len(leaves) > self.room:
            raise ValueError("more leaves than the tile has room for")
        self.size += len(leaves)
        self.levels[0].extend(leaves)
        filled = []
        level = 0
        while len(full := self.levels[level]) == TILE_WIDTH:
            filled.append((level, (self.size >> 8 * (level + 1)) - 1, full))
            self.levels[level] = []
            level += 1
            if level == len(self.levels):
                self.levels.append([])
            self.levels[level].append(root_hash(full))
        return filled

    def root(self, leaves: Sequence[bytes] = ()) -> bytes:
        """The root of the tree; with `leaves`, of the tree that they would make, if there is room for them."""
        rest: list[bytes] = []  # the root of what is right of the level's full subtrees
        for level, hashes in enumerate(self.levels):
            row = [*hashes, *(leaves if level == 0 else rest)]
            if row:
                rest = [root_hash(row)]
        return rest[0] if rest else EMPTY_ROOT


# making proofs


def _split(leaves: int) -> int:
    """The largest power of two below `leaves`."""
    return 1 << (leaves - 1).bit_length() - 1


def range_root(nodes: Nodes, start: int, end: int) -> bytes:
    """The root over the leaves from `start` to `end`, a subtree of the tree that ends there."""
    leaves = end - start
    if leaves & (leaves - 1) == 0:
        level = leaves.bit_length() - 1
        return nodes(level, start >> level)
    middle = start + _split(leaves)
    return node_hash(range_root(nodes, start, middle), range_root(nodes, middle, end))


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """The hashes that lead from the leaf at `index` to the root of the tree of `size` leaves."""
    if not 0 <= index < size:
        raise ProofError(f"entry {index} is not in a tree of {size}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(range_root(nodes, middle, end))
            end = middle
        else:
            proof.append(range_root(nodes, start, middle))
            start = middle
    return proof[::-1]


def consistency_proof(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """The hashes that show the tree of `old` leaves to be the beginning of the tree of `new`."""
    if not 0 < old <= new:
        raise ProofError(f"there is no proof from a tree of {old} to one of {new}")
    proof: list[bytes] = []
    start, end, whole = 0, new, True  # whole: the subtree that ends at `old` is the old tree itself
    while old < end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(range_root(nodes, middle, end))
            end = middle
        else:
            proof.append(range_root(nodes, start, middle))
            start, whole = middle, False
    if not whole:
        proof.append(range_root(nodes, start, end))
    return proof[::-1]


# checking proofs


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Returns if the leaf with the hash `leaf` is at `index` in the tree of `size` leaves with this root; else raises.

    The number of hashes a proof has is fixed by `index` and `size`: one that is longer or shorter is refused unread.
    """
    if not 0 <= index < size:
        raise ProofError(f"entry {index} is not in a tree of {size}")
    inner, border = _shape(index, size)
    _check_sizes([leaf, *proof, root])
    _check_length(proof, inner + border)
    if _climb(leaf, proof, index, inner) != root:
        raise ProofError(f"the proof of entry {index} does not lead to the root of the tree of {size}")


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Returns if the tree of `old` leaves with `old_root` is the beginning of the other one; else raises.

    From the empty tree every tree follows, so that a proof would say nothing: it is refused, unless both are empty.
    """
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {old} does not grow into one of {new}")
    if old == new:
        _check_length(proof, 0)
        if old_root != new_root or (new == 0 and new_root != EMPTY_ROOT):
            raise ProofError(f"two trees of {new} have different roots")
        return
    if old == 0:
        raise ProofError("nothing can be proved from the empty tree")
    _check_sizes([old_root, *proof, new_root])
    inner, border = _shape(old - 1, new)
    full = (old & -old).bit_length() - 1  # levels of the last full subtree of the old tree, where the paths begin
    inner -= full
    whole = old == 1 << full  # then that subtree is the old tree, and its root is known
    _check_length(proof, inner + border + (not whole))
    seed, *path = (old_root, *proof) if whole else proof
    index = (old - 1) >> full
    before = seed
    for height, sibling in enumerate(path):
        if height >= inner or index >> height & 1:
            before = node_hash(sibling, before)
    if before != old_root:
        raise ProofError(f"the proof does not lead to the root of the tree of {old}")
    if _climb(seed, path, index, inner) != new_root:
        raise ProofError(f"the proof does not lead to the root of the tree of {new}")


def _shape(index: int, size: int) -> tuple[int, int]:
    """How many hashes an inclusion proof has below and above where the paths of the leaf and of the last one meet."""
    inner = (index ^ size - 1).bit_length()
    return inner, (index >> inner).bit_count()


def _climb(seed: bytes, path: Sequence[bytes], index: int, inner: int) -> bytes:
    """The root that a path leads to; above `inner` every sibling is on the left."""
    for height, sibling in enumerate(path):
        if height >= inner or index >> height & 1:
            seed = node_hash(sibling, seed)
        else:
            seed = node_hash(seed, sibling)
    return seed


def _check_length(proof: Sequence[bytes], expected: int) -> None:
    if len(proof) != expected:
        raise ProofError(f"the proof has {len(proof)} hashes instead of {expected}")


def _check_sizes(hashes: Sequence[bytes]) -> None:
    for given in hashes:
        if len(given) != HASH_SIZE:
            raise ProofError(f"a hash of {len(given)} bytes is not one of {HASH_SIZE}")
