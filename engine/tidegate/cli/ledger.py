"""`tidegate ledger`: makes a ledger, checks it, and shows what it says.

`verify` and `check-receipt` need nothing but files and public keys, so that they run where the ledger is not. Exit code
0: it is so; 1: a fault was found, or a proof does not hold; 2: wrong usage, or something cannot be read.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tidegate.configuration import unchecked
from tidegate.errors import TidegateError
from tidegate.record import keys, layout, segments
from tidegate.record.checkpoints import Checkpoint, CheckpointError
from tidegate.record.fsck import fsck
from tidegate.record.index import IndexUnusable, Reader
from tidegate.record.layout import Layout
from tidegate.record.leaves import decode
from tidegate.record.merkle import ProofError
from tidegate.record.notes import NoteError, Signature, Verifier, open_checkpoint
from tidegate.record.places import Places
from tidegate.record.receipts import check_receipt, make_receipt
from tidegate.record.records import Outcome, RecordError
from tidegate.record.rehash import Progress as Told
from tidegate.record.statements import Finding, Statements, leaves_of
from tidegate.record.subject_service import erase as erase_key
from tidegate.record.subjects import Kind, identity
from tidegate.record.verify import verify_log
from tidegate.serve.ledger import forget, memory_place

NAME = "ledger"  # of the folder in the data directory
FOLLOW = 0.5  # seconds between looks at whether there is more


class LedgerError(TidegateError):
    """The command cannot do what it was asked."""

    code = "ledger_command"


def find(folder: Path | None, config: Path | None, environ: Mapping[str, str]) -> Layout:
    """The ledger in a folder, or that of the gateway whose settings these are."""
    return layout.find(folder or _configured(config, environ))


def _configured(config: Path | None, environ: Mapping[str, str]) -> Path:
    return Path(unchecked(config, environ).data) / NAME  # auditors need no credential of a provider's


def init(
    folder: Path | None, origin: str, checkpoints: str, config: Path | None, environ: Mapping[str, str]
) -> Iterator[str]:
    """Makes a ledger and says what to do with its public keys."""
    place = folder or _configured(config, environ)
    forget(Places(place.absolute()))
    made = layout.create(place, origin, checkpoints)
    yield f"{made.folder}: a new ledger, `{made.origin}`"
    yield f"its newest checkpoint is kept in {made.checkpoints}"
    if made.checkpoints.stat().st_dev == made.log.stat().st_dev:
        yield "which is on the same disk as the log: whoever rolls back one does so with both (--checkpoints)"
    yield f"give {made.keys}/*.pub to whoever is to verify it, and keep *.key to yourself"


# checking


@contextmanager
def bars() -> Iterator[Callable[[str], Told]]:
    """Shows how far each step is, on a terminal; elsewhere nothing."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def step(name: str) -> Told:
            task = progress.add_task(name, total=None)
            return lambda done, whole: progress.update(task, completed=done, total=whole)

        yield step


class Checked(Struct):
    """What a check has found, for people or machines."""

    log: str
    entries: int
    root: str | None
    signed_by: list[str]
    faults: list[Finding]
    warnings: list[Finding]
    waiting: int | None = None

    @property
    def code(self) -> int:
        return 1 if self.faults else 0

    def text(self, as_json: bool) -> str:
        if as_json:
            return json_text(self)
        lines = [f"fault: {each}" for each in self.faults] + [f"warning: {each}" for each in self.warnings]
        signed = f", signed by {', '.join(self.signed_by)}" if self.signed_by else ""
        waiting = "" if self.waiting is None else f", {self.waiting} records wait in journals"
        found = "no faults" if not self.faults else f"{len(self.faults)} fault{'s' if len(self.faults) > 1 else ''}"
        return "\n".join([*lines, f"{self.log}: {self.entries} entries{signed}{waiting}: {found}"])


