"""The tree of RFC 6962: roots against the RFC's definition, published proofs, and mutants of each, all refused."""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.record._hashes import leaf_hashes, root_hash
from tidegate.record.merkle import (
    EMPTY_ROOT,
    Edge,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

# The tree that certificate-transparency's tests have used since 2012: eight leaves, the root after each, five proofs.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    bytes.fromhex(root)
    for root in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
HASHES = {
    name: bytes.fromhex(value)
    for name, value in {
        "leaf 0": "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "leaf 1": "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "leaf 4": "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "leaf 6": "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "leaves 0-1": "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "leaves 2-3": "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "leaves 4-5": "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "leaves 6-7": "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "leaves 0-3": "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "leaves 4-7": "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    }.items()
}
INCLUSIONS = [  # index, size, proof
    (0, 1, []),
    (0, 8, ["leaf 1", "leaves 2-3", "leaves 4-7"]),
    (5, 8, ["leaf 4", "leaves 6-7", "leaves 0-3"]),
    (2, 3, ["leaves 0-1"]),
    (1, 5, ["leaf 0", "leaves 2-3", "leaf 4"]),
]
CONSISTENCIES = [  # old size, new size, proof
    (1, 1, []),
    (1, 8, ["leaf 1", "leaves 2-3", "leaves 4-7"]),
    (6, 8, ["leaves 4-5", "leaves 6-7", "leaves 0-3"]),
    (2, 5, ["leaves 2-3", "leaf 4"]),
    (6, 7, ["leaves 4-5", "leaf 6", "leaves 0-3"]),
]
SOME = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")


def definition(leaves: Sequence[bytes]) -> bytes:
    """The root as RFC 6962, section 2.1, defines it."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + definition(leaves[:split]) + definition(leaves[split:])).digest()


def entries(size: int) -> list[bytes]:
    return [b"entry %d" % index for index in range(size)]


class Tree:
    """All hashes of the full subtrees over some entries."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.rows = [[leaf_hash(leaf) for leaf in leaves]]
        while len(row := self.rows[-1]) > 1:
            self.rows.append([node_hash(*row[at : at + 2]) for at in range(0, len(row) - 1, 2)])

    def node(self, level: int, index: int) -> bytes:
        return self.rows[level][index]


def grown(size: int) -> Edge:
    edge = Edge()
    leaves = [leaf_hash(entry) for entry in entries(size)]
    while leaves:
        taken = min(edge.room, len(leaves))
        edge.extend(leaves[:taken])
        leaves = leaves[taken:]
    return edge


@pytest.mark.parametrize("size", [*range(1, 20), 255, 256, 257, 511, 512, 513, 700, 65_535, 65_536, 65_537, 70_000])
def test_roots_are_those_of_the_definition(size: int) -> None:
    expected = definition(entries(size))
    assert grown(size).root() == expected
    assert root_hash([leaf_hash(entry) for entry in entries(size)]) == expected


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert Edge().root() == root_hash([]) == EMPTY_ROOT == sha256().digest()


def test_published_roots() -> None:
    assert [root_hash([leaf_hash(leaf) for leaf in LEAVES[: size + 1]]) for size in range(8)] == ROOTS


def test_the_edge_foretells_the_root_with_more_leaves() -> None:
    edge = grown(300)
    assert edge.root([leaf_hash(entry) for entry in entries(520)[300:512]]) == definition(entries(512))
    assert edge.root() == definition(entries(300)), "foretelling changes nothing"


def test_the_edge_gives_each_tile_when_it_is_full_and_takes_no_more_than_fills_it() -> None:
    edge = grown(65_535)
    leaf = leaf_hash(b"the last")
    filled = edge.extend([leaf])
    assert [(level, index, len(hashes)) for level, index, hashes in filled] == [(0, 255, 256), (1, 0, 256)]
    assert filled[0][2][-1] == leaf
    assert filled[1][2][-1] == root_hash(filled[0][2])
    assert edge.levels == [[], [], [root_hash(filled[1][2])]]
    with pytest.raises(ValueError, match="room"):
        edge.extend([leaf] * 257)


def refused(check: Callable[..., None], *proof: object) -> bool:
    try:
        check(*proof)
    except ProofError:
        return True
    return False


def inclusion_mutants(
    index: int, size: int, leaf: bytes, proof: list[bytes], root: bytes
) -> Iterator[tuple[str, int, int, bytes, list[bytes], bytes]]:
    """What is wrong with it, and a proof that must be refused."""
    yield "index - 1", index - 1, size, leaf, proof, root
    yield "index + 1", index + 1, size, leaf, proof, root
    yield "index ^ 2", index ^ 2, size, leaf, proof, root
    yield "index beyond the tree", index + size, size, leaf, proof, root
    yield "size * 2", index, size * 2, leaf, proof, root
    yield "size / 2", index, size // 2, leaf, proof, root
    yield "size 0", index, 0, leaf, proof, root
    yield "wrong leaf", index, size, b"WrongLeaf", proof, root
    yield "other leaf", index, size, SOME, proof, root
    yield "root of the empty tree", index, size, leaf, proof, EMPTY_ROOT
    yield "other root", index, size, leaf, proof, SOME
    yield "root of no bytes", index, size, leaf, proof, b""
    yield "leaf of no bytes", index, size, b"", proof, root
    yield from (
        (f"{what} {where}", index, size, leaf, [extra, *proof] if where == "in front" else [*proof, extra], root)
        for what, extra in (("nothing", b""), ("root", root), ("leaf", leaf))
        for where in ("in front", "behind")
    )
    if proof:
        yield "one hash less", index, size, leaf, proof[:-1], root
        yield "the first hash less", index, size, leaf, proof[1:], root
        yield "one hash put in", index, size, leaf, [proof[0], SOME, *proof[1:]], root
    for at, given_hash in enumerate(proof):
        flipped = bytes([given_hash[0] ^ 8]) + given_hash[1:]
        yield f"hash {at} changed", index, size, leaf, [*proof[:at], flipped, *proof[at + 1 :]], root
        yield f"hash {at} cut short", index, size, leaf, [*proof[:at], given_hash[:31], *proof[at + 1 :]], root


def consistency_mutants(
    old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes
) -> Iterator[tuple[str, int, int, list[bytes], bytes, bytes]]:
    """What is wrong with it, and a proof that must be refused; for old < new."""
    yield "old - 1", old - 1, new, proof, old_root, new_root
    yield "old + 1", old + 1, new, proof, old_root, new_root
    yield "old ^ 2", old ^ 2, new, proof, old_root, new_root
    yield "new * 2", old, new * 2, proof, old_root, new_root
    yield "new / 2", old, new // 2, proof, old_root, new_root
    yield "old of the wrong size", old, new, proof, b"WrongRoot", new_root
    yield "new of the wrong size", old, new, proof, old_root, b"WrongRoot"
    yield "another old root", old, new, proof, SOME, new_root
    yield "another new root", old, new, proof, old_root, SOME
    yield "roots exchanged", old, new, proof, new_root, old_root
    yield "sizes exchanged", new, old, proof, new_root, old_root
    yield "no proof", old, new, [], old_root, new_root
    yield from (
        (f"{what} {where}", old, new, [extra, *proof] if where == "in front" else [*proof, extra], old_root, new_root)
        for what, extra in (("nothing", b""), ("old root", old_root), ("new root", new_root), ("first", proof[0]))
        for where in ("in front", "behind")
    )
    yield "one hash less", old, new, proof[:-1], old_root, new_root
    for at, given_hash in enumerate(proof):
        flipped = bytes([given_hash[0] ^ 16]) + given_hash[1:]
        yield f"hash {at} changed", old, new, [*proof[:at], flipped, *proof[at + 1 :]], old_root, new_root


@pytest.mark.parametrize(("index", "size", "names"), INCLUSIONS)
def test_published_inclusion_proofs_are_made_and_believed_and_their_mutants_are_not(
    index: int, size: int, names: list[str]
) -> None:
    proof, leaf, root = [HASHES[name] for name in names], leaf_hash(LEAVES[index]), ROOTS[size - 1]
    assert inclusion_proof(Tree(LEAVES).node, index, size) == proof
    verify_inclusion(index, size, leaf, proof, root)
    for what, *mutant in inclusion_mutants(index, size, leaf, proof, root):
        assert refused(verify_inclusion, *mutant), what


@pytest.mark.parametrize(("old", "new", "names"), CONSISTENCIES)
def test_published_consistency_proofs_are_made_and_believed_and_their_mutants_are_not(
    old: int, new: int, names: list[str]
) -> None:
    proof, old_root, new_root = [HASHES[name] for name in names], ROOTS[old - 1], ROOTS[new - 1]
    assert consistency_proof(Tree(LEAVES).node, old, new) == proof
    verify_consistency(old, new, proof, old_root, new_root)
    for what, *mutant in consistency_mutants(old, new, proof, old_root, new_root) if old < new else ():
        assert refused(verify_consistency, *mutant), what


SAME, OTHER = b"don't care 1", b"don't care 2"


@pytest.mark.parametrize(
    ("old", "new", "old_root", "new_root", "proof", "believed", "why"),
    [
        (0, 0, EMPTY_ROOT, EMPTY_ROOT, [], True, "two empty trees"),
        (0, 0, SAME, SAME, [], False, "the empty tree has one root"),
        (0, 0, SAME, OTHER, [], False, "two roots of one size"),
        (0, 0, EMPTY_ROOT, OTHER, [], False, "two roots of one size"),
        (0, 0, EMPTY_ROOT, EMPTY_ROOT, [EMPTY_ROOT], False, "a proof where none is needed"),
        (0, 1, EMPTY_ROOT, OTHER, [], False, "nothing follows from the empty tree"),
        (0, 1, EMPTY_ROOT, EMPTY_ROOT, [EMPTY_ROOT], False, "nothing follows from the empty tree"),
        (1, 1, OTHER, OTHER, [], True, "one tree, whatever its root is"),
        (1, 1, SAME, OTHER, [], False, "two roots of one size"),
        (1, 1, EMPTY_ROOT, EMPTY_ROOT, [EMPTY_ROOT], False, "a proof where none is needed"),
        (1, 0, SAME, OTHER, [], False, "a log that shrinks"),
        (2, 1, SAME, OTHER, [], False, "a log that shrinks"),
        (1, 2, SAME, OTHER, [], False, "no proof"),
        (-1, 2, SAME, OTHER, [], False, "no size"),
    ],
)
def test_trees_that_are_empty_equal_or_shrink(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: list[bytes], believed: bool, why: str
) -> None:
    assert refused(verify_consistency, old, new, proof, old_root, new_root) is not believed, why


TREE = Tree(entries(1100))


@given(st.data())
def test_any_proof_of_inclusion_is_believed_and_no_mutant_of_it(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 1100))
    index = data.draw(st.integers(0, size - 1))
    root = definition(entries(size))
    leaf = leaf_hash(entries(size)[index])
    proof = inclusion_proof(TREE.node, index, size)
    verify_inclusion(index, size, leaf, proof, root)
    wrong = data.draw(st.sampled_from([*inclusion_mutants(index, size, leaf, proof, root)]))
    assert refused(verify_inclusion, *wrong[1:])


