"""What is recorded of one call: gathered on its way, said in an intent before it leaves and an outcome after.

The bytes that pass are committed to as they pass. A leaf has no words of the caller's: what it asked for by name stands
in it as settings and tables have it, or not at all.
"""

import time
from hashlib import sha256
from typing import Final

from msgspec import Struct, structs
from msgspec.json import encode

from tidegate.errors import TidegateError
from tidegate.model import Call, Decision, Estimate, Outcome, Usage
from tidegate.model import Evidence as Mode
from tidegate.record.evidence import Evidence, Known, Stamp
from tidegate.record.leaves import decided, plain, raw_digest, raw_run, used
from tidegate.record.records import Attempt, Bodies, Decided, Digest, Intent, Record, Spans, Used
from tidegate.record.records import Outcome as OutcomeRecord
from tidegate.record.unrecorded import Unrecorded

NOTHING: Final = Decided("none")


class Words(Struct, frozen=True, omit_defaults=True):
    """What has no place in a leaf, as it is committed to: this Struct as JSON. FORMAT.md has it."""

    model: str = ""  # as the caller wrote it
    reasons: tuple[str, ...] = ()  # the messages of the decision's, in its order
    error: str = ""  # what the caller was told


class Account:
    """One call's."""

    def __init__(self, evidence: Evidence, call: Call, known: Known, mode: Mode) -> None:
        self.mode = mode
        self._evidence = evidence
        self._call = call
        self._run = raw_run(call.run)
        self._known = known
        self._began = time.time_ns()
        self._start = time.monotonic_ns()
        self._decision: Decision | None = None
        self._integration = ""
        self._model = ""
        self._prices = b""
        self._estimated: Used | None = None
        self._edits: tuple[str, ...] = ()
        self._decided_at = self._sent_at = self._first_at = 0
        self._asked = b""
        self._sent = b""
        self._came = sha256(known.about.salt(self._run, "upstream_response"))
        self._went = sha256(known.about.salt(self._run, "client_response"))
        self._told = ""
        self._answered = False

    # as it becomes known

    def decided(self, decision: Decision, estimate: Estimate) -> None:
        """What the policy said, and what was expected."""
        self._decision = decision
        self._estimated = Used(estimate.prompt_kind, estimate.prompt_tokens, 0)
        if decision.evidence is not None:
            self.mode = decision.evidence
        self._decided_at = time.monotonic_ns() - self._start

    def routed(self, integration: str, model: str, prices: str) -> None:
        """Where it goes, and the model as the table of prices calls it; empty where it has none."""
        self._integration = plain(integration)
        self._model = plain(model)
        self._prices = raw_digest(prices)

    def came(self, data: bytes) -> None:
        """Bytes of the provider's answer."""
        if not self._answered:
            self._answered = True
            self._first_at = time.monotonic_ns() - self._start
        self._came.update(data)

    def went(self, data: bytes) -> None:
        """Bytes of the answer that go to the client."""
        self._went.update(data)

    # the records

    def intent(self, body: bytes, edits: tuple[str, ...]) -> int:
        """The call is about to leave with this body. Raises Unrecorded where that cannot be kept."""
        about, run = self._known.about, self._run
        self._edits = edits
        self._asked = about.commitment(run, "client_request", self._call.body)
        self._sent = about.commitment(run, "upstream_request", body)
        seq = self._evidence.write(self._intent, True)
        if seq:
            self._evidence.begun(run, seq)
        self._sent_at = time.monotonic_ns() - self._start
        return seq

    def _intent(self, at: Stamp) -> Record:
        decision = self._decision
        return Intent(
            **at,
            run=self._run,
            who=self._known.who,
            evidence=self.mode,
            integration=self._integration,
            model=self._model,
            policy=raw_digest(decision.digest) if decision is not None else b"",
            prices=self._prices,
            estimated=self._estimated,
            bodies=Bodies(self._asked, self._sent),
        )

    def outcome(self, ended: Outcome, reported: Usage | None, counted: Usage | None, cost: int) -> int:
        """The call is over. Raises Unrecorded where that cannot be kept."""
        last = time.monotonic_ns() - self._start
        try:
            seq = self._evidence.write(lambda at: self._outcome(at, ended, reported, counted, cost, last))
        except Unrecorded as error:
            told = structs.replace(ended, error=error.code)  # what the caller gets in place of its end
            self._evidence.later(self._run, lambda at: self._outcome(at, told, reported, counted, cost, last))
            raise
        self._evidence.ended(self._run)
        return seq

    def refused(self, error: TidegateError) -> int:
        """The call goes no further. Raises Unrecorded where that cannot be kept."""
        self._asked = self._known.about.commitment(self._run, "client_request", self._call.body)
        self._told = error.message
        return self.outcome(Outcome(error.status, error.code), None, None, 0)

    def _outcome(
        self, at: Stamp, ended: Outcome, reported: Usage | None, counted: Usage | None, cost: int, last: int
    ) -> Record:
        decision, shadow, cut = NOTHING, None, None
        if self._decision is not None:
            decision, shadow, cut = decided(self._decision)
        attempts: tuple[Attempt, ...] = ()
        if self._sent_at:
            attempts = (Attempt(self._integration, ended.status if self._answered else 0, ended.error or ""),)
        return OutcomeRecord(
            **at,
            run=self._run,
            who=self._known.who,
            evidence=self.mode,
            endpoint=self._call.route.endpoint,
            model=self._model,
            stream=self._call.stream,
            status=ended.status,
            error=ended.error or "",
            client_left=ended.client_left,
            decision=decision,
            shadow=shadow,
            provider=used(reported) if reported is not None else None,
            counted=used(counted) if counted is not None else None,
            estimated=self._estimated,
            prices=self._prices,
            cost=cost,
            began=self._began,
            spans=Spans(self._decided_at, self._sent_at, self._first_at, last),
            attempts=attempts,
            edits=self._edits,
            bodies=self._bodies(),
            cut=cut,
        )

    def _bodies(self) -> Bodies:
        came = went = b""
        if self._answered:
            came, went = self._came.digest(), self._went.digest()
        return Bodies(self._asked, self._sent, came, went, self._words())

    def _words(self) -> Digest:
        """The commitment to what was said in words; empty where all of it stands in the leaf."""
        reasons = self._decision.reasons if self._decision is not None else ()
        model = self._call.model if self._call.model != self._model else ""
        if not (model or reasons or self._told):
            return b""
        words = Words(model, tuple([reason.message for reason in reasons]), self._told)
        return self._known.about.commitment(self._run, "document", encode(words))
