"""What the processes counted, summed and said in the text format of Prometheus.

The supervisor makes a block of memory for each worker before it forks, and reads them all when it is asked. A worker
that dies leaves its counts where they are, and its successor adds to them: counters never go back. Labels are names
from the settings and codes of this program, and each family of rows has a bound (`counters.pyx`), so that the number
of series has one too. Nothing here is about one run, caller or model.
"""

import mmap
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from tidegate import __version__
from tidegate.counters import FAMILIES, FAST, KINDS, LABELS, OTHER, ROLES, ROWS_AT, SIZE, SLOW, WORDS_AT

STATES: Final = ("under_way", "streams", "connections", "unrecorded", "dropped", "overdrafts", "epoch", "appended")
PROBLEMS: Final = len(STATES)
DECIDED: Final = PROBLEMS + 1
SENT: Final = DECIDED + len(FAST) + 2
POLICIES: Final = SENT + len(FAST) + 2
POLICY: Final = 7
COST: Final = 2 * len(KINDS)
FAILED: Final = COST + 1
FIRST: Final = FAILED + 1
LAST: Final = FIRST + len(SLOW) + 2
CLASSES: Final = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")

Words = Sequence[int]
Labels = tuple[tuple[str, str], ...]


class Metric(NamedTuple):
    """One family of series: what kind it is, and what it says."""

    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ()


METRICS: Final = {
    "build_info": Metric("gauge", "Always 1.", ("version", "python")),
    "start_time_seconds": Metric("gauge", "When the gateway was started, Unix time."),
    "calls_total": Metric(
        "counter", "Calls of known callers that are over.", ("endpoint", "integration", "action", "outcome")
    ),
    "answers_total": Metric(
        "counter", "What their clients were told, by class of status; `other`: nothing.", ("endpoint", "class")
    ),
    "errors_total": Metric("counter", "Of these calls, those that ended in an error of Tidegate's own.", ("code",)),
    "refused_requests_total": Metric("counter", "Requests refused before their caller was known.", ("code",)),
    "tokens_total": Metric(
        "counter", "Tokens that calls are charged for, by how they are known.", ("integration", "direction", "kind")
    ),
    "cost_usd_total": Metric("counter", "What these cost, in dollars.", ("integration",)),
    "failed_attempts_total": Metric("counter", "Attempts at a call that were given up.", ("integration",)),
    "stopped_streams_total": Metric("counter", "Answers that the gateway ended.", ("why",)),
    "overdrafts_total": Metric("counter", "Calls that used more of a limit than was held for them."),
    "aborted_calls_total": Metric("counter", "Calls that were under way when their worker died."),
    "calls_under_way": Metric("gauge", "Calls between their intent and their outcome."),
    "open_streams": Metric("gauge", "Streams of events that pass now."),
    "open_connections": Metric("gauge", "Connections of clients, at most a second ago."),
    "decided_seconds": Metric("histogram", "From a call's beginning until it was decided, its prompt counted."),
    "sent_seconds": Metric("histogram", "From a call's beginning until it left: what governing it took before that."),
    "first_byte_seconds": Metric("histogram", "From a call's beginning to its answer's first byte.", ("integration",)),
    "duration_seconds": Metric("histogram", "From a call's beginning to its end.", ("integration",)),
    "unrecorded_answers_total": Metric("counter", "Answers that waited for a record which could not be kept."),
    "dropped_records_total": Metric("counter", "Records that found no room under `audit = \"best_effort\"`."),
    "journal_records": Metric("gauge", "Records in the journals of the workers that live, since each began."),
    "ledger_waiting_records": Metric("gauge", "Of these, those that the ledger has not taken in yet."),
    "ledger_entries": Metric("gauge", "Entries of the newest checkpoint."),
    "ledger_checkpoint_timestamp_seconds": Metric("gauge", "When it was signed, Unix time."),
    "policy_info": Metric("gauge", "1 for each policy in force in some worker.", ("role", "digest")),
    "policy_loaded_timestamp_seconds": Metric("gauge", "When the last worker put it in force, Unix time.", ("role",)),
    "policy_loads_total": Metric("counter", "How often a worker put another policy in force.", ("role",)),
    "policy_problems": Metric("gauge", "Policies on disk that could not be put in force, while another stays."),
    "limits_used": Metric("gauge", "Places of the table of limits that are taken."),
    "limits_slots": Metric("gauge", "Places that it has."),
    "limits_events_total": Metric("counter", "What happened in the table of limits.", ("event",)),
    "workers": Metric("gauge", "Workers that serve."),
    "restarts_total": Metric("counter", "Processes that ended and were replaced.", ("process",)),
    "reloads_total": Metric("counter", "Settings read again.", ("result",)),
}  # fmt: skip


# blocks


def blocks(count: int) -> list[memoryview]:
    """Memory for so many writers, shared with whoever is forked from now on."""
    whole = memoryview(mmap.mmap(-1, count * SIZE))
    return [whole[at * SIZE : (at + 1) * SIZE] for at in range(count)]


