"""Leaves: what goes in comes out, they stay short, they say nothing in clear, and strangers' bytes do no harm."""

import contextlib
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.record import statements
from tests.record.statements import BEGAN, ONE_OF_EACH, RUN, records, stamp
from tidegate.model import Decision, Reason, Usage
from tidegate.record._leaf import head
from tidegate.record.leaves import (
    MOST_CODES,
    MOST_DRAWS,
    MOST_SEEN,
    balances,
    decided,
    decode,
    encode,
    plain,
    raw_digest,
    raw_run,
    refusals,
    used,
)
from tidegate.record.records import (
    KINDS,
    LEAF,
    OF_RUNS,
    Attempt,
    Balance,
    Because,
    Bodies,
    Cut,
    Decided,
    Draw,
    Outcome,
    Position,
    Record,
    RecordError,
    Seen,
    Spans,
    Total,
    Unknown,
    Used,
    Who,
)

GOLDEN = Path(__file__).parent / "golden" / "records.txt"
FIRST = GOLDEN.with_name("records-1.txt")
FORMAT = Path(__file__).parents[2] / "engine" / "tidegate" / "record" / "FORMAT.md"
SECTION = FORMAT.read_text().split("## Records")[1].split("\n## ")[0]


@given(records)
def test_what_goes_in_comes_out(record: Record) -> None:
    leaf = encode(record)
    assert len(leaf) <= LEAF
    assert decode(leaf) == record


@given(records)
def test_the_head_and_the_run_are_read_without_the_rest(record: Record) -> None:
    found = head(encode(record))
    assert (found.kind, found.version) == (record.__struct_config__.tag, 2)
    assert (found.worker, found.epoch, found.seq, found.time) == (record.worker, record.epoch, record.seq, record.time)
    assert found.run == getattr(record, "run", None)


def test_every_kind_is_there_once() -> None:
    assert [each.__struct_config__.tag for each in ONE_OF_EACH] == [
        each.__struct_config__.tag for each in get_args(Record)
    ]
    assert {each.__struct_config__.tag for each in ONE_OF_EACH} == KINDS
    assert {each.__struct_config__.tag for each in ONE_OF_EACH if hasattr(each, "run")} == OF_RUNS


def test_the_golden_leaves_are_still_written_and_read() -> None:
    """A change of one byte here is another format: append fields, add kinds, raise the version."""
    golden = dict(line.split() for line in GOLDEN.read_text().splitlines())
    assert golden.keys() == KINDS
    for record in ONE_OF_EACH:
        kind = str(record.__struct_config__.tag)
        assert encode(record).hex() == golden[kind], kind
        assert decode(bytes.fromhex(golden[kind])) == record


def test_the_leaves_of_the_first_version_are_still_read() -> None:
    """What came later is empty there; where nothing came later only the version differs."""
    later = {"stopped": "", "flags": (), "seen": (), "cut": Cut(1, 2, 3)}
    for kind, leaf in (line.split() for line in FIRST.read_text().splitlines()):
        [record] = [each for each in ONE_OF_EACH if each.__struct_config__.tag == kind]
        missing = later if kind == "outcome" else {}
        assert decode(bytes.fromhex(leaf)) == msgspec.structs.replace(record, version=1, **missing)


def documented(title: str) -> list[str]:
    """The names of a table's rows under a title of FORMAT.md."""
    [table] = re.findall(rf"^#+ {title}\n(.*?)(?=^#|\Z)", SECTION, re.M | re.S)
    return re.findall(r"^\| \d+ \| `(\w+)` \|", table, re.M)


@pytest.mark.parametrize("struct", get_args(Record))
def test_the_format_lists_the_fields_in_their_order(struct: type[msgspec.Struct]) -> None:
    fields = [field.name for field in msgspec.structs.fields(struct)]
    shared = ["kind", *fields[:5]]
    assert documented("The head") == shared
    assert documented(f"`{struct.__struct_config__.tag}`") == fields[5:]


