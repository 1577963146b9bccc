from mmap import mmap
from typing import Final, final

SIZE: Final[int]
"""The bytes of a block."""
ROWS_AT: Final[int]
WORDS_AT: Final[int]
KINDS: Final[tuple[str, ...]]
ROLES: Final[tuple[str, ...]]
FAMILIES: Final[dict[str, int]]
"""How many words a row has."""
LABELS: Final[dict[str, int]]
"""How many labels it has; a family that is not in here has one row and no label but `other`."""
OTHER: Final[str]
LONGEST: Final[int]
FAST: Final[tuple[int, ...]]
"""The upper bounds of buckets in ns, for what the gateway does itself."""
SLOW: Final[tuple[int, ...]]
"""For what a provider does."""

@final
class Counters:
    """Counts in a block, whose only writer it is from now on; without one in memory of its own.

    It goes on where the one before it was. What is not a count but a state of that one (calls under way, open streams
    and connections) begins anew. No method waits, fails for want of room, or takes longer than a fraction of a
    microsecond, but for the first time that a label is met.
    """

    def __init__(self, block: mmap | memoryview | bytearray | None = None) -> None:
        """ValueError where the block is not of the size `SIZE`. A new one is zeroed."""
    def ended(
        self,
        endpoint: str,
        integration: str,
        action: str,
        status: int,
        error: str | None,
        left: bool,
        stopped: str,
        decided: int,
        sent: int,
        first: int,
        last: int,
    ) -> None:
        """A call of a caller that is known is over, said once, also when it was refused.

        `integration` is empty where none was chosen; `action` is the decision's, `none` before there was one. `status`
        is what the client was told, `error` a code of ours, `left` whether the client had gone, `stopped` why the
        gateway ended the answer (`limit`, `policy`; empty: it did not). The last four are those of the record's spans:
        ns from the call's beginning, 0 where it never came to that.
        """
    def used(self, integration: str, kind: str, input: int, output: int, cost: int) -> None:
        """What an ended call is charged for: tokens, how they are known (one of `KINDS`), and micro-cents."""
    def refused(self, code: str) -> None:
        """A request was refused before its caller was known."""
    def attempt_failed(self, integration: str) -> None:
        """An attempt at a call was given up; another follows, or the call fails."""
    def under_way(self, change: int) -> None:
        """A call is on its way to a provider (1), or its answer is over (-1)."""
    def streams(self, change: int) -> None:
        """A stream of events is open (1), or is not any more (-1)."""
    def overdrawn(self) -> None:
        """An ended call had used more of some limit than was held for it."""
    def look(self, connections: int, unrecorded: int, dropped: int, epoch: int, appended: int) -> None:
        """The state of this process, told about once a second: open connections of clients; answers whose record was
        lost and records dropped since it began; the epoch of its journal, and how many records that has.
        """
    def policy(self, role: str, digest: str, problems: int = 0) -> None:
        """Which policy of a role is in force (64 hexadecimal digits, empty: none), told about once a second.

        `problems`: how many paths hold something that could not be put in force.
        """
