"""Where the parts of a ledger are: one folder, in which `ledger.json` says which log it is and what lies elsewhere.

ledger.json    this; written once by `create`
checkpoints/   the newest checkpoint, apart from the log; another disk is better

places.py has the others.
"""

import os
import time
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tidegate.errors import StartError
from tidegate.record import durable, keys
from tidegate.record.log import Log
from tidegate.record.notes import NoteError, Verifier, check_name
from tidegate.record.places import Places
from tidegate.record.store import CheckpointStore
from tidegate.record.witness import Witness

NAME: Final = "ledger.json"


class WitnessSaid(Struct, frozen=True, forbid_unknown_fields=True):
    """A witness: where it takes checkpoints, and its public key as `name+id+base64`."""

    url: str
    key: str


class Said(Struct, frozen=True, forbid_unknown_fields=True):
    """What `ledger.json` says. Paths are absolute, or relative to its folder."""

    version: int
    origin: str
    checkpoints: str = "checkpoints"
    witnesses: tuple[WitnessSaid, ...] = ()


class Layout(Places, frozen=True):
    """A ledger's places, and which log it is."""

    origin: str
    checkpoints: Path
    witnesses: tuple[Witness, ...] = ()

    def open(self) -> Log:
        """The log, to write; there is one writer at a time."""
        return Log(self.log, self.origin, keys.load(self.keys), CheckpointStore(self.checkpoints), self.verifiers())

    def verifiers(self) -> list[Verifier]:
        """The public keys that belong to it, also those that sign no more."""
        return keys.public_keys(self.keys)

    def known(self) -> list[Verifier]:
        """Those, and the keys of its witnesses; each once."""
        found = [*self.verifiers(), *(key for witness in self.witnesses for key in witness.verifiers)]
        return list({str(key): key for key in found}.values())


def check_origin(origin: str) -> None:
    """Raises where a log cannot have this name."""
    try:
        check_name(origin)
    except NoteError as error:
        raise StartError(f"`{origin}` cannot be the origin of a log: {error.message}") from None


def create(folder: Path, origin: str, checkpoints: str = "checkpoints") -> Layout:
    """Makes a ledger where there is none: keys, an empty log and its first checkpoint. `ledger.json` comes last."""
    check_origin(origin)
    if (folder / NAME).exists():
        raise StartError(f"`{folder}` has a ledger already")
    said = Said(1, origin, checkpoints)
    layout = _layout(folder, said)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        layout.journal.mkdir(mode=0o700, exist_ok=True)
        if not layout.keys.exists():  # else an earlier `create` was cut off
            keys.generate(layout.keys, origin)
        if CheckpointStore(layout.checkpoints).newest() is None:
            Log.create(
                layout.log,
                origin,
                keys.load(layout.keys),
                CheckpointStore(layout.checkpoints),
                int(time.time()),
            ).close()
        else:
            layout.open().close()
        durable.create(folder / NAME, msgspec.json.format(msgspec.json.encode(said), indent=2) + b"\n", 0o644)
    except OSError as error:
        raise StartError(f"`{folder}` cannot be made a ledger: {error.strerror} (`{error.filename}`)") from None
    return layout


def find(folder: Path) -> Layout:
    """The ledger that is in a folder."""
    place = folder / NAME
    try:
        said = msgspec.json.decode(place.read_bytes(), type=Said)
    except FileNotFoundError:
        made = "a gateway makes one when it starts, `tidegate ledger init` one without a gateway"
        raise StartError(f"`{folder}` has no ledger; {made}") from None
    except OSError as error:
        raise StartError(f"`{place}` cannot be read: {(error.strerror or type(error).__name__).lower()}") from None
    except msgspec.DecodeError as error:
        raise StartError(f"`{place}` is not what it should be: {error}") from None
    if said.version != 1:
        raise StartError(f"`{place}` has version {said.version}, and this Tidegate knows 1")
    return _layout(folder, said)


def _layout(folder: Path, said: Said) -> Layout:
    whole = Path(os.path.abspath(folder))
    try:
        witnesses = tuple(Witness(each.url, (Verifier.parse(each.key),)) for each in said.witnesses)
    except NoteError as error:
        raise StartError(f"`{folder / NAME}` has a witness without a public key: {error.message}") from None
    return Layout(whole, said.origin, whole / said.checkpoints, witnesses)