class Row(NamedTuple):
    """A row of a block: its family, its labels, its words."""

    family: str
    labels: tuple[str, ...]
    words: Words


def rows(block: memoryview) -> Iterator[Row]:
    """What a block says at this moment, whoever writes it meanwhile."""
    written = block[:8].cast("Q")[0]
    words = block[WORDS_AT:SIZE].cast("Q")
    at = 0
    for line in bytes(block[ROWS_AT : ROWS_AT + written]).decode().splitlines():
        family, *labels = line.split("\t")
        width = FAMILIES[family]
        yield Row(family, tuple(labels), words[at : at + width].tolist())
        at += width


def summed(found: Iterable[Row]) -> dict[tuple[str, tuple[str, ...]], list[int]]:
    """The rows of several blocks as one: words of equal labels are added."""
    total: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for family, labels, words in found:
        known = total.get((family, labels))
        total[family, labels] = list(words) if known is None else [a + b for a, b in zip(known, words, strict=True)]
    return total


# the text


class Text:
    """Samples, gathered by metric and written in the order of `METRICS`."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def add(self, metric: str, value: float, *labels: str) -> None:
        """A sample; `labels` in the order of the metric's."""
        self._put(metric, "", value, tuple(zip(METRICS[metric].labels, labels, strict=True)))

    def histogram(self, metric: str, bounds: Sequence[int], words: Words, *labels: str) -> None:
        """Counts of buckets as a histogram: each holds what is at most its bound, so they add up."""
        named = tuple(zip(METRICS[metric].labels, labels, strict=True))
        count = 0
        for bound, more in zip([*(f"{bound / 1e9:g}" for bound in bounds), "+Inf"], words, strict=False):
            count += more
            self._put(metric, "_bucket", count, (*named, ("le", bound)))
        self._put(metric, "_sum", words[len(bounds) + 1] / 1e9, named)
        self._put(metric, "_count", count, named)

    def _put(self, metric: str, end: str, value: float, labels: Labels) -> None:
        said = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
        number = repr(value) if isinstance(value, float) else str(value)
        line = f"tidegate_{metric}{end}{{{said}}} {number}" if said else f"tidegate_{metric}{end} {number}"
        self._lines.setdefault(metric, []).append(line)

    def __str__(self) -> str:
        out: list[str] = []
        for name, metric in METRICS.items():
            if name in self._lines:
                out += [f"# HELP tidegate_{name} {_escaped(metric.about, quotes=False)}"]
                out += [f"# TYPE tidegate_{name} {metric.kind}", *self._lines[name]]
        return "\n".join(out) + "\n"


