"""Laws that hold between what callers did, what the ledger says, what the table of limits says and what was billed.

The gateway meters with the vocabulary of tests/words.py, so that its tokens are the provider's words: whatever both saw
is compared for equality. Each call has a body that no other call has. A record names its body by a commitment, so that
every record is assigned to its call by what it commits to, also where the client never learnt the run's id.

Each law yields what breaks it, in words; none is about time except through the order of what is on record:

* a record of a hold is written after it was drawn, and one of its end before it is settled. So what a call holds is
  certainly drawn between the times of its two records, and its run's id, which has the time, is older than both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from tidegate.record.records import Aborted, Intent, Outcome
from tidegate.record.subjects import Subject
from tidegate.serve.simulated.ledger import Bill
from tidegate.serve.simulated.text import Sampler

IN, OUT = 100, 200  # micro-cents a token: tests/gateway.py has a dollar a million, and two
MILLISECOND = 1_000_000
Records = list[Intent | Outcome | Aborted]


@dataclass
class Call:
    """One call as its client saw it."""

    path: str
    body: bytes  # as the provider gets it
    prompt: int  # tokens
    words: int  # that the whole answer has
    room: int  # the most tokens of its answer that can ever be held
    stated: int | None = None  # the most that it asks for
    began: int = 0  # Unix time in ns
    ended: int = 0
    status: int = 0  # 0: there was no answer
    run: str = ""  # empty: the client never learnt it
    seen: int = 0  # words of a stream that came
    whole: bool = False  # the answer came to its end
    left: bool = False  # the client closed before that
    lost: bool = False  # the connection ended before that
    code: str = ""
    may_be: frozenset[int] = frozenset((200, 429))  # statuses that are as they should be

    @property
    def key(self) -> str:
        """What the provider's bill is found by."""
        return Sampler(0, self.path.encode() + b"\0" + self.body).key


@dataclass
class Version:
    """A policy that was in force, and the most tokens that it lets everybody spend."""

    code: str
    most: int


