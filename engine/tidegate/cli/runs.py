"""`tidegate runs show`: all that is recorded of one run, and the proof that it is in the log.

A run that has just begun or ended is in a journal only; it is shown from there, and the proof follows within a second
or so. What the log has is proved as it is shown: its inclusion under the published checkpoint, and whose signatures
that has.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import fields

from tidegate.cli.ledger import LedgerError, json_text, memory_of, plain, run_id, signer
from tidegate.cli.naming import Names
from tidegate.cli.tail import dollars, endings, moment, span
from tidegate.record._leaf import head as head_of
from tidegate.record.checkpoints import CheckpointError
from tidegate.record.following import log_size, waiting
from tidegate.record.index import IndexUnusable, Reader
from tidegate.record.layout import Layout
from tidegate.record.leaves import decode
from tidegate.record.merkle import ProofError
from tidegate.record.notes import NoteError
from tidegate.record.receipts import check_receipt, make_receipt
from tidegate.record.records import Aborted, Intent, Outcome, RecordError, Seen
from tidegate.record.recovery import unended
from tidegate.record.statements import leaves_of

OfRun = Intent | Outcome | Aborted
ENDLESS: Final = 2**62 // 10**9  # the end that the record gives to the window of a `total`
PLACED: Final = frozenset(each.name for each in fields(Intent)) | {  # of an outcome, in places of their own
    *("endpoint", "stream", "status", "error", "client_left", "decision", "shadow", "overdraft", "shared", "provider"),
    *("counted", "began", "spans", "attempts", "edits", "capture", "cut", "stopped", "seen"),
}


class Proof(NamedTuple):
    """That a record is an entry of the log."""

    entry: int
    size: int  # of the log, in the checkpoint that proves it
    signed_by: tuple[str, ...]


class Found(NamedTuple):
    """A record of the run; without a proof it is in a journal so far."""

    record: OfRun
    proof: Proof | None


class Shown(NamedTuple):
    """A run, for people or machines."""

    run: bytes
    records: Sequence[Found]
    written: bool  # its worker's journal has not ended: there may be more

    @property
    def outcome(self) -> Outcome | None:
        """The record of its end, if that was written by its worker."""
        return next((each.record for each in self.records if isinstance(each.record, Outcome)), None)

    @property
    def aborted(self) -> Aborted | None:
        """The record that stands in the place of one."""
        return next((each.record for each in self.records if isinstance(each.record, Aborted)), None)

    @property
    def intents(self) -> list[Intent]:
        """One for each provider that it was sent to."""
        return [each.record for each in self.records if isinstance(each.record, Intent)]

    @property
    def state(self) -> Literal["ended", "refused", "aborted", "under way", "lost"]:
        """How far it came."""
        outcome = self.outcome
        if outcome is not None:
            return "ended" if self.intents or not outcome.error else "refused"
        if self.aborted is not None:
            return "aborted"
        return "under way" if self.written else "lost"


def find_run(found: Layout, run: str) -> Shown:
    """All records of a run. LedgerError where there are none."""
    name = run_id(run)
    written = unended(found.journal, memory_of(found))  # asked first: of other journals all is there by now
    records = _in_log(found, name)
    if not _ended(records):
        in_journal = [
            record for record in waiting(found, memory_of(found)) if isinstance(record, OfRun) and record.run == name
        ]
        records = _in_log(found, name)  # what has left the journals meanwhile is there by now
        known = {_place(each.record) for each in records}
        records += [Found(record, None) for record in in_journal if _place(record) not in known]
    if not records:
        raise LedgerError(f"there is no record of the run `{name.hex()}`, neither in the log nor in a journal")
    return Shown(name, records, any((each.record.worker, each.record.epoch) in written for each in records))


def _ended(records: Sequence[Found]) -> bool:
    return any(not isinstance(each.record, Intent) for each in records)


def _place(record: OfRun) -> tuple[int, int, int]:
    return record.worker, record.epoch, record.seq


def _in_log(found: Layout, run: bytes) -> list[Found]:
    """Those that a checkpoint has, in the order of the log."""
    indexes: list[int] = []
    indexed = 0
    try:
        reader = Reader(found.index)
        try:
            with reader.still():
                indexes, indexed = [place.leaf for place in reader.places(run)], reader.size
        finally:
            reader.close()
    except IndexUnusable:
        pass  # it is being made: then all entries are looked at
    for index, leaf in leaves_of(found.log, log_size(found.log), indexed):
        try:
            if head_of(leaf).run == run:
                indexes.append(index)
        except RecordError:
            continue
    return [each for index in indexes for each in _proved(found, index)]


def _proved(found: Layout, index: int) -> Iterator[Found]:
    try:
        proved = check_receipt(make_receipt(found.log, index), found.known())
    except (ProofError, NoteError, CheckpointError) as error:
        raise LedgerError(f"entry {index} of the log is not proved: {error.message}") from None
    record = decode(proved.entry)
    if isinstance(record, OfRun):
        signed = tuple(signer(each) for each in proved.signatures)
        yield Found(record, Proof(proved.index, proved.checkpoint.size, signed))


# for machines


def document(shown: Shown, names: Names) -> str:
    """The run as JSON: its records field by field, each with its proof."""
    who = next((each.record.who for each in shown.records if not isinstance(each.record, Aborted)), None)
    records = [
        {**plain(each.record), "proof": None if each.proof is None else each.proof._asdict()} for each in shown.records
    ]
    named = {} if who is None else {"tenant": names.of(who.tenant), "key": names.of(who.key)}
    return json_text({"run": shown.run.hex(), "state": shown.state, **named, "records": records})


# for people


def text(shown: Shown, names: Names) -> str:
    """The run, a section for each of its steps."""
    return "\n".join(_lines(shown, names))


def _lines(shown: Shown, names: Names) -> Iterator[str]:
    outcome, aborted, intents = shown.outcome, shown.aborted, shown.intents
    yield f"run {shown.run.hex()}"
    yield _row("state", _state(shown))
    about = outcome or (intents[-1] if intents else None)
    if about is not None:
        yield from _who(about, names)
        if outcome is not None:
            stream = ", a stream" if outcome.stream else ""
            model = outcome.model or "a model that the prices do not name"
            yield _row("asked", f"{outcome.endpoint} of {model}{stream}")
        yield _row("evidence", f"{about.evidence}{_captured(outcome)}")
    yield from _steps(shown)
    if outcome is not None:
        yield from _decided("decision", outcome.decision)
        if outcome.shadow is not None:
            yield from _decided("shadow", outcome.shadow)
    elif intents:
        yield from _section("decision", [("policy", intents[-1].policy.hex() or "none")])
    yield from _limits(shown)
    yield from _usage(about)
    if outcome is not None:
        attempts = [
            (each.integration, f"{each.status or 'no answer'} {each.error}".strip()) for each in outcome.attempts
        ]
        yield from _section("attempts", attempts)
        yield from _section("edits", [(edit, "") for edit in outcome.edits])
    elif intents:
        yield from _section("attempts", [(each.integration, "begun") for each in intents])
    if about is not None:
        yield from _section("commitments", _filled(about.bodies))
    if outcome is not None:
        further = [(name, value) for name, value in _fields(outcome) if name not in PLACED and value]
        if outcome.cut is not None:
            further += [("left out", _inline(outcome.cut))]
        for name, value in further:
            rows = [_item(each) for each in value] if isinstance(value, tuple) else [(_inline(value), "")]
            yield from _section(name, rows)
    yield from _section("proof", [_proof(each) for each in shown.records])
    if aborted is not None and not intents:
        yield "its intent is not there"


def _state(shown: Shown) -> str:
    outcome, aborted = shown.outcome, shown.aborted
    if outcome is not None:
        how = ", ".join([shown.state, str(outcome.status), *endings(outcome)])
        return f"{how}, after {span(outcome.spans.last_byte)}"
    if aborted is not None:
        return f"aborted, {aborted.reason}, found at {moment(aborted.time)} UTC"
    return "under way: it has begun and not ended" if shown.written else "lost: its journal has ended without its end"


def _captured(outcome: Outcome | None) -> str:
    return f", capture {outcome.capture}" if outcome is not None and outcome.capture else ""


def _who(about: Intent | Outcome, names: Names) -> Iterator[str]:
    for name, pseudonym in _fields(about.who):
        if pseudonym:
            known = names.of(pseudonym)
            yield _row(name, f"{known} ({pseudonym.hex()})" if known else pseudonym.hex())


def _steps(shown: Shown) -> Iterator[str]:
    outcome, aborted, intents = shown.outcome, shown.aborted, shown.intents
    rows: list[tuple[str, str]] = []
    if outcome is not None:
        rows.append(("accepted", f"{moment(outcome.began)} UTC"))
        spans = [(name.replace("_", " "), ns) for name, ns in _fields(outcome.spans) if ns]
        rows += [(name, f"+ {span(ns)}") for name, ns in spans]
    else:
        rows += [("left", f"{moment(each.time)} UTC, for {each.integration}") for each in intents]
        if aborted is not None:
            rows.append(("aborted", f"{moment(aborted.time)} UTC"))
    yield from _section("steps", rows)


def _decided(name: str, decided: Any) -> Iterator[str]:
    reasons = [(each.code, f"by {each.rule}" if each.rule else "") for each in decided.reasons]
    yield from _section(name, [(decided.action, f"by policy {decided.policy.hex() or 'none'}"), *reasons])


def _limits(shown: Shown) -> Iterator[str]:
    outcome, aborted, intents = shown.outcome, shown.aborted, shown.intents
    last = outcome or aborted or (intents[-1] if intents else None)
    draws = last.draws if last is not None else ()
    begun = last is not outcome and last is not aborted
    rows = []
    for draw in draws:
        settled = "not settled yet" if begun else f"settled {_amount(draw.measure, draw.settled)}"
        over = ", overdraft" if draw.settled > draw.held and not begun else ""
        until = f", until {moment(draw.end * 10**9)[:19]} UTC" if 0 < draw.end < ENDLESS else ""
        held = f"held {_amount(draw.measure, draw.held)}, {settled}{over}{until}"
        rows.append((draw.measure, f"{draw.bucket.hex()} {held}"))
    if outcome is not None and outcome.shared:
        rows.append(("shared", "from this machine's share, the fleet's server being away"))
    yield from _section("limits", rows)
    if outcome is not None:
        yield from _section("told of limits", [(each.name, _told(each)) for each in outcome.seen])


def _told(seen: Seen) -> str:
    """Where a limit stood. Its unit is the policy's to say: micro-cents where it is one of money."""
    left = "unknown" if seen.remaining < 0 else str(seen.remaining)
    return f"used {seen.used}, remaining {left}, in its unit; all of it again in {span(seen.reset)}"


