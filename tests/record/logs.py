"""Logs for tests, the same at every run, and the ways in which somebody might change one."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tidegate.record.keys import PrivateKey
from tidegate.record.log import Log
from tidegate.record.notes import COSIGNATURE, ED25519, ML_DSA_44, Verifier
from tidegate.record.store import CheckpointStore

ORIGIN = "example.com/ledger"
KEY = PrivateKey(ORIGIN, ED25519, bytes(range(32)))
LATTICE_KEY = PrivateKey(ORIGIN, ML_DSA_44, bytes(range(32, 64)))
WITNESS_KEY = PrivateKey("witness.example/w", COSIGNATURE, bytes(range(64, 96)))
NOW = 1_800_000_000


def entry(index: int) -> bytes:
    """Entries differ in length: some are empty, some longer than 256 bytes, so that both bytes of a length count."""
    return b"" if index % 97 == 13 else b"entry %d " % index * (1 + index % 53)


def entries(start: int, end: int) -> list[bytes]:
    return [entry(index) for index in range(start, end)]


class Place(NamedTuple):
    """Where a log and its store are."""

    log: Path
    store: Path

    def open(self, signers: Iterable[PrivateKey] = (KEY,)) -> Log:
        return Log(self.log, ORIGIN, list(signers), CheckpointStore(self.store))

    def copy(self, folder: Path) -> "Place":
        there = Place(folder / "log", folder / "store")
        shutil.copytree(self.log, there.log)
        shutil.copytree(self.store, there.store)
        return there


def make(folder: Path, sizes: Iterable[int], signers: Iterable[PrivateKey] = (KEY,)) -> Place:
    """A log with a checkpoint at each of these sizes."""
    place = Place(folder / "log", folder / "store")
    with Log.create(place.log, ORIGIN, list(signers), CheckpointStore(place.store), NOW) as log:
        for size in sizes:
            log.append(entries(log.size, size))
            log.checkpoint(NOW + size)
    return place


def public(signers: Iterable[PrivateKey] = (KEY,)) -> list[Verifier]:
    return [signer.verifier for signer in signers]