@dataclass
class Books:
    """Everything that is known when all is over."""

    calls: list[Call]
    runs: Mapping[str, Records]
    bills: Mapping[str, Bill]
    subjects: Mapping[bytes, Subject] = field(default_factory=dict)  # by pseudonym of the key
    versions: Mapping[bytes, Version] = field(default_factory=dict)  # by digest of the policy
    kills: list[int] = field(default_factory=list)  # Unix times in ns
    buckets: Mapping[str, bytes] = field(default_factory=dict)  # `spent`, `money`, `at_once`, `pace`
    table: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # of budgets: settled, held at the end
    samples: list[int] = field(default_factory=list)  # of what was settled of `spent`, read from outside
    at_once: int = 0
    pace: tuple[int, int] = (0, 0)  # burst, and how many a second
    reached: int = 0  # requests that the provider read
    _linked: dict[str, Call] | None = None

    # who is who

    @property
    def linked(self) -> dict[str, Call]:
        """The call of each run that has an intent, by what the intent commits to."""
        if self._linked is None:
            told = {call.run: call for call in self.calls if call.run}
            untold = [call for call in self.calls if not call.run]
            self._linked = {}
            for run, records in self.runs.items():
                for intent in intents(records):
                    known = [told[run]] if run in told else untold
                    found = next((call for call in known if self._about(intent, call)), None)
                    if found is not None:
                        self._linked[run] = found
                        if found in untold:
                            untold.remove(found)
        return self._linked

    def _about(self, intent: Intent, call: Call) -> bool:
        subject = self.subjects.get(intent.who.key)
        if subject is None:
            return False
        said = sha256(subject.salt(intent.run, "upstream_request") + call.body).digest()
        return said == intent.bodies.upstream_request

    def drawn(self, record: Intent | Outcome | Aborted, limit: str, what: str = "settled") -> int:
        """What a record says of a bucket."""
        return sum(getattr(draw, what) for draw in record.draws if draw.bucket == self.buckets[limit])

    # the laws

    def problems(self) -> list[str]:
        """Everything that breaks a law."""
        laws = (
            self.every_call_has_its_end,
            self.nothing_reached_a_provider_unrecorded,
            self.no_limit_was_exceeded,
            self.everything_was_charged,
            self.one_policy_decided,
            self.no_call_failed,
        )
        return [f"{law.__name__}: {problem}" for law in laws for problem in law()]

    def every_call_has_its_end(self) -> Iterator[str]:
        """One intent and one outcome, or the record that it was aborted; a call that did not leave has the outcome."""
        for run, records in self.runs.items():
            kinds = [type(record) for record in records]
            if kinds not in ([Intent, Outcome], [Intent, Aborted], [Outcome]):
                yield f"{run} has {[kind.__name__ for kind in kinds]}"
            if kinds == [Outcome] and records[0].draws:
                yield f"{run} did not leave and drew"
        for call in self.calls:
            if call.status == 401:
                continue  # nobody was known: it is one of a number
            if call.run and call.status and not call.lost and not end(self.runs.get(call.run, [])):
                yield f"{call.run} was answered and has no end on record"
            if call.whole and call.status == 200 and not isinstance(end(self.runs.get(call.run, [])), Outcome):
                yield f"{call.run} was answered to its end and has no outcome"

    def nothing_reached_a_provider_unrecorded(self) -> Iterator[str]:
        """Each bill is of one call that has an intent, and no request came to the provider without one."""
        recorded = {call.key: run for run, call in self.linked.items()}
        for key, bill in self.bills.items():
            if key not in recorded:
                yield f"the provider billed {bill} for {key}, of which no intent speaks"
            if bill.calls != 1:
                yield f"{recorded.get(key)} was sent {bill.calls} times"
        count = sum(len(intents(records)) for records in self.runs.values())
        if self.reached > count:
            yield f"the provider read {self.reached} requests, of {count} intents"
        for run, records in self.runs.items():
            if intents(records) and run not in self.linked:
                yield f"{run} commits to bytes that nobody sent"

    def no_limit_was_exceeded(self) -> Iterator[str]:
        yield from self._budget()
        yield from self._at_once()
        yield from self._pace()
        most = max((version.most for version in self.versions.values()), default=0)
        for before, after in zip(self.samples, self.samples[1:], strict=False):
            if after < before:
                yield f"what was settled went from {before} to {after}"
        if max(self.samples, default=0) > most:
            yield f"{max(self.samples)} were settled of {most}"

    def _budget(self) -> Iterator[str]:
        """When a call drew, what others had certainly drawn by then and its own were within the limit of its policy.

        A hold that was in force all the time counts as it began, one that may have been settled by then counts what
        it was settled to, if that is less.
        """
        held = []
        for run, records in self.runs.items():
            ended = end(records)
            for intent in intents(records):
                amount = self.drawn(intent, "spent", "held")
                least = amount if ended is None else min(amount, self.drawn(ended, "spent"))
                over = ended.time if ended is not None else 2**63
                held.append((run, intent.policy, began(run), intent.time, over, amount, least))
        for run, policy, start, time, _, amount, _ in held:
            version = self.versions.get(policy)
            if version is None:
                continue  # another law says so
            others = sum(least if over <= time else drawn for _, _, _, drew, over, drawn, least in held if drew < start)
            if others + amount > version.most:
                yield f"{run} drew {amount} beside {others} of {version.most}"

    def _at_once(self) -> Iterator[str]:
        marks = []
        for records in self.runs.values():
            for intent in intents(records):
                ended = end(records)
                if ended is not None and self.drawn(intent, "at_once", "held"):
                    marks += [(intent.time, 1), (ended.time, -1)]
        under_way = 0
        for _, change in sorted(marks):
            under_way += change
            if under_way > self.at_once:
                yield f"{under_way} were under way at once, of {self.at_once}"

    def _pace(self) -> Iterator[str]:
        """Those that certainly drew between two moments are no more than the rate lets in between them."""
        burst, rate = self.pace
        drew = sorted(
            (intents(records)[0].time, began(run))
            for run, records in self.runs.items()
            if intents(records) and self.drawn(intents(records)[0], "pace", "held") and not released(end(records))
        )
        for first in sorted(start for _, start in drew):
            inside = 0
            for last, start in drew:
                if start >= first:
                    inside += 1
                    if inside > burst + rate * (last - first) / 1e9 + 1e-6:
                        yield f"{inside} were let in within {(last - first) / 1e9:.3f} s"
                        return

    def everything_was_charged(self) -> Iterator[str]:
        """Record by record what was billed; and the table has the sum of the records, with nothing held any more."""
        lives: dict[tuple[int, int], list[tuple[Aborted, Intent, Call]]] = {}
        for run, call in self.linked.items():
            ended = end(self.runs[run])
            if isinstance(ended, Outcome):
                yield from (f"{run}: {problem}" for problem in self._charged(ended, call))
            elif ended is not None:
                lives.setdefault((ended.worker, ended.epoch), []).append((ended, intents(self.runs[run])[0], call))
        for life, calls in lives.items():
            yield from (f"worker {life}: {problem}" for problem in self._aborted(calls))
        for limit, (settled, held) in self.table.items():
            charged = sum(self.drawn(ended, limit) for ended in map(end, self.runs.values()) if ended is not None)
            if charged != settled:
                yield f"of `{limit}` {settled} are settled, and the records say {charged}"
            if held:
                yield f"of `{limit}` {held} are held by nobody"

    def _charged(self, outcome: Outcome, call: Call) -> Iterator[str]:
        bill = self.bills.get(call.key, Bill())
        charged, cost = self.drawn(outcome, "spent"), self.drawn(outcome, "money")
        if cost != outcome.cost:
            yield f"cost {outcome.cost} on record, {cost} charged"
        used = outcome.provider or outcome.counted
        if used is None:
            if charged or cost or bill.calls:
                yield f"{charged} are charged for no use; {bill}"
            return
        if (charged, cost) != (used.input + used.output, IN * used.input + OUT * used.output):
            yield f"used {used.input} and {used.output}, charged {charged} for {cost}"
        if outcome.provider is not None:
            if (used.input, used.output) != (bill.prompt, bill.output):
                yield f"charged {used.input} and {used.output}, billed {bill}"
        elif outcome.stopped:
            held = self.drawn(outcome, "spent", "held")
            if used.input != call.prompt or used.output > bill.output or charged > held + 1:
                yield f"stopped at {call.seen} words with {held} held, charged {charged}, billed {bill}"
            if not call.left and not call.lost and used.output != call.seen + 1:
                yield f"stopped at {call.seen} words, charged {used.output}"
        elif not outcome.client_left:
            yield "the answer is whole and the provider's report is missing"
        elif used.input != call.prompt or not call.seen <= used.output <= max(bill.output, 0):
            yield f"left after {call.seen} words, charged {used.input} and {used.output}, billed {bill}"

    def _aborted(self, calls: Sequence[tuple[Aborted, Intent, Call]]) -> Iterator[str]:
        """The calls of a worker that died are charged, together, all that it held for them: at least what they had
        begun with and what their clients saw, at most what they could have held, and where all of them said how much
        they may use exactly that, which is enough for every bill.
        """
        charged = sum(self.drawn(aborted, "spent") for aborted, _, _ in calls)
        held = sum(self.drawn(intent, "spent", "held") for _, intent, _ in calls)
        seen = sum(call.prompt + call.seen for *_, call in calls)
        most = sum(call.prompt + call.room for *_, call in calls)
        if not max(held, seen) <= charged <= most:
            yield f"charged {charged}, held {held} before it grew, saw {seen}, could hold {most}"
        if all(call.stated is not None for *_, call in calls):
            bills = [self.bills.get(call.key, Bill()) for *_, call in calls]
            if not sum(bill.prompt + bill.output for bill in bills) <= charged == held:
                yield f"charged {charged} of {held}, billed {bills}"

    def one_policy_decided(self) -> Iterator[str]:
        """The digest on record is of a policy that was in force, the same in all records of a run, and decided it."""
        for run, records in self.runs.items():
            digests = {record.policy for record in intents(records)}
            outcome = end(records)
            if isinstance(outcome, Outcome):
                digests.add(outcome.decision.policy)
                said = [each.code for each in outcome.decision.reasons if each.rule == "tidegate.admission.warn"]
                version = self.versions.get(outcome.decision.policy)
                if version is not None and said != [version.code]:
                    yield f"{run} carries the digest of `{version.code}`, and {said} decided"
            if len(digests) != 1 or not digests <= self.versions.keys():
                yield f"{run} carries {[digest.hex()[:8] for digest in digests]}"

    def _stopped(self, call: Call) -> bool:
        outcome = end(self.runs.get(call.run, []))
        return isinstance(outcome, Outcome) and outcome.stopped == "limit"

    def no_call_failed(self) -> Iterator[str]:
        """Calls are lost when a worker is killed, on that worker, and never otherwise."""
        for call in self.calls:
            if call.lost:
                if not any(call.began <= kill <= call.ended for kill in self.kills):
                    yield f"{call.run or call.body[:60]!r} was lost, and nobody was killed"
            elif call.status not in call.may_be and not (call.left and not call.status):
                yield f"{call.run} was answered {call.status} {call.code}"
            elif call.status == 200 and not call.left and not call.whole:
                yield f"{call.run} has no proper end"
            elif call.whole and call.status == 200 and call.seen not in (0, call.words) and not self._stopped(call):
                yield f"{call.run} has {call.seen} words of {call.words}"


def intents(records: Sequence[Intent | Outcome | Aborted]) -> list[Intent]:
    return [record for record in records if isinstance(record, Intent)]


def end(records: Sequence[Intent | Outcome | Aborted]) -> Outcome | Aborted | None:
    return next((record for record in records if not isinstance(record, Intent)), None)


def released(ended: Outcome | Aborted | None) -> bool:
    """The call never left, so that what it drew was given back."""
    return ended is not None and not any(draw.settled for draw in ended.draws)


def began(run: str) -> int:
    """When a run began, at the latest: its id begins with the milliseconds."""
    return int(run[:12], 16) * MILLISECOND
