"""Whom a record is about, for people: pseudonyms as the names that they stand for, where this machine knows those.

Names are those of the keys in the data directory, and the one of anonymous callers. Whoever was erased has none any
more. Nothing is written, and nobody is asked to make a key.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidegate.errors import KeysError
from tidegate.identify.caller import TENANT
from tidegate.identify.keyfile import read
from tidegate.record.places import Places
from tidegate.record.subject_store import SubjectStoreError, lookup
from tidegate.record.subjects import Kind, Subject, identity

AGAIN: Final = 1.0  # seconds between looks for names that were not known
SHOWN: Final = 8  # digits of a pseudonym that has no name

Whose = tuple[str, Kind, str]


class Names:
    """The names of tenants and keys by their pseudonyms, as far as they are known."""

    def __init__(self, places: Places) -> None:
        self._store = places.subjects
        self._data = places.folder.parent
        self._known: dict[bytes, str] = {}
        self._looked = float("-inf")

    def of(self, pseudonym: bytes) -> str | None:
        """The name; None where there is none, or nobody."""
        if pseudonym and pseudonym not in self._known and time.monotonic() - self._looked > AGAIN:
            self._look()
        return self._known.get(pseudonym)

    def shown(self, pseudonym: bytes) -> str:
        """The name, or the beginning of the pseudonym; a dash where there is nobody."""
        return self.of(pseudonym) or pseudonym.hex()[:SHOWN] or "-"

    def pseudonym(self, tenant: str) -> bytes | None:
        """That of a tenant; None where the ledger has said nothing of it, or it was erased."""
        whose = identity(tenant, "tenant")
        [key] = lookup(self._store, [whose])
        return None if key is None else Subject(whose, key).pseudonym

    def _look(self) -> None:
        self._looked = time.monotonic()
        named = list(_named(self._data))
        identities = [identity(*whose) for whose in named]
        try:
            keys = lookup(self._store, identities)
        except SubjectStoreError:
            return  # they are shown as pseudonyms
        self._known = {
            Subject(each, key).pseudonym: whose[2] or whose[0]
            for whose, each, key in zip(named, identities, keys, strict=True)
            if key is not None
        }


def _named(data: Path) -> Iterator[Whose]:
    try:
        keys = read(data, 0).keys
    except KeysError:
        keys = {}
    for tenant in sorted({TENANT, *(key.made.tenant for key in keys.values())}):
        yield tenant, "tenant", ""
    for key in keys.values():
        yield key.made.tenant, "key", key.made.id
