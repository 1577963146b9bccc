"""Whom a record is about, without saying so: pseudonyms and commitments under a key that can be destroyed.

A subject is a tenant, a key or a user of one. Each has a random key of its own, and whatever a leaf says of it goes
through that key:

    identity    SHA-256 of the msgpack array [tenant, kind, id]
    pseudonym   HMAC(key, "tidegate.subject" identity), the first 16 bytes; of sessions and parent runs, which are the
                user's: HMAC(key, "tidegate.session" id) and HMAC(key, "tidegate.parent" id)
    salt        HMAC(key, "tidegate.salt" run part); a commitment is SHA-256(salt bytes)

HMAC is with SHA-256. While the key is there, its holder can show whose a record is and which bytes it commits to. When
it is gone nobody can, who knows the names or guesses the bytes included, and every proof about the leaves stays valid.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Final, Literal

import msgspec

from tidegate.record._subject import Subject as Subject

Kind = Literal["tenant", "key", "user"]

KEY: Final = 32
PSEUDONYM: Final = 16
REMEMBERED: Final = 65_536  # subjects whose keys a process keeps at hand; about half a KB each


def identity(tenant: str, kind: Kind, id: str = "") -> bytes:
    """What a subject is known by to the store of keys; a tenant itself has an empty `id`."""
    return sha256(msgspec.msgpack.encode((tenant, kind, id))).digest()


Ask = Callable[[bytes, Callable[[bytes | None], None]], None]


class Subjects:
    """The subjects that a process has met lately.

    `ask` is given an identity and calls back, at once or later, with its key, or None where it cannot be had: then
    the call must not go on, since it could not be recorded. Nothing that failed is remembered.
    """

    def __init__(self, ask: Ask, most: int = REMEMBERED) -> None:
        self._ask = ask
        self._most = most
        self._known: dict[tuple[str, Kind, str], Subject] = {}
        self.destroyed = 0  # how often a key was, or may have been; what else was made of keys is void then

    def __len__(self) -> int:
        return len(self._known)

    def known(self, tenant: str, kind: Kind, id: str = "") -> Subject | None:
        """The subject, if its key is at hand."""
        name = (tenant, kind, id)
        found = self._known.pop(name, None)
        if found is not None:
            self._known[name] = found  # the one used last is the last to be forgotten
        return found

    def find(self, then: Callable[[Subject | None], None], tenant: str, kind: Kind, id: str = "") -> None:
        """Calls `then` with the subject: before it returns where the key is at hand, else when it was given."""
        found = self.known(tenant, kind, id)
        if found is not None:
            then(found)
            return
        name, whose = (tenant, kind, id), identity(tenant, kind, id)

        def answered(key: bytes | None) -> None:
            then(None if key is None else self._learnt(name, Subject(whose, key)))

        self._ask(whose, answered)

    def _learnt(self, name: tuple[str, Kind, str], subject: Subject) -> Subject:
        while len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known[name] = subject
        return subject

    def forget(self, whose: bytes) -> None:
        """The key of this identity was destroyed."""
        self.destroyed += 1
        for name in [name for name, subject in self._known.items() if subject.identity == whose]:
            del self._known[name]

    def clear(self) -> None:
        """Some keys may have been destroyed."""
        self.destroyed += 1
        self._known.clear()
