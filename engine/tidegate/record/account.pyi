from typing import final

from tidegate.draws import Draws
from tidegate.errors import TidegateError
from tidegate.model import Call, Decision, Estimate, Outcome, Reason, Usage
from tidegate.model import Evidence as Mode
from tidegate.record.evidence import Evidence, Known
from tidegate.record.records import Seen

@final
class Account:
    """What is recorded of one call.

    The bytes that pass are committed to as they pass. A leaf has no words of the caller's: what it asked for by name
    stands in it as settings and tables have it, or not at all.

    A call that goes on to another provider has `attempted` say how the one before ended, and then `routed`, `held` and
    `intent` again. The last intent counts, and one outcome ends the call.
    """

    @property
    def mode(self) -> Mode:
        """What has to be durable before what: as the settings have it, or the decision."""
    @property
    def decided_at(self) -> int:
        """When the policy had decided, in ns from the call's beginning; 0: it has not."""
    @property
    def sent_at(self) -> int:
        """When the call left."""
    @property
    def first_at(self) -> int:
        """When the first byte of the answer came."""
    @property
    def last_at(self) -> int:
        """When it was over."""
    def __init__(self, evidence: Evidence, call: Call, known: Known, mode: Mode) -> None: ...
    def decided(self, decision: Decision, estimate: Estimate) -> None:
        """What the policy said, and what was expected."""
    def shadowed(self, shadow: Decision) -> None:
        """What the shadow policy has said by now, in place of what it had said when the call was decided about."""
    def seen(self, states: tuple[Seen, ...]) -> None:
        """What the policies were told of limits."""
    def routed(self, integration: str, model: str, prices: str) -> None:
        """Where it goes, and the model as the table of prices calls it; empty where it has none."""
    def held(self, draws: Draws) -> None:
        """What it holds of limits, from the next intent on; ValueError for more than a leaf has room for."""
    def attempted(self, status: int, error: str) -> None:
        """The attempt that is under way is given up: how it was answered (0: not at all), and the code of what was
        wrong. Nobody gets what came of it.
        """
    def came(self, data: bytes) -> None:
        """Bytes of the provider's answer."""
    def went(self, data: bytes) -> None:
        """Bytes of the answer that go to the client."""
    def stopped(self, why: str, reasons: tuple[Reason, ...]) -> None:
        """The gateway ends the answer before the provider does, at a `limit` or by a `policy`."""
    def flagged(self, reasons: tuple[Reason, ...]) -> None:
        """What policies say of the answer, in addition to what they said so far."""
    def intent(self, body: bytes, edits: tuple[str, ...]) -> int:
        """The call is about to leave with this body. Raises Unrecorded where that cannot be kept."""
    def outcome(
        self,
        ended: Outcome,
        reported: Usage | None,
        counted: Usage | None,
        cost: int,
        draws: Draws | None = None,
    ) -> int:
        """The call is over; `draws` are settled. Raises Unrecorded where that cannot be kept; it is then said later.

        `draws.recorded` is told the number of the record as soon as there is one.
        """
    def refused(self, error: TidegateError, draws: Draws | None = None) -> int:
        """The call goes no further; `draws` were given back. Raises Unrecorded where that cannot be kept."""
    def unsent(self, ended: Outcome, draws: Draws | None = None) -> int:
        """The call is over before it left, as `refused`."""
