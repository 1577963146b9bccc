"""No route is unmetered or ungoverned: every one, plain and as a stream, with every kind of limit and every outcome.

The cases are made from the routes themselves, so that a new one is among them without being named here.
"""

import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from tests.e2e.governed import RUN, Governed, governed, tagged
from tests.e2e.ledgers import Said
from tests.gateway import Told, post
from tests.words import tokens
from tidegate.count.usage_reports import REPORTS
from tidegate.record.records import Aborted, Intent, Outcome
from tidegate.wire import anthropic, openai
from tidegate.wire.dialect import Route

ROUTES = (*openai.ROUTES, *anthropic.ROUTES)
LONG = 600  # tokens of a prompt: two of them are more than every limit here
IN, OUT = 100, 200  # micro-cents a token: tests/gateway.py has a dollar a million, and two
MOST = {"requests": 1, "tokens": 1000, "usd": 0.001, "concurrent": 1}
PERIODS: dict[str, tuple[str | None, ...]] = {
    "requests": ("1h", "total"),
    "tokens": ("1h", "day"),
    "usd": ("30d", "month"),
    "concurrent": (None,),
}
KINDS = [(measure, per) for measure, periods in PERIODS.items() for per in periods]
OUTCOMES = ("allowed", "denied", "blocked", "throttled", "warned")
PROMPTS: dict[str, Callable[[int], dict[str, Any]]] = {  # a Responses call has a `prompt` too, but a kept one
    "messages": lambda number: {"messages": [{"role": "user", "content": f"{number} " + "tide " * LONG}]},
    "input": lambda number: {"input": f"{number} " + "tide " * LONG},
    "prompt": lambda number: {"prompt": tokens(number, length=LONG)},
}


class Case(NamedTuple):
    """A route, how it is asked, and what is to become of it."""

    route: Route
    stream: bool
    measure: str
    per: str | None
    outcome: str

    @property
    def tag(self) -> str:
        """Which policy it has."""
        return f"{self.measure}-{self.per}-{self.outcome}"

    @property
    def charged(self) -> bool:
        """Tokens and money are used."""
        return self.route.endpoint in REPORTS

    @property
    def second(self) -> bool:
        """The limit is used up by a call like it. One of no call at once is exceeded by the first."""
        return self.outcome in ("blocked", "throttled") and self.measure != "concurrent"

    @property
    def refused(self) -> bool:
        """What does not use tokens or money can never be too much of them."""
        passes = self.measure in ("tokens", "usd") and not self.charged
        return self.outcome == "denied" or (self.outcome in ("blocked", "throttled") and not passes)

    def __str__(self) -> str:
        return f"{self.route.endpoint}-{self.route.dialect.name}-{'stream' if self.stream else 'plain'}-{self.tag}"

    def request(self, number: int) -> bytes:
        """A call of it, like no other."""
        fields = tagged(self.tag, f"session-{number // 2}")
        if self.route.dialect.name == "anthropic":
            fields += "anthropic-version: 2023-06-01\r\n"
        if self.route.body is None:
            return (
                f"{self.route.method.decode()} {self.route.path.decode()} HTTP/1.1\r\nHost: g\r\n{fields}\r\n".encode()
            )
        body: dict[str, Any] = {"model": "simulated-words-9"}
        prompted = next((made for name, made in PROMPTS.items() if name in self.route.body.__struct_fields__), None)
        if prompted is not None:
            body |= prompted(number)
        if self.route.endpoint == "messages":
            body["max_tokens"] = 20
        if self.stream:
            body["stream"] = True
        return post(json.dumps(body).encode(), self.route.path.decode(), fields=fields)


def policies() -> dict[str, dict[str, Any]]:
    """What each outcome takes."""
    made: dict[str, dict[str, Any]] = {}
    for (measure, per), outcome in itertools.product(KINDS, OUTCOMES):
        none_at_once = measure == "concurrent" and outcome in ("blocked", "throttled")
        limit = {"name": "it", "measure": measure, "max": 0 if none_at_once or outcome == "warned" else MOST[measure]}
        limit["exceed"] = {"throttled": "throttle", "warned": "warn"}.get(outcome, "block")
        if per is not None:
            limit["per"] = per
        deny = [{"code": "no", "message": "no"}] if outcome == "denied" else []
        made[f"{measure}-{per}-{outcome}"] = {"limits": [limit], "deny": deny}
    return made


CASES = [
    Case(route, stream, measure, per, outcome)
    for route in ROUTES
    for stream in ((False, True) if route.stream_error is not None else (False,))
    for measure, per in KINDS
    for outcome in OUTCOMES
]


class Result(NamedTuple):
    """What came of a call."""

    told: Told
    records: list[Intent | Outcome | Aborted]