def verify(
    place: Path | None,
    key_files: Sequence[Path],
    store: Path | None,
    receipts: Sequence[Path],
    config: Path | None,
    environ: Mapping[str, str],
) -> Checked:
    """Checks a log by its files: all of a ledger, or a copy of its `log` folder with public keys beside it."""
    folder = place or _configured(config, environ)
    if _holds(folder, layout.NAME):
        found = layout.find(folder)
        log, store = found.log, store or found.checkpoints
        verifiers = public_keys(key_files) or found.known()
    elif _holds(folder, "checkpoint") or _holds(folder, "tile"):
        log, verifiers = folder, public_keys(key_files)
    else:
        raise LedgerError(f"`{folder}` is neither a ledger nor a log")
    if not verifiers:
        raise LedgerError("a log is verified with public keys: name their file, or their folder, with --key")
    texts = [(str(path), _text(path)) for path in receipts]
    with bars() as step:
        report = verify_log(log, verifiers, store=store, receipts=texts, progress=step("tree"))
        statements = Statements()
        if report.checkpoint is not None:
            statements.read(log, report.checkpoint.size, step("statements"))
    faults = [Finding(fault.place, str(fault).partition(": ")[2]) for fault in report.faults] + statements.findings
    if statements.unnamed:
        faults.append(Finding("log", f"{statements.unnamed} more"))
    warnings = [Finding("log", each) for each in report.warnings]
    warnings += [
        Finding("log", f"{count} entries of an unknown kind, `{kind}`") for kind, count in statements.unknown.items()
    ]
    checkpoint = report.checkpoint
    return Checked(
        str(log),
        checkpoint.size if checkpoint else 0,
        checkpoint.root.hex() if checkpoint else None,
        [signer(signature) for signature in report.signatures],
        faults,
        warnings,
    )


def _holds(folder: Path, name: str) -> bool:
    try:
        return (folder / name).exists()
    except OSError as error:
        raise LedgerError(f"`{folder}` cannot be read: {(error.strerror or type(error).__name__).lower()}") from None


def check(found: Layout) -> Checked:
    """Looks at every part of a ledger."""
    with bars() as step:
        health = fsck(found, step, memory_of(found))
    return Checked(str(found.folder), health.entries, None, [], health.findings, health.warnings, health.waiting)


def memory_of(found: Layout) -> Path | None:
    """Where the rings of a gateway's journals are; None: beside their segments."""
    place = memory_place(found, found.folder.stat().st_uid)
    return place if place.is_dir() else None


def public_keys(files: Sequence[Path]) -> list[Verifier]:
    """The public keys in files, or folders of files; each once."""
    return list({str(key): key for file in files for key in keys.public_keys(file)}.values())


def signer(one: Signature | Verifier) -> str:
    """Whose key it is, and which."""
    return f"{one.name}+{one.key_id.hex()}"


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read: {(error.strerror or type(error).__name__).lower()}") from None


# proofs


def prove(found: Layout, run: str, kind: str) -> str:
    """A receipt for the record of a run, of the kind that was asked for or, if it does not matter, the last."""
    name = run_id(run)
    reader = Reader(found.index)
    try:
        places = [place for place in reader.places(name) if kind in ("", place.kind)]
        behind = reader.size
    finally:
        reader.close()
    if not places:
        what = f"{kind} of the run" if kind else "record of the run"
        raise LedgerError(f"there is no {what} `{run}` among the log's first {behind} entries, as its index says")
    return make_receipt(found.log, places[-1].leaf)


def run_id(text: str) -> bytes:
    """The 13 bytes of a run's id, as the client was told it."""
    try:
        name = bytes.fromhex(text)
    except ValueError:
        name = b""
    if len(name) != 13:
        raise LedgerError(f"a run is 26 hexadecimal digits, found `{text}`")
    return name


def check_proof(path: Path, verifiers: Sequence[Verifier], as_json: bool) -> tuple[str, int]:
    """What a receipt proves, or why it proves nothing."""
    try:
        proved = check_receipt(_text(path), verifiers)
    except (ProofError, NoteError, CheckpointError) as error:
        said = {"proved": False, "error": error.message}
        return json_text(said) if as_json else f"{path}: proves nothing: {error.message}", 1
    signed = [signer(signature) for signature in proved.signatures]
    checkpoint = proved.checkpoint
    try:
        record: dict[str, Any] | None = plain(decode(proved.entry))
    except RecordError:
        record = None
    if as_json:
        tree = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
        return json_text({"proved": True, "index": proved.index, **tree, "signed_by": signed, "record": record}), 0
    place = f"entry {proved.index} of {checkpoint.size} of the log `{checkpoint.origin}`"
    head = f"{path}: {place}, signed by {', '.join(signed)}"
    body = [f"  {name:<12} {_value(value)}" for name, value in (record or {}).items() if value not in (None, "", [])]
    return "\n".join([head, *(body or ["  it is not a record that this version reads"])]), 0


# what it says


def plain(record: Struct) -> dict[str, Any]:
    """A record as an object: bytes in hexadecimal digits, groups as objects."""
    tag = record.__struct_config__.tag
    fields = {name: _plain(value) for name, value in msgspec.structs.asdict(record).items() if name != "rest"}
    return {**({"kind": tag} if tag else {}), **fields}


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case Struct():
            return plain(value)
        case tuple():
            return [_plain(each) for each in value]
        case _:
            return value


