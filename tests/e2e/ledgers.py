"""What the ledger of a gateway says, for tests that compare it with what clients and providers saw."""

from collections import defaultdict
from pathlib import Path

from tidegate.record import layout
from tidegate.record.fsck import fsck
from tidegate.record.leaves import decode
from tidegate.record.records import Aborted, Intent, Outcome, Record, Unknown
from tidegate.record.statements import leaves_of
from tidegate.record.verify import verify_log


class Said:
    """All leaves of a ledger that nobody writes any more; it must verify, and where it is `complete` lack nothing."""

    def __init__(self, data: Path, *, complete: bool = True) -> None:
        place = layout.find(data / "ledger")
        report = verify_log(place.log, place.verifiers())
        assert report.ok, report.faults
        health = fsck(place)
        assert not (complete and health.findings), health.findings
        assert report.checkpoint is not None
        self.leaves = [leaf for _, leaf in leaves_of(place.log, report.checkpoint.size)]
        self.records: list[Record | Unknown] = [decode(leaf) for leaf in self.leaves]
        self.of: dict[str, list[Intent | Outcome | Aborted]] = defaultdict(list)
        for record in self.records:
            if isinstance(record, Intent | Outcome | Aborted):
                self.of[record.run.hex()].append(record)

    def kinds(self, run: str) -> list[str]:
        """Which records a run has, in the order of the log."""
        return [type(record).__name__ for record in self.of[run]]

    def outcome(self, run: str) -> Outcome:
        """The one outcome of a run."""
        (found,) = [record for record in self.of[run] if isinstance(record, Outcome)]
        return found