def _amount(measure: str, amount: int) -> str:
    return dollars(amount) if measure == "usd" else str(amount)


def _usage(about: Intent | Outcome | None) -> Iterator[str]:
    rows = []
    for name in ("provider", "counted", "estimated"):
        used = getattr(about, name, None)
        if used is not None:
            parts = "".join(
                f", {part} {value}" for part, value in _filled(used) if part not in ("kind", "input", "output")
            )
            rows.append((name, f"{used.input} + {used.output} tokens, {used.kind}{parts}"))
    if isinstance(about, Outcome) and (rows or about.cost):
        rows.append(("cost", f"{dollars(about.cost)} by the prices {about.prices.hex() or 'of nobody'}"))
    elif about is not None and about.cost:
        rows.append(("cost", f"at most {dollars(about.cost)}"))
    yield from _section("usage", rows)


def _proof(found: Found) -> tuple[str, str]:
    kind = str(found.record.__struct_config__.tag)
    if found.proof is None:
        return kind, "in a journal; not in the log yet"
    entry, size, signed = found.proof
    return kind, f"entry {entry} of {size}, included; signed by {', '.join(signed)}"


def _fields(struct: Struct) -> list[tuple[str, Any]]:
    return [(each.name, getattr(struct, each.name)) for each in fields(struct)]


def _filled(struct: Struct) -> list[tuple[str, str]]:
    """The fields that say something."""
    return [(name, _inline(value)) for name, value in _fields(struct) if value not in (0, "", b"", None, ())]


def _item(value: Any) -> tuple[str, str]:
    """An element of a list: its first field, and the others."""
    if isinstance(value, Struct):
        (_, first), *rest = _fields(value)
        return _inline(first), " ".join(f"{name} {_inline(each)}" for name, each in rest)
    return _inline(value), ""


def _inline(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Struct):
        return ", ".join(f"{name} {each}" for name, each in _filled(value))
    return str(value)


def _section(name: str, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A heading and its rows; nothing where there are none."""
    if rows:
        yield name
        yield from (_row(*row) for row in rows)


def _row(name: str, value: str) -> str:
    return f"  {name:<18} {value}".rstrip()
