"""The private keys of a log: made once, kept in files that nobody else may read, added and retired as time goes by.

A folder of keys has two files for each: `<id>.key`, which signs and must stay secret, and `<id>.pub`, which others
verify with and which stays for ever, so that what a retired key signed can still be checked. Every key that is there
signs every checkpoint: to rotate, add a key, hand its public half to those who verify, and retire the old one when they
have it.
"""

import base64
import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from tidegate.errors import TidegateError
from tidegate.record import durable
from tidegate.record.notes import (
    COSIGNATURE,
    ED25519,
    ML_DSA_44,
    NoteError,
    Verifier,
    decode_base64,
    signed_message,
)

ALGORITHMS: Final = (ED25519, ML_DSA_44)  # what everybody can verify, and what no quantum computer will forge
SEED_SIZE: Final = 32
KEY_FILE_MAX: Final = 4096


class KeyFault(TidegateError):
    """A key cannot be made, read or retired."""

    code = "ledger_key"


class PrivateKey:
    """A key that signs. Its seed is in no text that it gives of itself but `secret`."""

    __slots__ = ("_seed", "_sign", "_verifier")

    def __init__(self, name: str, algorithm: int, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise KeyFault(f"the secret of the key `{name}` has a wrong length")
        if algorithm == ML_DSA_44:
            lattice = MLDSA44PrivateKey.from_seed_bytes(seed)
            self._verifier = Verifier(name, algorithm, lattice.public_key().public_bytes_raw())
            self._sign: Callable[[bytes], bytes] = lattice.sign
        else:
            curve = Ed25519PrivateKey.from_private_bytes(seed)
            self._verifier = Verifier(name, algorithm, curve.public_key().public_bytes_raw())
            self._sign = curve.sign
        self._seed = seed

    @classmethod
    def generate(cls, name: str, algorithm: int = ED25519) -> "PrivateKey":
        """A new key from the system's random source."""
        return cls(name, algorithm, os.urandom(SEED_SIZE))

    @classmethod
    def parse(cls, text: str) -> "PrivateKey":
        """The key that was written as `PRIVATE+KEY+name+id+base64`, as Go's note package writes it."""
        found = re.fullmatch(r"PRIVATE\+KEY\+([^+]+)\+([0-9a-f]{8})\+(\S+)", text.strip())
        decoded = decode_base64(found[3]) if found else b""
        if not found or not decoded:
            raise KeyFault("a private key is written `PRIVATE+KEY+name+8 hex digits+base64`")
        try:
            key = cls(found[1], decoded[0], decoded[1:])
        except NoteError as error:
            raise KeyFault(error.message) from error
        if key.key_id.hex() != found[2]:
            raise KeyFault(f"the id of the private key `{found[1]}` is not that of its name and key")
        return key

    @property
    def verifier(self) -> Verifier:
        return self._verifier

    @property
    def name(self) -> str:
        return self.verifier.name

    @property
    def key_id(self) -> bytes:
        return self.verifier.key_id

    @property
    def secret(self) -> str:
        """The key as its file has it."""
        encoded = base64.b64encode(bytes([self.verifier.algorithm]) + self._seed).decode()
        return f"PRIVATE+KEY+{self.name}+{self.key_id.hex()}+{encoded}"

    def sign(self, text: str, seconds: int) -> bytes:
        """The signature of a note's text; one that says when begins with the time."""
        algorithm = self.verifier.algorithm
        signature = self._sign(signed_message(self.name, algorithm, text, seconds))
        return signature if algorithm == ED25519 else seconds.to_bytes(8, "big") + signature

    def __repr__(self) -> str:
        return f"PrivateKey({self.name}+{self.key_id.hex()})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")


def generate(folder: Path, name: str, algorithms: Sequence[int] = ALGORITHMS) -> list[PrivateKey]:
    """Makes a key for each algorithm and puts both its files into the folder; no file is ever written over."""
    made = [PrivateKey.generate(name, algorithm) for algorithm in algorithms]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for key in made:
        stem = key.key_id.hex()
        try:
            durable.create(folder / f"{stem}.pub", f"{key.verifier}\n".encode(), 0o644)
            durable.create(folder / f"{stem}.key", f"{key.secret}\n".encode(), 0o600)
        except FileExistsError as error:
            raise KeyFault(f"`{error.filename}` exists, and keys are not written over") from error
        except OSError as error:
            raise KeyFault(f"the key `{stem}` cannot be kept in `{folder}`: {error.strerror}") from error
    return made


def load(folder: Path) -> list[PrivateKey]:
    """The keys that sign, those with the oldest files first. A file that others may read is refused."""
    files = sorted(folder.glob("*.key"), key=lambda file: (file.stat().st_mtime_ns, file.name))
    if not files:
        raise KeyFault(f"`{folder}` has no private key")
    return [_load(file) for file in files]


def _load(file: Path) -> PrivateKey:
    if mode := stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise KeyFault(f"`{file}` may be read by others (mode bits {mode:03o}); only its owner may: chmod 600")
    with file.open("rb") as opened:
        return PrivateKey.parse(opened.read(KEY_FILE_MAX).decode("ascii", "replace"))


def public_keys(source: Path) -> list[Verifier]:
    """The public keys of a folder, or of a file with one a line; lines that are empty or begin with # are no keys."""
    files = sorted(source.glob("*.pub")) if source.is_dir() else [source]
    try:
        lines = [line for file in files for line in file.read_text().splitlines()]
    except UnicodeDecodeError:
        raise KeyFault(f"`{source}` cannot be read as public keys: it is not text") from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise KeyFault(f"`{source}` cannot be read as public keys: {reason}") from None
    try:
        found = [Verifier.parse(line) for line in lines if line.strip() and not line.startswith("#")]
    except NoteError as error:
        raise KeyFault(f"`{source}` cannot be read as public keys: {error.message}") from None
    if not found:
        raise KeyFault(f"`{source}` has no public key")
    return found


def retire(folder: Path, key_id: str) -> None:
    """Ends a key's signing: its secret is deleted, its public half stays. The last Ed25519 key of a log is kept.

    What is deleted cannot sign again; that no other copy exists is for whoever keeps the folder to see to.
    """
    keys = load(folder)
    ending = [key for key in keys if key.key_id.hex() == key_id]
    if not ending:
        raise KeyFault(f"`{folder}` has no private key `{key_id}`")
    if not any(key.verifier.algorithm == ED25519 for key in keys if key not in ending):
        raise KeyFault(f"`{key_id}` is the last Ed25519 key; add another before it is retired")
    durable.remove(folder / f"{key_id}.key")


def witness_key(name: str) -> PrivateKey:
    """A new key that cosigns checkpoints, as a witness does."""
    return PrivateKey.generate(name, COSIGNATURE)
