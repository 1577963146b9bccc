"""Every outcome of a call through the whole path: what the client gets, what is on record, what the provider billed.

All calls of CASES are made at once against one gateway, each case with limits of its own; then the gateway stops, and
each test judges one case by the answer, the ledger and the provider's books.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.governed import (
    CHAT,
    COMPLETIONS,
    MESSAGES,
    PROMPT,
    RESERVE,
    RESPONSES,
    RUN,
    Governed,
    bill_of,
    body,
    events,
    governed,
    words,
)
from tests.e2e.ledgers import Said
from tests.gateway import Told
from tidegate.record.records import Aborted, Draw, Intent, Outcome
from tidegate.serve.simulated.ledger import Bill


def limit(measure: str, most: float, per: str | None = "total", exceed: str = "block", **more: Any) -> dict[str, Any]:
    period = {} if per is None else {"per": per}
    return {"name": measure, "measure": measure, "max": most, "exceed": exceed} | period | more


@dataclass
class Seen:
    """What became of the last call of a case."""

    told: Told
    sent: bytes
    records: list[Intent | Outcome | Aborted]
    bill: Bill | None  # of `sim`, or of `other` where the case says so
    place: Governed

    @property
    def outcome(self) -> Outcome:
        (found,) = [record for record in self.records if isinstance(record, Outcome)]
        return found

    @property
    def intents(self) -> list[Intent]:
        return [record for record in self.records if isinstance(record, Intent)]

    @property
    def reasons(self) -> list[str]:
        return [each.code for each in self.outcome.decision.reasons]

    def draw(self, measure: str) -> Draw:
        (found,) = [draw for draw in self.outcome.draws if draw.measure == measure]
        return found

    @property
    def billed(self) -> int:
        assert self.bill is not None
        return self.bill.prompt + self.bill.output


IN, OUT = 100, 200  # micro-cents a token: tests/gateway.py has a dollar a million, and two
DEAR_IN, DEAR_OUT = 1000, 4000
Check = Callable[[Seen], None]


@dataclass
class Case:
    """A call, what the policy says of it, and what must come of it."""

    policy: dict[str, Any] = field(default_factory=dict)
    ask: dict[str, Any] = field(default_factory=dict)
    path: str = COMPLETIONS
    before: int = 0  # calls like it that come first
    status: int = 200
    code: str = ""
    other: bool = False  # the provider that bills is `other`
    check: Check = lambda seen: None


# checks


def says(**expected: Any) -> Check:
    """The outcome has these fields."""

    def check(seen: Seen) -> None:
        assert {name: getattr(seen.outcome, name) for name in expected} == expected

    return check


def fields(**expected: str | None) -> Check:
    """The answer's head has these, or has them not."""

    def check(seen: Seen) -> None:
        named = {name: name.replace("_", "-") for name in expected}
        assert {name: seen.told.fields.get(named[name]) for name in expected} == expected

    return check


def both(*checks: Check) -> Check:
    def check(seen: Seen) -> None:
        for each in checks:
            each(seen)

    return check


def charged(seen: Seen) -> None:
    """Every limit was settled to what the provider billed, and the record says the same."""
    outcome, bill = seen.outcome, seen.bill
    assert bill is not None
    assert outcome.provider is not None
    assert (outcome.provider.input, outcome.provider.output) == (bill.prompt, bill.output)
    assert outcome.cost == IN * bill.prompt + OUT * bill.output
    settled = {"tokens": seen.billed, "usd": outcome.cost, "requests": 1, "concurrent": 0}  # a place is given back
    assert {draw.measure: draw.settled for draw in outcome.draws} == {
        draw.measure: settled[draw.measure] for draw in outcome.draws
    }


def refused(seen: Seen) -> None:
    """The call did not leave: nothing is drawn, nothing is billed, and who asked knows that it would be in vain."""
    assert [type(record) for record in seen.records] == [Outcome]
    assert (seen.bill, seen.outcome.draws, seen.outcome.cost) == (None, (), 0)
    assert seen.told.fields["x-should-retry"] == "false"
    error = json.loads(seen.told.body)["error"]
    assert error["run"] == seen.told.fields[RUN]
    assert error.get("rule") == seen.told.fields.get("x-tidegate-rule")