class Results(NamedTuple):
    """All of them, and what the provider's books say together."""

    of: dict[Case, Result]
    said: Said
    place: Governed


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Every case is called, those that need it a second time; then the gateway stops."""
    folder = tmp_path_factory.mktemp("coverage")
    told: dict[Case, Told] = {}
    with governed(folder, policies()) as place:

        def call(number: int, case: Case) -> None:
            if case.second:
                assert place.gateway.ask(case.request(2 * number)).status == 200, case
            told[case] = place.gateway.ask(case.request(2 * number + 1))

        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(call, *each) for each in enumerate(CASES, 1)]:
                done.result()
    said = Said(folder / "gateway" / ".tidegate")
    return Results({case: Result(told[case], said.of[told[case].fields[RUN]]) for case in CASES}, said, place)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_route_is_governed_and_metered(results: Results, case: Case) -> None:
    told, records = results.of[case]
    outcome = records[-1]
    assert isinstance(outcome, Outcome)
    assert (outcome.endpoint, outcome.stream, len(outcome.decision.policy)) == (case.route.endpoint, case.stream, 32)
    if case.refused:
        assert told.status == (403 if case.outcome == "denied" else 429), told.body
        assert [type(record) for record in records] == [Outcome]
        assert (outcome.draws, outcome.cost, outcome.status) == ((), 0, told.status)
        assert outcome.decision.action in ("block", "throttle")
        return
    assert (told.status, outcome.status, outcome.error) == (200, 200, ""), told.body
    assert [type(record) for record in records] == [Intent, Outcome]
    (draw,) = outcome.draws
    (held,) = records[0].draws
    assert (draw.measure, held.measure, held.bucket) == (case.measure, case.measure, draw.bucket)
    if not case.charged:
        assert (outcome.provider, outcome.cost) == (None, 0)
        assert draw.settled == (1 if case.measure == "requests" else 0)
        return
    used = outcome.provider
    assert used is not None
    assert used.input >= LONG
    assert used.output == (0 if case.route.endpoint == "embeddings" else 9)
    assert outcome.cost == IN * used.input + OUT * used.output
    amounts = {"requests": 1, "concurrent": 0, "tokens": used.input + used.output, "usd": outcome.cost}
    assert draw.settled == amounts[case.measure]
    assert held.held > 0
    assert outcome.decision.action == ("warn" if case.outcome == "warned" else "allow")


def test_the_sums_are_the_provider_s(results: Results) -> None:
    """Of all records together: nothing was billed that is not on record, and nothing is on record twice."""
    ledger, outcomes = results.place.sim.ledger, [r for r in results.said.records if isinstance(r, Outcome)]
    used = [outcome.provider for outcome in outcomes if outcome.provider is not None]
    assert sum(each.input for each in used) == ledger.prompt_tokens
    assert sum(each.output for each in used) == ledger.output_tokens
    assert sum(outcome.cost for outcome in outcomes) == IN * ledger.prompt_tokens + OUT * ledger.output_tokens
    assert len([record for record in results.said.records if isinstance(record, Intent)]) == ledger.calls
    assert ledger.refused == ledger.streams_abandoned == ledger.streams_broken == 0
    assert len({outcome.run for outcome in outcomes}) == len(outcomes)


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")
ELSEWHERE = """
/ /v1 /v1/ /v1/files /v1/batches /v1/images/generations /v1/audio/speech /v1/audio/transcriptions
/v1/moderations /v1/fine_tuning/jobs /v1/assistants /v1/threads /v1/vector_stores /v1/realtime
/v1/models/gpt-4o /v1/responses/r_1 /v1/messages/batches /v1/complete /v1/chat/completions/
//v1/chat/completions /v1//chat/completions /V1/chat/completions /v1/chat/completions/x
/v1/./chat/completions /v1/x/../chat/completions /v1/chat%2Fcompletions /v1/chat/completion%73
/v1/chat/completions; /v1/chat/completions%00 /chat/completions /openai/v1/chat/completions /v1beta/models
/model/m/converse /healthz /readyz /metrics /admin
"""


def test_what_is_no_route_goes_nowhere(results: Results, tmp_path_factory: pytest.TempPathFactory) -> None:
    """404 for a path, 405 for a method, and no other answer; no provider hears of it."""
    known = {(route.method, route.path) for route in ROUTES}
    with governed(tmp_path_factory.mktemp("nowhere"), {}) as place:
        for path, method in itertools.product([*ELSEWHERE.split(), *{path.decode() for _, path in known}], METHODS):
            if (method.encode(), path.encode()) in known:
                continue
            target = "example.org:443" if method == "CONNECT" else path
            request = post(b'{"model":"m","messages":[]}', target).replace(b"POST", method.encode(), 1)
            with place.gateway.connect() as client:
                client.sendall(request)
                head = client.recv(4096)
            expected = (b"404", b"405") if path in ELSEWHERE.split() else (b"405",)
            if method == "CONNECT":
                expected = (b"400", b"404", b"405", b"501")
            assert head[9:12] in expected, (method, path, head)
        assert place.sim.ledger.calls == place.other.ledger.calls == 0