GROUPS = [Who, Because, Decided, Draw, Seen, Used, Spans, Attempt, Bodies, Cut, Total, Position]


@pytest.mark.parametrize("struct", GROUPS)
def test_the_format_lists_the_fields_of_groups(struct: type[msgspec.Struct]) -> None:
    assert documented(struct.__name__) == [field.name for field in msgspec.structs.fields(struct)]


class Walk:
    """A second reader of msgpack, that knows only what FORMAT.md says is used."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def value(self) -> Any:
        match self.number(1):
            case byte if byte < 0x80:
                return byte
            case byte if 0x90 <= byte < 0xA0:
                return [self.value() for _ in range(byte - 0x90)]
            case byte if 0xA0 <= byte < 0xC0:
                return self.take(byte - 0xA0).decode()
            case 0xC0:
                return None
            case (0xC2 | 0xC3) as byte:
                return byte == 0xC3
            case 0xC4:
                return self.take(self.number(1))
            case (0xCC | 0xCD | 0xCE | 0xCF) as byte:
                return self.number(1 << (byte - 0xCC))
            case (0xD0 | 0xD1 | 0xD2 | 0xD3) as byte:
                return int.from_bytes(self.take(1 << (byte - 0xD0)), "big", signed=True)
            case 0xD9:
                return self.take(self.number(1)).decode()
            case 0xDC:
                return [self.value() for _ in range(self.number(2))]
            case byte if byte >= 0xE0:
                return byte - 0x100
            case byte:
                raise AssertionError(f"byte {byte:#x} is not in the format")


def plainly(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        return [*([tag] if tag else []), *map(plainly, msgspec.structs.astuple(value))]
    return [plainly(each) for each in value] if isinstance(value, tuple) else value


@given(records)
def test_a_reader_made_from_the_format_alone_reads_the_same(record: Record) -> None:
    walk = Walk(encode(record))
    assert walk.value() == plainly(record)
    assert walk.at == len(walk.data)


# length

LONG = Reason("c" * 64, "m" * 4096, "tidegate.admission." + "r" * 70)


@pytest.mark.parametrize("reasons", [0, 1, 7, 8, 9, 1000])
@pytest.mark.parametrize("shadows", [None, 0, 1, 8, 1000])
def test_a_decision_of_any_size_makes_a_leaf_that_says_what_is_missing(reasons: int, shadows: int | None) -> None:
    shadow = None if shadows is None else Decision(action="block", reasons=(LONG,) * shadows, digest="ff" * 32)
    decision = Decision(action="warn", reasons=(LONG,) * reasons, shadow=shadow, digest="sha256:" + "ab" * 32)
    said, beside, cut = decided(decision)
    worst = Used("calibrated", *[2**62] * 11, "priority")
    record = Outcome(
        **stamp(2**62), run=RUN, who=statements.WHO, evidence="response", endpoint="e" * 32, model="m" * 96,
        stream=True,
        status=200, error="e" * 32, client_left=True, decision=said, shadow=beside, provider=worst, counted=worst,
        estimated=worst, draws=(Draw(b"b" * 16, "concurrent", 2**62, 2**62, 2**32 - 1),) * MOST_DRAWS,
        prices=b"p" * 32, cost=2**62, began=2**62, spans=Spans(*[2**62] * 4), bodies=statements.BODIES, cut=cut,
        attempts=(Attempt("i" * 63, 502, "e" * 32),) * 8, edits=("include_usage", "max_tokens", "redacted", "model"),
        capture="redacted", stopped="s" * 32, flags=(Because("c" * 64, "r" * 64),) * 8,
        seen=(Seen("n" * 96, 2**62, 2**62, 2**62),) * MOST_SEEN,
    )  # fmt: skip
    leaf = encode(record)
    assert len(leaf) <= LEAF
    found = decode(leaf)
    assert isinstance(found, Outcome)
    left = found.cut or Cut()
    assert len(found.decision.reasons) + left.reasons == reasons
    assert (len(found.shadow.reasons) if found.shadow else 0) + left.shadow == (shadows or 0)
    assert len(found.attempts) + left.attempts == 8
    assert len(found.flags) + left.flags == 8
    assert len(found.seen) + left.seen == MOST_SEEN
    assert found.stopped == record.stopped
    assert found.draws == record.draws
    assert found.decision.reasons[:1] == said.reasons[:1]
    assert found.attempts[0] == record.attempts[0]


def test_what_was_seen_goes_after_all_but_the_first_flag_and_attempt() -> None:
    record = ONE_OF_EACH[1]
    assert isinstance(record, Outcome)
    many = msgspec.structs.replace(
        record,
        shadow=Decided("block", b"", (Because("c" * 64, "r" * 64),) * 8),
        flags=(Because("c" * 64, "r" * 64),) * 8,
        attempts=(Attempt("i" * 63, 502, "e" * 32),) * 17,
        seen=(Seen("n" * 96, 2**62, 2**62, 2**62),) * MOST_SEEN,
        cut=None,
    )
    found = decode(encode(many))
    assert isinstance(found, Outcome)
    assert (len(found.flags), len(found.attempts)) == (1, 1)
    assert 0 < len(found.seen) < MOST_SEEN
    assert found.cut == Cut(1, 8, 16, 7, MOST_SEEN - len(found.seen))


def test_nothing_is_left_out_of_a_leaf_that_fits() -> None:
    record = ONE_OF_EACH[1]
    assert isinstance(record, Outcome)
    said, shadow, cut = decided(Decision(action="deny", reasons=(Reason("a", "b", "c.deny"),)))  # type: ignore[arg-type]
    assert (said, shadow, cut) == (Decided("deny", b"", (Because("a", "c.deny"),)), None, None)
    assert decode(encode(record)) == record


def test_what_cannot_be_made_short_is_an_error_and_not_a_long_leaf() -> None:
    record = ONE_OF_EACH[2]
    with pytest.raises(RecordError, match="longer than 2048 bytes"):
        encode(msgspec.structs.replace(record, draws=(Draw(b"b" * 16, "tokens", 2**62, 2**62),) * 64))


@given(st.dictionaries(st.text(max_size=80), st.integers(1, 2**40), max_size=60))
def test_a_flood_of_refusals_is_counted_in_one_leaf(counts: dict[str, int]) -> None:
    record = refusals(counts, BEGAN, **stamp(0))
    found = decode(encode(record))
    assert found == record
    assert sum(count for _, count in record.counts) + record.others == sum(counts.values())
    assert len(record.counts) == min(len(counts), MOST_CODES)
    assert all(count >= record.others // max(1, len(counts) - MOST_CODES) for _, count in record.counts)


@given(st.integers(0, 100), st.integers(0, 100))
def test_balances_are_stated_in_as_many_leaves_as_it_takes(totals: int, positions: int) -> None:
    stated = [Total(bytes([each]) * 16, 2**62, 2**62 + each) for each in range(totals)]
    places = [Position(2**62, 2**62, each) for each in range(positions)]
    leaves = [encode(each) for each in balances(stated, places, **stamp(5))]
    assert all(len(leaf) <= LEAF for leaf in leaves)
    found = [each for each in map(decode, leaves) if isinstance(each, Balance)]
    assert [(each.seq, each.part, each.parts, each.set) for each in found] == [
        (5 + part, part, len(leaves), found[0].set) for part in range(len(leaves))
    ]
    assert [total for each in found for total in each.totals] == stated
    assert [place for each in found for place in each.positions] == places


# nothing in clear

CANARY = "canary-1f9e user@example.org Zürich 🛶"


@given(st.text(min_size=5, max_size=200))
def test_words_of_a_caller_or_of_a_policy_s_author_never_come_through(text: str) -> None:
    reasons = (Reason("code", f"{CANARY} {text}", f"tidegate {CANARY} {text}"),)
    said, _, _ = decided(Decision(action="block", reasons=reasons))
    shown = encode(msgspec.structs.replace(ONE_OF_EACH[1], decision=said))
    assert b"canary" not in shown
    assert "Zürich".encode() not in shown


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("tidegate.admission.deny", True),
        ('data.tidegate["a"][0]', True),
        ("gpt-4o/2024*", True),
        ("", True),
        ("a" * 96, True),
        ("a" * 97, False),
        ("two words", False),
        ("line\nbreak", False),
        ("Zürich", False),
        ("\ud800", False),
        ("trailing\n", False),
    ],
)
def test_only_plain_names_are_said_and_others_are_told_apart(name: str, same: bool) -> None:
    assert (plain(name) == name) is same
    assert len(plain(name).encode()) <= 96
    assert plain(name + "x") != plain(name)


def test_a_usage_is_said_field_by_field() -> None:
    usage = Usage(1, 2, "exact", 3, 4, 5, 6, 7, 8, 9, 10, 11, "flex")
    assert used(usage) == Used("exact", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, "flex")
    assert [each.name for each in msgspec.structs.fields(Usage)][3:] == [
        f"{each}{'' if each in ('web_searches', 'service') else '_tokens'}"
        for each in [field.name for field in msgspec.structs.fields(Used)][3:]
    ]


def test_digests_and_runs_are_said_in_bytes() -> None:
    assert raw_digest("sha256:" + "ab" * 32) == raw_digest("ab" * 32) == b"\xab" * 32
    assert raw_digest("") == b""
    assert raw_run(b"0123456789abcdef0123456789") == bytes.fromhex("0123456789abcdef0123456789")


# readers of other versions


def test_a_kind_of_the_future_is_called_unknown_and_its_head_is_read() -> None:
    leaf = msgspec.msgpack.encode(["quarantine", 9, 1, 2, 3, 4, {"any": ["thing"]}, 1.5])
    found = decode(leaf)
    assert isinstance(found, Unknown)
    assert (found.kind, found.version, found.worker, found.epoch, found.seq, found.time) == (
        "quarantine",
        9,
        1,
        2,
        3,
        4,
    )
    assert head(leaf).run is None


@given(records, st.lists(st.none() | st.integers(0, 9) | st.text() | st.lists(st.binary()), max_size=4))
def test_fields_of_the_future_are_passed_over(record: Record, more: list[Any]) -> None:
    future = [*plainly(record), *more]
    future[1] = 3
    assert decode(msgspec.msgpack.encode(future)) == msgspec.structs.replace(record, version=3)


@given(st.binary(max_size=300))
def test_foreign_bytes_are_one_clear_error(data: bytes) -> None:
    for read in (decode, head, lambda leaf: head(leaf).run):
        with contextlib.suppress(RecordError):
            read(data)


@given(records, st.data())
def test_damaged_leaves_are_one_clear_error_or_another_record(record: Record, data: st.DataObject) -> None:
    leaf = bytearray(encode(record))
    for _ in range(data.draw(st.integers(1, 3))):
        leaf[data.draw(st.integers(0, len(leaf) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(leaf[: data.draw(st.integers(0, len(leaf)))])
    with contextlib.suppress(RecordError):
        decode(cut)


@pytest.mark.parametrize(
    "leaf",
    [
        b"\x91" * 60_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        msgspec.msgpack.encode(["outcome", 1, 0, 0, 0, 0, b"short"]),
        msgspec.msgpack.encode(["outcome", 1, 0, 0, 0, -1]),
        msgspec.msgpack.encode(["later", 1, 0, 0, 0, 0]) + b"\x00",
        msgspec.msgpack.encode(["later", 1, 0, 0, 0, 0]) [:-1] + b"\x91" * 50_000,
        b"\x96\xa2\xff\xff\x01\x00\x00\x00\x00",
        b"\xc7\x01\x05x",
    ],
)  # fmt: skip
def test_bytes_made_to_break_readers_are_one_clear_error(leaf: bytes) -> None:
    with pytest.raises(RecordError):
        decode(leaf)