def because(*codes: str) -> Check:
    def check(seen: Seen) -> None:
        assert seen.reasons == list(codes)

    return check


def drawn(**held: int) -> Check:
    """What was held before the call left, by measure."""

    def check(seen: Seen) -> None:
        assert {draw.measure: draw.held for draw in seen.intents[-1].draws} == held

    return check


def throttled(seen: Seen) -> None:
    told = seen.told.fields
    milliseconds = int(told["retry-after-ms"])
    assert 0 < milliseconds <= 30_000
    assert int(told["retry-after"]) == -(-milliseconds // 1000)
    assert told["x-should-retry"] == "true"
    assert (seen.bill, seen.outcome.draws) == (None, ())


def finish_of(told: Told, path: str) -> str:
    """The reason in the ending of a stream that was stopped."""
    assert b"\n: stopped by tidegate: " in told.body
    last = events(told.body)[-1]
    if path == RESPONSES:
        assert last["type"] == "response.incomplete"
        (message,) = last["response"]["output"]
        assert message["status"] == "incomplete"
        assert "".join(part["text"] for part in message["content"]).split() == words(told.body)
        return str(last["response"]["incomplete_details"]["reason"])
    if path == MESSAGES:
        return str(events(told.body)[-2]["delta"]["stop_reason"])
    assert told.body.endswith(b"data: [DONE]\n\n")
    return str(last["choices"][0]["finish_reason"])


def stopped(path: str, cause: str, finish: str, most: int) -> Check:
    """The stream ended where it had to, in the way of its dialect, and the provider saw its client go."""

    def check(seen: Seen) -> None:
        outcome, bill = seen.outcome, seen.bill
        assert (outcome.status, outcome.stopped) == (200, cause)
        assert finish_of(seen.told, path) == finish
        assert outcome.counted is not None
        assert outcome.counted.output == len(words(seen.told.body)) + 1  # the event that was held back is the last
        assert outcome.counted.output <= most + 1  # overshoot: that event
        assert bill is not None
        assert outcome.counted.output <= bill.output < 400  # what was on its way when the connection closed

    return check


def stopped_at_limit(path: str, finish: str) -> Check:
    def check(seen: Seen) -> None:
        outcome = seen.outcome
        assert outcome.counted is not None
        stopped(path, "limit", finish, 40 - outcome.counted.input)(seen)
        draw = seen.draw("tokens")
        assert draw.settled == outcome.counted.input + outcome.counted.output
        assert draw.settled <= 41
        assert outcome.overdraft == (draw.settled > draw.held)
        assert outcome.error == "limit_reached"
        assert [each.code for each in outcome.flags] == ["limit_reached"]
        assert outcome.flags[0].rule.startswith('tidegate.admission.limit["')

    return check


def error_event(code: str) -> Check:
    def check(seen: Seen) -> None:
        last = events(seen.told.body)[-1]
        assert last["error"]["code"] == code
        assert b"[DONE]" not in seen.told.body
        assert seen.outcome.error == code

    return check


def edited(seen: Seen) -> None:
    """One field of the body is another, every other byte is as it came."""
    (got,) = [each.body for each in seen.place.raw.requests if b"tide 77" in each.body]
    assert got == seen.sent.replace(b'"max_tokens": 500', b'"max_tokens": 7')
    assert "max_tokens" in seen.outcome.edits


def unedited(seen: Seen) -> None:
    assert seen.outcome.edits == ()
    assert seen.bill is not None
    assert seen.bill.output == 6


def attempts(*expected: tuple[str, int, str]) -> Check:
    """Each try of a call: where it went, what came of it; an intent for each, and one hold at a time."""

    def check(seen: Seen) -> None:
        tried = [(each.integration, each.status, each.error) for each in seen.outcome.attempts]
        assert tried == list(expected)
        assert [intent.integration for intent in seen.intents] == [name for name, *_ in expected]
        assert [type(record) for record in seen.records] == [*[Intent] * len(expected), Outcome]

    return check


def unbilled(seen: Seen) -> None:
    """Every try came to nothing."""
    assert seen.bill is None
    assert (seen.outcome.cost, [draw.settled for draw in seen.outcome.draws]) == (0, [0] * len(seen.outcome.draws))


def dear(seen: Seen) -> None:
    """Held and charged at the prices of the model that it went to."""
    assert seen.bill is not None
    assert seen.outcome.cost == DEAR_IN * seen.bill.prompt + DEAR_OUT * seen.bill.output
    assert seen.draw("usd").settled == seen.outcome.cost
    assert seen.outcome.edits == ("model",)


def watched(seen: Seen) -> None:
    (state,) = seen.outcome.seen
    assert (state.name, state.used, state.remaining) == ("watched", 2, 1)


def bodies(kept: bool) -> Check:
    def check(seen: Seen) -> None:
        found = seen.outcome.bodies
        each = [found.client_request, found.upstream_request, found.upstream_response, found.client_response]
        assert [bool(digest) for digest in each] == [kept] * 4

    return check


def grown(seen: Seen) -> None:
    """More was held as the stream went on, always before it came."""
    held, settled = seen.draw("tokens").held, seen.draw("tokens").settled
    (before,) = [draw.held for draw in seen.intents[0].draws]
    assert before == PROMPT + RESERVE < settled <= held
    assert (seen.outcome.stopped, seen.outcome.overdraft) == ("", False)


DENY = {"deny": [{"code": "not_here", "message": "not here"}]}
BUDGET = [limit("tokens", 40)]
LONG = {"stream": True, "model": "simulated-pace-1+words-400"}
STREAM = {"stream": True}
SLOW = STREAM | {"model": "simulated-pace-40+words-20"}
PLACES = {f"a-rather-long-name-of-a-place-{letter}": {"type": "string"} for letter in "abc"}
PARAMETERS = {"type": "object", "properties": PLACES, "required": list(PLACES)}
TOOLS = [{"type": "function", "function": {"name": "tide", "parameters": PARAMETERS}}]
FOUR = [limit("requests", 9), limit("tokens", 9000), limit("usd", 9), limit("concurrent", 9, None)]

CASES: dict[str, Case] = {
    "allowed": Case(check=both(says(error="", draws=()), because())),
    "allowed-stream": Case(ask=STREAM, check=says(status=200, stream=True, stopped="")),
    "warned": Case({"warn": [{"code": "careful", "message": "careful"}]}, check=because("careful")),
    "denied": Case(DENY, status=403, code="policy_denied", check=both(refused, because("not_here"))),
    "denied-stream": Case(DENY, STREAM, status=403, code="policy_denied", check=refused),
    "denied-messages": Case(DENY, path=MESSAGES, status=403, code="policy_denied", check=refused),
    "four": Case({"limits": FOUR}, check=charged),
    "four-stream": Case({"limits": FOUR}, STREAM, check=charged),
    "blocked": Case(
        {"limits": [limit("requests", 1, "1h")]}, before=1, status=429, code="limit_exceeded", check=refused
    ),
    "throttled": Case(
        {"limits": [limit("requests", 1, "30s", "throttle")]},
        before=1,
        status=429,
        code="limit_throttled",
        check=both(throttled, because("limit_throttled"), fields(x_tidegate_rule="requests")),
    ),
    "budget": Case(
        {"limits": [limit("requests", 1, "day")]},
        before=1,
        status=429,
        code="budget_exceeded",
        check=both(refused, fields(x_tidegate_remaining="0")),
    ),
    "never": Case(
        {"limits": [limit("tokens", 10, "1m", "throttle")]},
        {"max_tokens": 20},
        status=429,
        code="limit_exceeded",
        check=refused,
    ),
    "passed-with-a-warning": Case(
        {"limits": [limit("requests", 1, exceed="warn")]},
        before=1,
        check=both(because("limit_exceeded"), drawn(requests=1), says(error="")),
    ),
    "lines-openai": Case(
        {"limits": [limit("requests", 9), limit("tokens", 9000)]},
        {"max_tokens": 3},
        before=1,
        check=fields(
            x_ratelimit_limit_requests="9",
            x_ratelimit_remaining_requests="7",
            x_ratelimit_limit_tokens="9000",
            x_ratelimit_remaining_tokens=str(9000 - 2 * (PROMPT + 3)),
        ),
    ),
    "lines-anthropic": Case(
        {"limits": [limit("requests", 9)]},
        path=MESSAGES,
        check=fields(anthropic_ratelimit_requests_limit="9", anthropic_ratelimit_requests_remaining="8"),
    ),
    "lines-of-a-total": Case(
        {"limits": [limit("requests", 9, "total")]},
        check=fields(x_ratelimit_remaining_requests="8", x_ratelimit_reset_requests=None),
    ),
    "lines-of-an-error": Case(
        {"limits": [limit("requests", 9)]},
        {"model": "simulated-close-0"},
        status=502,
        code="upstream_truncated",
        check=fields(x_ratelimit_limit_requests="9", x_ratelimit_remaining_requests="8"),
    ),
    "lines-of-an-error-anthropic": Case(
        {"limits": [limit("requests", 9)]},
        {"model": "simulated-close-0"},
        path=MESSAGES,
        status=502,
        code="upstream_truncated",
        check=fields(anthropic_ratelimit_requests_limit="9", anthropic_ratelimit_requests_remaining="8"),
    ),
    "no-lines": Case(check=fields(x_ratelimit_limit_requests=None, x_ratelimit_limit_tokens=None)),
    "holds-what-is-stated": Case(
        {"limits": FOUR},
        {"max_tokens": 3, "n": 4},
        check=both(
            drawn(requests=1, tokens=PROMPT + 12, usd=IN * PROMPT + OUT * 12, concurrent=1),
            charged,
            says(overdraft=False),
        ),
    ),
    "holds-the-reserve": Case(
        {"limits": FOUR},
        {"n": 2},
        check=drawn(requests=1, tokens=PROMPT + 2 * RESERVE, usd=IN * PROMPT + OUT * 2 * RESERVE, concurrent=1),
    ),
    "overdrawn": Case(
        {"limits": [limit("tokens", 9000)]},
        {"model": "simulated-words-100"},
        check=both(charged, drawn(tokens=PROMPT + RESERVE), says(overdraft=True)),
    ),
    "grown": Case(
        {"limits": [limit("tokens", 9000)]},
        {"stream": True, "model": "simulated-words-100"},
        check=both(grown, charged),
    ),
    "grown-no-further": Case(
        {"limits": [limit("tokens", 9000)]},
        {"stream": True, "model": "simulated-words-30", "max_tokens": 30},
        check=both(charged, drawn(tokens=PROMPT + 30), lambda seen: assert_held(seen, PROMPT + 30)),
    ),
    "stopped-completions": Case({"limits": BUDGET}, LONG, check=stopped_at_limit(COMPLETIONS, "length")),
    "stopped-chat": Case({"limits": BUDGET}, LONG, CHAT, check=stopped_at_limit(CHAT, "length")),
    "stopped-responses": Case(
        {"limits": BUDGET}, LONG, RESPONSES, check=stopped_at_limit(RESPONSES, "max_output_tokens")
    ),
    "stopped-in-a-tool": Case(
        {"words": 2},
        {"stream": True, "tools": TOOLS, "model": "simulated-pace-9"},
        CHAT,
        check=error_event("policy_stopped"),
    ),
    "words-completions": Case({"words": 12}, LONG, check=stopped(COMPLETIONS, "policy", "content_filter", 24)),
    "words-chat": Case({"words": 12}, LONG, CHAT, check=stopped(CHAT, "policy", "content_filter", 24)),
    "words-responses": Case({"words": 12}, LONG, RESPONSES, check=stopped(RESPONSES, "policy", "content_filter", 24)),
    "words-messages": Case({"words": 12}, LONG, MESSAGES, check=stopped(MESSAGES, "policy", "refusal", 24)),
    "held-back": Case({"hold_back": True, "limits": FOUR}, status=403, code="response_denied", check=charged),
    "held-back-stream": Case({"hold_back": True}, SLOW, check=error_event("response_denied")),
    "flagged": Case({"long": 3}, check=lambda seen: assert_flags(seen, "long")),
    "flagged-stream": Case({"long": 3}, STREAM, CHAT, check=lambda seen: assert_flags(seen, "long")),
    "lowered": Case({"max_output": 7, "route": {"integration": "raw"}}, {"max_tokens": 500}, CHAT, check=edited),
    "low-enough": Case({"max_output": 7}, {"max_tokens": 6}, check=unedited),
    "lowered-holds": Case(
        {"max_output": 7, "limits": FOUR},
        {"n": 2},
        check=drawn(requests=1, tokens=PROMPT + 14, usd=IN * PROMPT + OUT * 14, concurrent=1),
    ),
    "routed": Case(
        {"route": {"integration": "other"}, "limits": FOUR},
        other=True,
        check=both(charged, attempts(("other", 200, ""))),
    ),
    "routed-to-a-dear-model": Case(
        {"route": {"model": "simulated-bytes-9"}, "limits": [limit("usd", 9)]},
        {"max_tokens": 3},
        check=both(dear, drawn(usd=DEAR_IN * PROMPT + DEAR_OUT * 3)),
    ),
    "fallback-dead": Case(
        {"route": {"integration": "dead", "fallback": ["other"]}, "limits": FOUR},
        other=True,
        check=both(charged, attempts(("dead", 0, "upstream_unreachable"), ("other", 200, ""))),
    ),
    "fallback-sick": Case(
        {"route": {"integration": "sick", "fallback": ["other"]}, "limits": FOUR},
        other=True,
        check=both(charged, attempts(("sick", 503, ""), ("other", 200, ""))),
    ),
    "fallback-long": Case(
        {
            "route": {"integration": "sick", "fallback": ["dead", "other"]},
            "limits": [limit("tokens", 90_000), limit("concurrent", 9, None)],
        },
        {"user": "u", "messages": [{"role": "user", "content": "tide " * 20_000}]},
        CHAT,
        other=True,
        check=both(charged, attempts(("sick", 503, ""), ("dead", 0, "upstream_unreachable"), ("other", 200, ""))),
    ),
    "fallback-busy-stream": Case(
        {"route": {"integration": "busy", "fallback": ["other"]}, "limits": FOUR},
        STREAM,
        other=True,
        check=both(charged, attempts(("busy", 429, ""), ("other", 200, ""))),
    ),
    "fallback-twice": Case(
        {"route": {"integration": "sick", "fallback": ["dead", "other"]}, "limits": FOUR},
        other=True,
        check=both(charged, attempts(("sick", 503, ""), ("dead", 0, "upstream_unreachable"), ("other", 200, ""))),
    ),
    "fallback-in-vain": Case(
        {"route": {"integration": "sick", "fallback": ["dead"]}, "limits": FOUR},
        status=502,
        code="upstream_unreachable",
        check=both(unbilled, attempts(("sick", 503, ""), ("dead", 0, "upstream_unreachable"))),
    ),
    "fallback-too-dear": Case(
        {"route": {"integration": "sick", "fallback": ["dear"]}, "limits": [limit("usd", 0.0001)]},
        {"max_tokens": 3},
        status=429,
        code="budget_exceeded",
        check=unbilled,
    ),
    "no-fallback-after-a-byte": Case(
        {"route": {"integration": "half", "fallback": ["other"]}},
        STREAM,
        CHAT,
        other=True,
        check=lambda seen: assert_not_again(seen),
    ),
    "capture-none": Case({"capture": "none"}, check=both(bodies(False), says(capture="none"))),
    "capture-digest": Case({"capture": "digest"}, check=both(bodies(True), says(capture="digest"))),
    "capture-full": Case({"capture": "full"}, status=403, code="policy_error", check=refused),
    "evidence-async": Case({"evidence": "async"}, check=says(evidence="async")),
    "evidence-response": Case({"evidence": "response"}, STREAM, check=says(evidence="response")),
    "evidence-strict": Case({"evidence": "strict", "limits": FOUR}, check=both(says(evidence="strict"), charged)),
    "shadowed": Case(check=lambda seen: assert_shadow(seen)),
    "watched": Case(
        {"watch": True, "limits": [{"name": "watched", "measure": "requests", "max": 3, "per": "total"}]},
        before=2,
        check=both(watched, because("used_before")),
    ),
    "thirteen": Case(
        {"limits": [limit("requests", 9, name=f"limit-{number}") for number in range(13)]},
        status=403,
        code="policy_error",
        check=refused,
    ),
    "twelve": Case(
        {"limits": [limit("requests", 9, name=f"limit-{number}") for number in range(12)]},
        check=lambda seen: assert_draws(seen, 12),
    ),
}


def assert_flags(seen: Seen, *codes: str) -> None:
    assert [flag.code for flag in seen.outcome.flags] == list(codes)
    assert (seen.told.status, seen.outcome.error) == (200, "")


def assert_held(seen: Seen, most: int) -> None:
    """Not more than the caller said that it may be, also at its end."""
    assert (seen.draw("tokens").held, seen.outcome.overdraft) == (most, False)


def assert_not_again(seen: Seen) -> None:
    error_event("upstream_truncated")(seen)
    attempts(("half", 200, "upstream_truncated"))(seen)
    assert seen.bill is None


def assert_shadow(seen: Seen) -> None:
    shadow = seen.outcome.shadow
    assert shadow is not None
    assert (shadow.action, [each.code for each in shadow.reasons]) == ("block", ["not_yet"])
    assert shadow.policy != seen.outcome.decision.policy
    assert (seen.outcome.decision.action, seen.outcome.error) == ("allow", "")


def assert_draws(seen: Seen, count: int) -> None:
    assert len(seen.outcome.draws) == count


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """All cases, called at once; then the gateway is stopped and its ledger read."""
    folder = tmp_path_factory.mktemp("governed")
    told: dict[str, tuple[Told, bytes, Bill | None]] = {}
    with governed(folder, {tag: case.policy for tag, case in CASES.items()}) as place:

        def call(tag: str, number: int) -> None:
            case = CASES[tag]
            for turn in range(case.before):
                before = body(case.path, 1000 * number + turn, **case.ask)
                assert place.ask(tag, case.path, before).status == 200, (tag, turn)
            sent = body(case.path, 77 if tag == "lowered" else number, **case.ask)
            answer = place.ask(tag, case.path, sent)
            provider = place.other if case.other else place.sim
            told[tag] = answer, sent, bill_of(provider, case.path, sent, answer.body)

        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(call, tag, number) for number, tag in enumerate(CASES, 100)]:
                done.result()
    said = Said(folder / "gateway" / ".tidegate")
    return {
        tag: Seen(answer, sent, said.of[answer.fields[RUN]], bill, place) for tag, (answer, sent, bill) in told.items()
    }


@pytest.mark.parametrize("tag", CASES)
def test_an_outcome(results: dict[str, Seen], tag: str) -> None:
    case, seen = CASES[tag], results[tag]
    assert (seen.told.status, seen.told.code if case.code else "") == (case.status, case.code), seen.told.body
    assert seen.outcome.status == case.status
    if case.code:
        assert seen.outcome.error == case.code
    assert len(seen.outcome.decision.policy) == 32
    case.check(seen)


def test_the_provider_sees_that_a_stopped_stream_is_left(results: dict[str, Seen]) -> None:
    stopped_here = {tag for tag, seen in results.items() if seen.outcome.stopped}
    assert stopped_here == {tag for tag in CASES if tag.startswith(("stopped", "words"))}
    ledger = results["allowed"].place.sim.ledger
    assert ledger.streams_abandoned == len(stopped_here)
