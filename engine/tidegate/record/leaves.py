"""Records become leaves, and leaves records again.

Here is the one encoder, the rule by which a leaf stays within 2,048 bytes, and how what the steps exchange (`model.py`)
is said in a record: no words, only codes, names, digests and numbers.
"""

import re
from binascii import unhexlify
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from tidegate.model import Decision, Reason, Usage
from tidegate.record._leaf import head
from tidegate.record.records import (
    KINDS,
    LEAF,
    Balance,
    Because,
    Cut,
    Decided,
    Outcome,
    Position,
    Record,
    RecordError,
    Refusals,
    Total,
    Unknown,
    Used,
)

T = TypeVar("T")

MOST_REASONS: Final = 8  # of a decision, of its shadow, and of what is said of the answer
MOST_DRAWS: Final = 12  # of a call: so many fit beside all else; a decision with more limits cannot be carried out
MOST_SEEN: Final = 12  # limits that policies were told of
MOST_CODES: Final = 16  # of refusals in one leaf
BALANCES: Final = 24  # totals and positions in one leaf; there are as many leaves as it takes

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


# writing


def encode(record: Record) -> bytes:
    """The leaf of a record. What makes it too long is left out, by the rule of `_fitted`, and counted in its `cut`."""
    leaf = _encoder.encode(record)
    return leaf if len(leaf) <= LEAF else _fitted(record)


def _fitted(record: Record) -> bytes:
    """Drops shadow reasons, reasons, flags, attempts, what was seen, each from its end, until the leaf is short enough.

    The first reason and the first attempt stay, and the first flag as long as anything else can go. Draws are never
    dropped: totals are made of them.
    """
    while isinstance(record, Outcome):
        cut = record.cut or Cut()
        if record.shadow is not None and record.shadow.reasons:
            shadow = replace(record.shadow, reasons=record.shadow.reasons[:-1])
            record = replace(record, shadow=shadow, cut=replace(cut, shadow=cut.shadow + 1))
        elif len(record.decision.reasons) > 1:
            decision = replace(record.decision, reasons=record.decision.reasons[:-1])
            record = replace(record, decision=decision, cut=replace(cut, reasons=cut.reasons + 1))
        elif len(record.flags) > 1:
            record = replace(record, flags=record.flags[:-1], cut=replace(cut, flags=cut.flags + 1))
        elif len(record.attempts) > 1:
            record = replace(record, attempts=record.attempts[:-1], cut=replace(cut, attempts=cut.attempts + 1))
        elif record.seen:
            record = replace(record, seen=record.seen[:-1], cut=replace(cut, seen=cut.seen + 1))
        elif record.flags:
            record = replace(record, flags=(), cut=replace(cut, flags=cut.flags + 1))
        else:
            break
        leaf = _encoder.encode(record)
        if len(leaf) <= LEAF:
            return leaf
    raise RecordError(f"a record of kind `{record.__struct_config__.tag}` is longer than {LEAF} bytes")


PLAIN = re.compile(r'[A-Za-z0-9_.:/@\[\]"*+-]*').fullmatch


@lru_cache(4096)
def plain(text: str, most: int = 96) -> str:
    """A name as it is, or `sha256:` and 24 digits where it is too long or is not made of letters, digits and signs."""
    if len(text) <= most and PLAIN(text):
        return text
    return f"sha256:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


@lru_cache(1024)
def raw_digest(digest: str) -> bytes:
    """The 32 bytes of a digest of 64 hexadecimal digits, with or without `sha256:` before them; none of none."""
    return unhexlify(digest.removeprefix("sha256:"))


def raw_run(run: bytes) -> bytes:
    """The 13 bytes of a run's id."""
    return unhexlify(run)


def decided(decision: Decision) -> tuple[Decided, Decided | None, Cut | None]:
    """A decision and its shadow as records have them, and what was left out of them."""
    said, dropped = _said(decision)
    if decision.shadow is None:
        return said, None, Cut(dropped) if dropped else None
    shadow, beside = _said(decision.shadow)
    return said, shadow, Cut(dropped, beside) if dropped or beside else None


def _said(decision: Decision) -> tuple[Decided, int]:
    reasons, dropped = because(decision.reasons)
    return Decided(decision.action, raw_digest(decision.digest), reasons), dropped


def because(reasons: tuple[Reason, ...]) -> tuple[tuple[Because, ...], int]:
    """Reasons as records have them, and how many were left out."""
    said = tuple([Because(plain(each.code, 64), plain(each.rule, 64)) for each in reasons[:MOST_REASONS]])
    return said, max(0, len(reasons) - MOST_REASONS)


class Words(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has no place in a leaf, as it is committed to: this Struct as JSON. FORMAT.md has it."""

    model: str = ""  # as the caller wrote it
    reasons: tuple[str, ...] = ()  # the messages of the decision's, in its order
    error: str = ""  # what the caller was told
    flags: tuple[str, ...] = ()  # the messages of what was said of the answer, in its order


def words(model: str, reasons: tuple[Reason, ...], error: str, flags: tuple[Reason, ...]) -> bytes:
    """The document of a call."""
    said = tuple([each.message for each in reasons])
    return msgspec.json.encode(Words(model, said, error, tuple([each.message for each in flags])))


def used(usage: Usage) -> Used:
    """A usage as records have it."""
    return Used(
        usage.kind,
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.input_audio_tokens,
        usage.input_image_tokens,
        usage.reasoning_tokens,
        usage.output_audio_tokens,
        usage.output_image_tokens,
        usage.web_searches,
        plain(usage.service, 32),
    )


def refusals(counts: Mapping[str, int], since: int, *, worker: int, epoch: int, seq: int, time: int) -> Refusals:
    """The record of an interval's refusals by code: the most frequent codes by name, the others as one number."""
    frequent = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    named = tuple((plain(code, 32), count) for code, count in frequent[:MOST_CODES])
    others = sum(count for _, count in frequent[MOST_CODES:])
    return Refusals(worker=worker, epoch=epoch, seq=seq, time=time, since=since, counts=named, others=others)


def balances(
    totals: Sequence[Total], positions: Sequence[Position], *, worker: int, epoch: int, seq: int, time: int
) -> Iterator[Balance]:
    """The records that state these totals, numbered from `seq`; one at least, so that nothing is stated too."""
    some, places = _parts(totals), _parts(positions)
    parts = max(len(some), len(places), 1)
    for part in range(parts):
        yield Balance(
            worker=worker,
            epoch=epoch,
            seq=seq + part,
            time=time,
            set=time,
            part=part,
            parts=parts,
            totals=some[part] if part < len(some) else (),
            positions=places[part] if part < len(places) else (),
        )


def _parts(things: Sequence[T]) -> list[tuple[T, ...]]:
    return [tuple(things[at : at + BALANCES]) for at in range(0, len(things), BALANCES)]


# reading


def decode(leaf: bytes | memoryview) -> Record | Unknown:
    """What a leaf says; `Unknown` of a kind that this version does not know. Raises only `RecordError`."""
    try:
        return _decoder.decode(leaf)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        found = head(leaf)
        if found.kind not in KINDS:
            return Unknown(found.kind, found.version, found.worker, found.epoch, found.seq, found.time)
    raise RecordError(f"a leaf of kind `{found.kind}` has a field that cannot be read")
