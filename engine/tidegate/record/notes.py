"""Signed notes (C2SP signed-note): a text and the signatures of named keys, readable by people and machines.

    example.com/ledger                                     the text, whose last line ends in a newline
    700
    qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=
                                                           an empty line
    — example.com/ledger AAECA...                          one line for each signature: name, key id and signature

A key is written `name+id+base64`; the id is the beginning of a hash over the name, the algorithm and the key.
Signatures of unknown keys are kept and believed in nothing; a wrong one of a known key refuses the whole note.
Three algorithms are known: Ed25519 over the text (1), and the cosignatures of C2SP tlog-cosignature, which say at what
time a checkpoint was seen, with Ed25519 (4) and with ML-DSA-44 (6).
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from tidegate.errors import TidegateError
from tidegate.record.checkpoints import Checkpoint, CheckpointError, parse_checkpoint

ED25519: Final = 1
COSIGNATURE: Final = 4
ML_DSA_44: Final = 6
KEY_SIZES: Final = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
SIGNATURE_SIZES: Final = {ED25519: 64, COSIGNATURE: 8 + 64, ML_DSA_44: 8 + 2420}

SIGNATURES_MAX: Final = 100  # what Go's note package reads; the specification asks for 16
NOTE_MAX: Final = 1 << 20
NAME_MAX: Final = 255  # bytes; what the message of an ML-DSA cosignature has room for
LATEST: Final = 2**63 - 1  # the last second that a cosignature may name

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteError(TidegateError):
    """A text is not a note, a key is not a key, or nobody known has signed."""

    code = "note_refused"
    status = 422


class Signature(NamedTuple):
    """A signature as its line in the note has it; `raw` begins with the id of the key."""

    name: str
    raw: bytes

    @property
    def key_id(self) -> bytes:
        return self.raw[:4]

    @property
    def line(self) -> str:
        return f"— {self.name} {base64.b64encode(self.raw).decode()}\n"


class Note(NamedTuple):
    """An opened note: what was signed, the signatures that hold, and those of keys that are not known."""

    text: str
    signatures: tuple[Signature, ...]
    unknown: tuple[Signature, ...]


class Signer(Protocol):
    """Something that signs: what `keys` keeps, or a machine for it elsewhere."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> bytes: ...

    @property
    def verifier(self) -> "Verifier": ...

    def sign(self, text: str, seconds: int) -> bytes:
        """The signature of a note's text, made at this time."""
        ...


class Verifier:
    """A public key and its name, as `name+id+base64`."""

    __slots__ = ("algorithm", "key", "key_id", "name")

    def __init__(self, name: str, algorithm: int, key: bytes) -> None:
        check_name(name)
        if len(key) != KEY_SIZES.get(algorithm):
            raise NoteError(f"the key of `{name}` has an unknown algorithm or a wrong length")
        self.name = name
        self.algorithm = algorithm
        self.key = key
        self.key_id = key_id(name, algorithm, key)

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """The key that was written as `name+id+base64`; surrounding white space is not part of it."""
        name, _, rest = text.strip().partition("+")
        identity, _, encoded = rest.partition("+")
        if not (re.fullmatch(r"[0-9a-f]{8}", identity) and (decoded := decode_base64(encoded))):
            raise NoteError("a verifier key is written `name+8 hex digits+base64`")
        verifier = cls(name, decoded[0], decoded[1:])
        if verifier.key_id.hex() != identity:
            raise NoteError(f"the id of the key of `{name}` is not that of its name and key")
        return verifier

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes([self.algorithm]) + self.key).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def __repr__(self) -> str:
        return f"Verifier({self.name}+{self.key_id.hex()})"

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether this key made the signature (without its key id) of a note with this text."""
        if len(signature) != SIGNATURE_SIZES[self.algorithm]:
            return False
        seconds = 0
        if self.algorithm != ED25519:
            seconds, signature = int.from_bytes(signature[:8], "big"), signature[8:]
        try:
            message = signed_message(self.name, self.algorithm, text, seconds)
            if self.algorithm == ML_DSA_44:
                MLDSA44PublicKey.from_public_bytes(self.key).verify(signature, message)
            else:
                Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, NoteError, ValueError):  # a ValueError: the bytes are no key
            return False
        return True


def check_name(name: str) -> None:
    """Names are not empty and have no space, plus or control character; what looks like a space is one."""
    if not name or "+" in name or any(character.isspace() or character < " " for character in name):
        raise NoteError(f"`{name}` is no name for a key: it is empty, or has a space, a plus or a control character")
    if len(name.encode()) > NAME_MAX:
        raise NoteError(f"the name of a key is longer than {NAME_MAX} bytes")


def key_id(name: str, algorithm: int, key: bytes) -> bytes:
    """The four bytes that tell a signature's key, name and algorithm."""
    return sha256(name.encode() + b"\n" + bytes([algorithm]) + key).digest()[:4]