@given(st.data())
def test_any_proof_of_consistency_is_believed_and_no_mutant_of_it(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 1100))
    old = data.draw(st.integers(1, new - 1))
    roots = definition(entries(old)), definition(entries(new))
    proof = consistency_proof(TREE.node, old, new)
    verify_consistency(old, new, proof, *roots)
    wrong = data.draw(st.sampled_from([*consistency_mutants(old, new, proof, *roots)]))
    assert refused(verify_consistency, *wrong[1:])


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_no_inclusion_proof_is_made_for_what_is_not_in_the_tree(index: int, size: int) -> None:
    with pytest.raises(ProofError):
        inclusion_proof(TREE.node, index, size)


@pytest.mark.parametrize(("old", "new"), [(0, 4), (5, 4), (-1, 4)])
def test_no_consistency_proof_is_made_where_there_is_none(old: int, new: int) -> None:
    with pytest.raises(ProofError):
        consistency_proof(TREE.node, old, new)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_many_entries_are_hashed_as_one_is(entries: list[bytes]) -> None:
    assert leaf_hashes(entries) == [leaf_hash(entry) for entry in entries]


def test_only_hashes_have_a_root() -> None:
    for wrong in (b"", b"x" * 31, b"x" * 33):
        with pytest.raises(ValueError, match="32 bytes"):
            root_hash([bytes(32), wrong])
