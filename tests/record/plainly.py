"""The same as record/account.pyx in plain Python: the oracle of what is in a leaf, and of how a leaf is written."""

import hmac
from hashlib import sha256
from typing import Any

from msgspec import structs

from tests.record.accounts import KEY
from tidegate.model import Call, Decision, Estimate, Outcome, Reason, Usage
from tidegate.record import leaves
from tidegate.record.evidence import Known
from tidegate.record.leaves import MOST_SEEN, because, plain, raw_digest, raw_run, used
from tidegate.record.records import Attempt, Bodies, Cut, Decided, Draw, Intent, Seen, Spans, Used
from tidegate.record.records import Outcome as OutcomeRecord


class PlainAccount:
    """What an account is told; it makes the records for a head and times that are given."""

    def __init__(self, call: Call, known: Known, mode: str) -> None:
        self.call, self.known, self.mode = call, known, mode
        self.run = raw_run(call.run)
        self.decision: Decision | None = None
        self.estimated: Used | None = None
        self.cost = 0
        self.capture = self.integration = self.model = self.told = self.why = ""
        self.policy = self.prices = b""
        self.draws: tuple[Draw, ...] = ()
        self.states: tuple[Seen, ...] = ()
        self.attempts: tuple[Attempt, ...] = ()
        self.flags: tuple[Reason, ...] = ()
        self.edits: tuple[str, ...] = ()
        self.asked: bytes | None = None
        self.sent: bytes | None = None
        self.answer: bytes | None = None
        self.given: bytes | None = None
        self.kept, self.leaving, self.answered = True, False, False

    def decided(self, decision: Decision, estimate: Estimate) -> None:
        self.decision = decision
        self.policy = raw_digest(decision.digest)
        self.estimated = Used(estimate.prompt_kind, estimate.prompt_tokens, estimate.output_tokens or 0)
        self.cost = estimate.cost or 0
        self.mode = decision.evidence or self.mode
        self.capture = decision.capture or ""
        self.kept = decision.capture != "none"

    def shadowed(self, shadow: Decision) -> None:
        assert self.decision is not None
        self.decision = structs.replace(self.decision, shadow=shadow)

    def seen(self, states: tuple[Seen, ...]) -> None:
        self.states = states

    def routed(self, integration: str, model: str, prices: str) -> None:
        self.integration, self.model, self.prices = plain(integration), plain(model), raw_digest(prices)

    def held(self, draws: tuple[Draw, ...]) -> None:
        self.draws = draws

    def attempted(self, status: int, error: str) -> None:
        self.attempts += (Attempt(self.integration, status, error),)
        self.leaving, self.answered, self.answer = False, False, None

    def came(self, data: bytes) -> None:
        self.answered = True
        self.answer = (self.answer or b"") + data

    def went(self, data: bytes) -> None:
        self.given = (self.given or b"") + data

    def stopped(self, why: str, reasons: tuple[Reason, ...]) -> None:
        self.why = why
        self.flags += reasons

    def flagged(self, reasons: tuple[Reason, ...]) -> None:
        self.flags += reasons

    def intent(self, body: bytes, edits: tuple[str, ...]) -> None:
        self.asked, self.sent, self.edits, self.leaving = self.call.body, body, edits, True

    def intent_record(self, at: dict[str, int]) -> Intent:
        asked = self.commitment("client_request", self.asked)
        sent = self.commitment("upstream_request", self.sent)
        return Intent(
            **at, run=self.run, who=self.known.who, evidence=self.mode, integration=self.integration,
            model=self.model, policy=self.policy, prices=self.prices, draws=self.draws, estimated=self.estimated,
            cost=self.cost, bodies=Bodies(asked, sent),
        )  # fmt: skip

    def outcome_record(
        self,
        at: dict[str, int],
        began: int,
        spans: Spans,
        ended: Outcome,
        usages: tuple[Usage | None, Usage | None],
        cost: int,
        **settled: Any,
    ) -> OutcomeRecord:
        decision, shadow, cut = Decided("none"), None, None
        if self.decision is not None:
            decision, shadow, cut = leaves.decided(self.decision)
        flags, unsaid = because(self.flags)
        unseen = max(0, len(self.states) - MOST_SEEN)
        if unsaid or unseen:
            cut = structs.replace(cut or Cut(), flags=unsaid, seen=unseen)
        attempts = self.attempts
        if self.leaving:
            attempts += (Attempt(self.integration, ended.status if self.answered else 0, ended.error or ""),)
        if ended.error is not None and ended.status >= 400:
            self.given = None  # the caller is told the error in place of whatever waited to go
        provider, counted = [used(each) if each is not None else None for each in usages]
        return OutcomeRecord(
            **at, run=self.run, who=self.known.who, evidence=self.mode, endpoint=self.call.route.endpoint,
            model=self.model, stream=self.call.stream, status=ended.status, error=ended.error or "",
            client_left=ended.client_left, decision=decision, shadow=shadow, provider=provider, counted=counted,
            estimated=self.estimated, prices=self.prices, cost=cost, began=began, spans=spans, attempts=attempts,
            edits=self.edits, capture=self.capture, bodies=self.bodies(), cut=cut, stopped=self.why, flags=flags,
            seen=tuple([structs.replace(each, name=plain(each.name)) for each in self.states[:MOST_SEEN]]), **settled,
        )  # fmt: skip

    def bodies(self) -> Bodies:
        model = self.call.model if self.call.model != self.model else ""
        reasons = self.decision.reasons if self.decision is not None else ()
        document = leaves.words(model, reasons, self.told, self.flags) if model or reasons or self.flags else None
        return Bodies(
            self.commitment("client_request", self.asked),
            self.commitment("upstream_request", self.sent),
            self.commitment("upstream_response", self.answer),
            self.commitment("client_response", self.given),
            self.commitment("document", document),
        )

    def commitment(self, part: str, content: bytes | None) -> bytes:
        if content is None or not self.kept:
            return b""
        salt = hmac.digest(KEY, b"tidegate.salt" + self.run + part.encode(), "sha256")
        return sha256(salt + content).digest()