def signed_message(name: str, algorithm: int, text: str, seconds: int) -> bytes:
    """What the key `name` signs for a note: its text, or what a cosignature says of the checkpoint that it is."""
    if algorithm == ED25519:
        return text.encode()
    if not 0 <= seconds <= LATEST:
        raise NoteError("a cosignature names no time that there is")
    try:
        checkpoint = parse_checkpoint(text)
    except CheckpointError as error:
        raise NoteError(f"only checkpoints are cosigned: {error.message}") from error
    if algorithm == COSIGNATURE:
        return f"cosignature/v1\ntime {seconds}\n{text}".encode()
    return subtree_message(name, seconds, checkpoint.origin, 0, checkpoint.size, checkpoint.root)


def subtree_message(name: str, seconds: int, origin: str, start: int, end: int, root: bytes) -> bytes:
    """What an ML-DSA cosignature signs of the entries from `start` to `end`; of a checkpoint, from 0."""
    numbers = start.to_bytes(8, "big") + end.to_bytes(8, "big")
    return b"".join([b"subtree/v1\n\0", _opaque(name), seconds.to_bytes(8, "big"), _opaque(origin), numbers, root])


def _opaque(text: str) -> bytes:
    encoded = text.encode()
    if not 0 < len(encoded) <= NAME_MAX:
        raise NoteError(f"a name or origin is longer than the {NAME_MAX} bytes that an ML-DSA cosignature can sign")
    return bytes([len(encoded)]) + encoded


def decode_base64(text: str) -> bytes:
    """What base64 with padding says; nothing where another text would say the same."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return decoded if base64.b64encode(decoded).decode() == text else b""


def open_note(note: bytes | str, verifiers: Iterable[Verifier]) -> Note:
    """The note, if at least one of the keys has signed it and none has a signature in it that is wrong; else raises."""
    text, signatures = split_note(note)
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) is not verifier:
            raise NoteError(f"two keys given are both `{verifier.name}+{verifier.key_id.hex()}`")
    good: dict[tuple[str, bytes], Signature] = {}
    unknown = []
    for signature in signatures:
        identity = (signature.name, signature.key_id)
        if not (signer := known.get(identity)):
            unknown.append(signature)
        elif not signer.verify(text, signature.raw[4:]):
            raise NoteError(f"the signature of `{signature.name}+{signature.key_id.hex()}` is wrong")
        else:
            good.setdefault(identity, signature)
    if not good:
        raise NoteError("no known key has signed the note")
    return Note(text, tuple(good.values()), tuple(unknown))


def open_checkpoint(note: bytes | str, verifiers: Iterable[Verifier]) -> tuple[Checkpoint, Note]:
    """The checkpoint that a note is, if a known key of its log, one with the name of its origin, has signed it."""
    opened = open_note(note, verifiers)
    checkpoint = parse_checkpoint(opened.text)
    if not any(signature.name == checkpoint.origin for signature in opened.signatures):
        raise NoteError(f"no known key of `{checkpoint.origin}` has signed its checkpoint")
    return checkpoint, opened


def split_note(note: bytes | str) -> tuple[str, list[Signature]]:
    """The text and the signatures of a note, none of them checked, each once."""
    if len(note) > NOTE_MAX:
        raise NoteError(f"a note is longer than {NOTE_MAX} bytes")
    try:
        whole = note.decode() if isinstance(note, bytes) else note
        whole.encode()
    except UnicodeError as error:
        raise NoteError("a note is not UTF-8") from error
    if _CONTROL.search(whole):
        raise NoteError("a note has control characters")
    text, separator, block = whole.rpartition("\n\n")
    if not separator or not block.endswith("\n"):
        raise NoteError("a note is a text, an empty line, and lines of signatures")
    return text + "\n", parse_signatures(block)


def parse_signatures(block: str) -> list[Signature]:
    """The signatures of a block of lines, each once."""
    lines = block.split("\n")[:-1]
    if len(lines) > SIGNATURES_MAX:
        raise NoteError(f"a note has more than {SIGNATURES_MAX} signatures")
    return list(dict.fromkeys(_parse_signature(line) for line in lines))


def _parse_signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—" or len(raw := decode_base64(encoded)) < 5:
        raise NoteError("a line of a note's signatures is not `— name base64`")
    check_name(name)
    return Signature(name, raw)


def make_note(text: str, signatures: Sequence[Signature]) -> str:
    """The note of a text and signatures."""
    return text + "\n" + "".join([signature.line for signature in signatures])


def add_signatures(note: str, signatures: Iterable[Signature]) -> str:
    """The note with these signatures too; of one key the later one."""
    text, present = split_note(note)
    return make_note(text, list({(one.name, one.key_id): one for one in [*present, *signatures]}.values()))


def sign(text: str, signers: Iterable[Signer], seconds: int) -> str:
    """The note of a text that these have signed at this time."""
    if not text.endswith("\n") or _CONTROL.search(text):
        raise NoteError("the text of a note ends in a newline and has no other control characters")
    signatures = [Signature(signer.name, signer.key_id + signer.sign(text, seconds)) for signer in signers]
    if not signatures:
        raise NoteError("a note is signed by somebody")
    return make_note(text, signatures)