def _escaped(text: str, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def say_calls(text: Text, found: Sequence[Row]) -> None:
    """What was counted of calls, from the rows of any number of blocks; also for a program that embeds the engine."""
    for (family, labels), words in sorted(summed(found).items()):
        if LABELS.get(family) and set(labels) == {OTHER} and not any(words):
            continue  # the row for what finds no place has had no use yet
        match family:
            case "worker":
                _say_states(text, words)
            case "call":
                text.add("calls_total", words[0], *labels)
            case "answer":
                for name, count in zip(CLASSES, words, strict=True):
                    if count:
                        text.add("answers_total", count, labels[0], name)
            case "way":
                _say_way(text, labels[0], words)
            case "error":
                text.add("errors_total", words[0], *labels)
            case "refusal":
                text.add("refused_requests_total", words[0], *labels)
            case "stop":
                text.add("stopped_streams_total", words[0], *labels)


def _say_states(text: Text, words: Words) -> None:
    states = dict(zip(STATES, words, strict=False))
    text.add("calls_under_way", _signed(states["under_way"]))
    text.add("open_streams", _signed(states["streams"]))
    text.add("open_connections", states["connections"])
    text.add("unrecorded_answers_total", states["unrecorded"])
    text.add("dropped_records_total", states["dropped"])
    text.add("overdrafts_total", states["overdrafts"])
    text.histogram("decided_seconds", FAST, words[DECIDED:])
    text.histogram("sent_seconds", FAST, words[SENT:])


def _say_way(text: Text, integration: str, words: Words) -> None:
    for at, kind in enumerate(KINDS):
        for word, direction in enumerate(("input", "output")):
            if count := words[2 * at + word]:
                text.add("tokens_total", count, integration, direction, kind)
    text.add("cost_usd_total", words[COST] / 1e8, integration)
    if words[FAILED]:
        text.add("failed_attempts_total", words[FAILED], integration)
    text.histogram("first_byte_seconds", SLOW, words[FIRST:], integration)
    text.histogram("duration_seconds", SLOW, words[LAST:], integration)


def _signed(word: int) -> int:
    """A gauge that several words make up: one that went below zero counts as that, not as 2^64."""
    return max(0, (word + (1 << 63)) % (1 << 64) - (1 << 63))


# the gateway's


class Taken:
    """How far the ledger is in each worker's journal: the sequencer says it, the supervisor reads it."""

    def __init__(self, workers: int) -> None:
        self._words = memoryview(mmap.mmap(-1, 16 * workers)).cast("Q")
        self._workers = workers

    def put(self, positions: Mapping[tuple[int, int], int]) -> None:
        """The last record of each (worker, epoch) that the ledger has."""
        for (worker, epoch), seq in positions.items():
            if worker < self._workers and epoch >= self._words[2 * worker]:
                self._words[2 * worker], self._words[2 * worker + 1] = epoch, seq

    def of(self, worker: int, epoch: int) -> int:
        """How many records of that life the ledger has."""
        return self._words[2 * worker + 1] if self._words[2 * worker] == epoch else 0


class Metrics:
    """The metrics of a gateway. Made before anything is forked; the blocks are for its workers, by number."""

    def __init__(self, workers: int) -> None:
        self.blocks = blocks(workers)
        self.taken = Taken(workers)
        self.limits: Callable[[], Mapping[str, int]] | None = None  # counters of the table of limits
        self._began = time.time()
        self._aborted = 0
        self._restarts = {"worker": 0, "sequencer": 0}
        self._reloads = {"ok": 0, "refused": 0}

    def ended(self, worker: int | None) -> None:
        """A process has ended and will be replaced; None: the sequencer. What was under way on a worker is aborted."""
        if worker is None:
            self._restarts["sequencer"] += 1
            return
        self._restarts["worker"] += 1
        self._aborted += _signed(_states(self.blocks[worker])["under_way"])

    def reloaded(self, ok: bool) -> None:
        """The settings were read again; whether they are in force."""
        self._reloads["ok" if ok else "refused"] += 1

    def text(self, serving: int, checkpoint: tuple[int, float] | None) -> str:
        """All of it. `serving`: how many workers do; `checkpoint`: entries of the newest one, and when it was made."""
        text = Text()
        text.add("build_info", 1, __version__, sys.version.split()[0])
        text.add("start_time_seconds", self._began)
        text.add("workers", serving)
        text.add("aborted_calls_total", self._aborted)
        for process, count in self._restarts.items():
            text.add("restarts_total", count, process)
        for result, count in self._reloads.items():
            text.add("reloads_total", count, result)
        say_calls(text, [row for block in self.blocks for row in rows(block)])
        self._say_ledger(text, checkpoint)
        self._say_policies(text)
        if self.limits is not None:
            self._say_limits(text, self.limits())
        return str(text)

    def _say_ledger(self, text: Text, checkpoint: tuple[int, float] | None) -> None:
        records = waiting = 0
        for worker, block in enumerate(self.blocks):
            states = _states(block)
            records += states["appended"]
            waiting += max(0, states["appended"] - self.taken.of(worker, states["epoch"]))
        text.add("journal_records", records)
        text.add("ledger_waiting_records", waiting)
        if checkpoint is not None:
            entries, made = checkpoint
            text.add("ledger_entries", entries)
            text.add("ledger_checkpoint_timestamp_seconds", made)

    def _say_policies(self, text: Text) -> None:
        for at, role in enumerate(ROLES):
            found = [_policy(block, at) for block in self.blocks]
            for digest in sorted({each.digest for each in found if each.digest}):
                text.add("policy_info", 1, role, digest)
            if any(each.loads for each in found):
                text.add("policy_loaded_timestamp_seconds", max(each.since for each in found) / 1e9, role)
                text.add("policy_loads_total", sum(each.loads for each in found), role)
        text.add("policy_problems", max(_words(block)[PROBLEMS] for block in self.blocks))

    def _say_limits(self, text: Text, counters: Mapping[str, int]) -> None:
        for name, count in counters.items():
            if name in ("used", "slots"):
                text.add(f"limits_{name}", count)
            else:
                text.add("limits_events_total", count, name)


def newest(log: Path) -> tuple[int, float] | None:
    """How many entries the published checkpoint of a log has, and when it was made; None where it cannot be read."""
    try:
        with open(log / "checkpoint", "rb") as file:
            return int(file.read(4096).split(b"\n", 2)[1]), os.fstat(file.fileno()).st_mtime
    except (OSError, IndexError, ValueError):
        return None


class InForce(NamedTuple):
    """A policy in a worker; without a digest there is none."""

    digest: str
    since: int
    loads: int


def _words(block: memoryview) -> memoryview:
    return block[WORDS_AT:SIZE].cast("Q")


def _states(block: memoryview) -> dict[str, int]:
    return dict(zip(STATES, _words(block), strict=False))


def _policy(block: memoryview, role: int) -> InForce:
    """The first word is odd while the others are written; it stays so where the writer was killed just then."""
    words = _words(block)[POLICIES + role * POLICY :]
    for _ in range(3):
        before = words[0]
        digest, since, loads = words[1:5].tobytes(), words[5], words[6]
        if words[0] == before and not before & 1:
            return InForce(digest.hex() if any(digest) else "", since, loads)
    return InForce("", 0, words[6])
