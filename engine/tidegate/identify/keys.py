"""Virtual keys: what a key is made of, and what can happen to one.

A key is random and shown once. What is kept of it is a keyed hash: without the pepper, which is in a file of its own,
nobody can even try guesses, and 256 random bits need no slow hash. The hash covers the id, too, so that it proves
nothing in the place of another key.

Three things can happen to a key, and each is one entry in a file (`keyfile.py`): it is made, rotated, revoked. Entries
are added and never changed, so the file is also the history of all keys.
"""

import hashlib
import secrets
import string
from collections.abc import Callable
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from tidegate.wire.keys import ID, LENGTH, PREFIX

ALPHABET: Final = string.digits + string.ascii_letters
PEPPER: Final = 32  # bytes
DIGEST: Final = 32
NONE: Final = bytes(DIGEST)  # the digest of no key that anybody will find
PERSON: Final = b"tidegate-key"

Id = Annotated[str, Meta(pattern=r"^tg_[0-9A-Za-z]{12}\Z")]
Digest = Annotated[bytes, Meta(min_length=DIGEST, max_length=DIGEST)]
Moment = Annotated[int, Meta(ge=0, le=2**53)]  # seconds since 1970
Tenant = Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.-]{0,63}\Z")]
Label = Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.:/=@+-]{0,63}\Z")]
Labels = Annotated[tuple[Label, ...], Meta(max_length=16)]
Words = Annotated[str, Meta(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z")]
Kept = Annotated[str, Meta(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*\Z")]  # Words, and C1, which once was taken


class Entry(Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="event"):
    """One line of the file. A field that is not known here is an error: it may be a restriction."""


class Begun(Entry, frozen=True, gc=False, tag="begun"):
    """The first line: the version of the file, and which pepper its digests are made with."""

    version: Annotated[int, Meta(ge=1, le=1)]
    pepper: Digest  # of nothing, so that another pepper is seen at once


class Made(Entry, frozen=True, gc=False, tag="made"):
    """A new key."""

    id: Id
    digest: Digest
    at: Moment
    tenant: Tenant
    name: Kept = ""  # Words where it is new
    user: Kept = ""  # the same; empty: whom the client says
    roles: Labels = ()
    tags: Labels = ()
    integrations: Labels = ()  # empty: every one
    expires: Moment = 0  # 0: never


class Rotated(Entry, frozen=True, gc=False, tag="rotated"):
    """A new secret for a key. The one before is good until `overlap`; one before that ends at once."""

    id: Id
    digest: Digest
    at: Moment
    overlap: Moment
    expires: Moment = 0


class Revoked(Entry, frozen=True, gc=False, tag="revoked"):
    """The end of a key, for ever."""

    id: Id
    at: Moment


Entries: TypeAlias = Begun | Made | Rotated | Revoked


class Key(Struct, frozen=True, gc=False):
    """What is known of a key now."""

    made: Made
    digest: bytes
    expires: int
    old_digest: bytes = NONE
    old_until: int = 0
    rotated: int = 0
    revoked: int = 0

    def __repr__(self) -> str:
        return f"<key {self.made.id}>"


NOBODY: Final = Key(Made("tg_" + "0" * 12, NONE, 0, "nobody"), NONE, 0)
Digester = Callable[[bytes], bytes]


def digester(pepper: bytes) -> Digester:
    """The keyed hash of keys."""
    keyed = hashlib.blake2b(key=pepper, digest_size=DIGEST, person=PERSON)

    def digest(key: bytes) -> bytes:
        hashed = keyed.copy()
        hashed.update(key)
        return hashed.digest()

    return digest


def new_id() -> str:
    """A public id."""
    return PREFIX.decode() + _random(ID - len(PREFIX))


def new_key(id: str) -> str:
    """A key with that id and a new secret."""
    return f"{id}_{_random(LENGTH - ID - 1)}"


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def happened(keys: dict[bytes, Key], entry: Entries) -> None:
    """Puts an entry in force; raises ValueError where it cannot follow on those before it."""
    if isinstance(entry, Begun):
        raise ValueError("the beginning stands twice")
    id = entry.id.encode()
    key = keys.get(id)
    if isinstance(entry, Made):
        if key is not None:
            raise ValueError(f"the key `{entry.id}` was made before")
        keys[id] = Key(entry, entry.digest, entry.expires)
    elif key is None:
        raise ValueError(f"there is no key `{entry.id}`")
    elif key.revoked:
        raise ValueError(f"the key `{entry.id}` was revoked before")
    elif isinstance(entry, Revoked):
        keys[id] = msgspec.structs.replace(key, revoked=max(entry.at, 1))
    else:
        keys[id] = Key(key.made, entry.digest, entry.expires, key.digest, entry.overlap, entry.at)
