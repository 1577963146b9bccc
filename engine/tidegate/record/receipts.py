"""Receipts (C2SP tlog-proof): a file that proves, to whoever knows the log's public key, that an entry is in the log.

    c2sp.org/tlog-proof@v1
    extra aGVsbG8=                                         the entry, in base64
    index 5                                                where it is
    z/oneHashALine...                                      the proof of inclusion, from the leaf's neighbour upwards
                                                           an empty line
    example.com/ledger                                     the checkpoint, as it was published
    ...

Nothing of the log is needed to check one. Whoever keeps receipts can also hold them against the log later: `verify`
finds what no longer agrees with them.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.record.checkpoints import Checkpoint, parse_checkpoint
from tidegate.record.merkle import HASH_SIZE, TILE_WIDTH, ProofError, inclusion_proof, leaf_hash, verify_inclusion
from tidegate.record.notes import NOTE_MAX, Signature, Verifier, decode_base64, open_checkpoint, split_note
from tidegate.record.tiles import ENTRY_MAX, read_bundle, tile_nodes, tile_width

HEADER: Final = "c2sp.org/tlog-proof@v1"
PROOF_MAX: Final = 63
RECEIPT_MAX: Final = NOTE_MAX + 4 * ENTRY_MAX

_RECEIPT = re.compile(
    r"c2sp\.org/tlog-proof@v1\n(?:extra ([^\n]*)\n)?index (0|[1-9][0-9]{0,18})\n((?:[^\n]+\n){0,63})\n(.*)", re.S
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A proof as its text has it, nothing of it checked."""

    index: int
    proof: tuple[bytes, ...]
    note: str
    extra: bytes | None = None

    @property
    def text(self) -> str:
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(node).decode() for node in self.proof]
        return "\n".join(lines) + "\n\n" + self.note


@dataclass(frozen=True, slots=True)
class Proved:
    """What a receipt proves: this entry is at this index of the log that the checkpoint is of; who signed that."""

    index: int
    entry: bytes
    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]


def parse_receipt(text: str | bytes) -> Receipt:
    """The proof that a text is. There is one text for each proof."""
    if len(text) > RECEIPT_MAX:
        raise ProofError(f"a receipt is longer than {RECEIPT_MAX} bytes")
    try:
        whole = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise ProofError("a receipt is not UTF-8") from error
    if not (found := _RECEIPT.fullmatch(whole)):
        raise ProofError(f"a receipt is `{HEADER}`, lines for extra, index and hashes, an empty line and a checkpoint")
    extra, index, hashes, note = found.groups()
    proof = tuple(decode_base64(line) for line in hashes.split("\n")[:-1])
    if any(len(node) != HASH_SIZE for node in proof):
        raise ProofError(f"a hash of a receipt is not the base64 of {HASH_SIZE} bytes")
    receipt = Receipt(int(index), proof, note, None if extra is None else decode_base64(extra))
    if receipt.text != whole:
        raise ProofError("the extra data of a receipt is not base64")
    return receipt


def check_receipt(text: str | bytes, verifiers: Iterable[Verifier], entry: bytes | None = None) -> Proved:
    """What the receipt proves, if it does; else raises `ProofError`, `NoteError` or `CheckpointError`.

    The entry is the one given, else the one that the receipt brings along.
    """
    receipt = parse_receipt(text)
    checkpoint, note = open_checkpoint(receipt.note, verifiers)
    entry = receipt.extra if entry is None else entry
    if entry is None:
        raise ProofError("the receipt does not bring its entry along, and none was given")
    verify_inclusion(receipt.index, checkpoint.size, leaf_hash(entry), receipt.proof, checkpoint.root)
    return Proved(receipt.index, entry, checkpoint, note.signatures)


def make_receipt(folder: Path, index: int, note: str | None = None) -> str:
    """The receipt for an entry, from a log's files alone, under its published checkpoint or the one given.

    Files that do not prove the entry raise; a receipt that would be refused is not handed out.
    """
    if note is None:
        try:
            note = (folder / "checkpoint").read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ProofError(f"the checkpoint of `{folder}` cannot be read: {error}") from error
    checkpoint = parse_checkpoint(split_note(note)[0])
    size = checkpoint.size
    proof = inclusion_proof(tile_nodes(folder, size), index, size)
    bundle, position = divmod(index, TILE_WIDTH)
    entry = read_bundle(folder, bundle, tile_width("entries", bundle, size))[position]
    verify_inclusion(index, size, leaf_hash(entry), proof, checkpoint.root)
    return Receipt(index, tuple(proof), note, entry).text