def _value(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def tail(found: Layout, count: int, follow: bool, as_json: bool) -> Iterator[str]:
    """The last entries that a checkpoint has, one a line, and those that come."""
    size = newest(found).size
    at = max(0, size - count)
    while True:
        for index, leaf in leaves_of(found.log, size, at):
            yield line(index, leaf, as_json)
        at = size
        if not follow:
            return
        while (size := newest(found).size) == at:
            time.sleep(FOLLOW)


def newest(found: Layout) -> Checkpoint:
    """The published checkpoint."""
    try:
        return open_checkpoint((found.log / "checkpoint").read_bytes(), found.known())[0]
    except OSError as error:
        raise LedgerError(f"{found.log / 'checkpoint'}: cannot be read: {error.strerror}") from None


def line(index: int, leaf: bytes, as_json: bool) -> str:
    """One entry on one line."""
    try:
        record = decode(leaf)
    except RecordError as error:
        return json_line({"index": index, "error": error.message}) if as_json else f"{index} {error.message}"
    said = plain(record)
    if as_json:
        return json_line({"index": index, **said})
    when = datetime.fromtimestamp(record.time / 1e9, UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
    parts = [str(index), when, f"{said['kind']:<13}", f"{record.worker}/{record.epoch}/{record.seq}"]
    parts += [said["run"]] if "run" in said else []
    parts += _summary(record, said)
    return " ".join(parts)


def _summary(record: Struct, said: dict[str, Any]) -> list[str]:
    if not isinstance(record, Outcome):
        left_out = ("kind", "version", "worker", "epoch", "seq", "time", "run", "who", "bodies", "draws")
        return [f"{name}={_value(value)}" for name, value in said.items() if name not in left_out and value]
    usage = record.provider or record.counted or record.estimated
    words = [str(record.status), record.decision.action, *(reason.code for reason in record.decision.reasons)]
    words += [record.error] if record.error else []
    words += [record.model] if record.model else []
    words += [f"{usage.input}+{usage.output} tokens ({usage.kind})"] if usage else []
    return [*words, f"${record.cost / 1e8:.6f}"] if record.cost else words


def stats(found: Layout, as_json: bool) -> str:
    """How large it is, how far its parts are, and where."""
    checkpoint = newest(found)
    waiting = [path.stat().st_size for _, path in segments.listing(found.journal)]
    said: dict[str, Any] = {
        "origin": checkpoint.origin,
        "entries": checkpoint.size,
        "root": checkpoint.root.hex(),
        "checkpoint": datetime.fromtimestamp((found.log / "checkpoint").stat().st_mtime, UTC).isoformat("T", "seconds"),
        "segments": len(waiting),
        "segment_bytes": sum(waiting),
        "keys": [signer(key) for key in found.verifiers()],
        "log": str(found.log),
        "checkpoints": str(found.checkpoints),
        "same_disk": found.log.stat().st_dev == found.checkpoints.stat().st_dev,
    }
    try:
        reader = Reader(found.index)
        said |= {"indexed": reader.size, **reader.kinds(), "begun": reader.open_runs()}
        reader.close()
    except IndexUnusable:
        said["indexed"] = 0
    if as_json:
        return json_text(said)
    return "\n".join(f"{name:<14} {_value(value)}" for name, value in said.items())


# operations


def erase(found: Layout, tenant: str, kind: Kind, id: str) -> str:
    """Has the key of a subject destroyed by the process that holds it."""
    pseudonym = erase_key(found.socket, identity(tenant, kind, id))
    if pseudonym is None:
        raise LedgerError(f"the ledger has no key for this {kind}: it has said nothing of it, or it was erased")
    return f"erased: {pseudonym.hex()} belongs to nobody any more"


def rotate(found: Layout, add: bool, retire: str) -> Iterator[str]:
    """The files of the log's public keys, after some were added or one was retired."""
    if add:
        keys.generate(found.keys, found.origin)
    if retire:
        keys.retire(found.keys, retire)
    signing = {key.key_id for key in keys.load(found.keys)}
    for key in found.verifiers():
        yield f"{'signs' if key.key_id in signing else 'retired':<8} {found.keys / key.key_id.hex()}.pub"
    if add or retire:
        yield "in force from the next start of the process that writes the ledger"


def json_text(value: object) -> str:
    """JSON for machines that people read too."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def json_line(value: object) -> str:
    """JSON on one line."""
    return msgspec.json.encode(value).decode()
