"""Calls that a program makes by itself are decided, held, metered, stopped, settled and recorded as a gateway's are."""

import asyncio
import gc
import itertools
import os
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tidegate
from tests.e2e.ledgers import Said
from tests.embedded import (
    ORIGIN,
    POLICY,
    RESERVE,
    abegin,
    ask,
    begin,
    chat,
    events,
    opened,
    settings,
    stream_of,
    streamed,
    words,
    write,
)
from tests.providers import simulated, until
from tidegate import Engine, Limit, Limits, TidegateError
from tidegate import engine as module
from tidegate.errors import (
    Abandoned,
    BadField,
    BudgetExceeded,
    Draining,
    LimitExceeded,
    LimitThrottled,
    PolicyDenied,
    PolicyFailed,
    ResponseDenied,
    StartError,
)
from tidegate.governed import GovernedRun
from tidegate.model import Evidence
from tidegate.model import Outcome as Ending
from tidegate.record.layout import find
from tidegate.record.records import Aborted, Outcome, PolicyLoaded, Refusals
from tidegate.record.unrecorded import Unrecorded
from tidegate.serve.ledger import memory_of
from tidegate.serve.simulated import Provider
from tidegate.settings import Accept, Forward, Integration, Policy

STOP = 'package tidegate.stream\n\nstop contains {"code": "too_long", "message": "enough"} if input.output.tokens > 3\n'
JUDGE = """package tidegate.response

deny contains {"code": "secret", "message": "not for you"} if contains(input.output.text, "secret")

flag contains {"code": "long", "message": "so long"} if input.output.usage.output_tokens > 5
"""
ROUTED = """package tidegate.admission

route := {"integration": "other", "model": "fast", "fallback": ["third", "gone"]}

max_output := 7
"""
PLAIN = b'{"choices":[{"message":{"content":"%b"}}],"usage":{"prompt_tokens":8,"completion_tokens":9}}'


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with simulated() as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One for the tests that look at no records."""
    with opened(tmp_path_factory.mktemp("shared"), accept=Accept(body=4000)) as engine:
        yield engine


def used(engine: Engine, name: str = "tokens", tenant: str = "acme") -> tuple[int, int]:
    """(settled, held) of a limit."""
    limit = Limit(name=name, key=(tenant,), measure="tokens", max=1, per="total")  # whatever its `max`
    with engine.turns:
        bucket = engine._limits.prepare(limit, tenant)
        return bucket.settled(), bucket.held()


async def several(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


# the whole way


def test_sums_of_records_are_what_the_provider_billed(tmp_path: Path, provider: Provider) -> None:
    before = provider.ledger.prompt_tokens, provider.ledger.output_tokens
    costs: dict[str, int] = {}
    with opened(tmp_path) as engine:
        for number in range(3):
            run = begin(engine, max_tokens=5 + number)
            answer = ask(provider, run.body)
            assert run.whole(answer.content, answer.status_code) == answer.content
            costs[run.id] = run.end().cost
        for number in range(3):
            run = begin(engine, stream=True, max_tokens=11 + number)
            assert b'"include_usage":true' in run.body
            stream = b"".join(streamed(run, provider))
            assert stream.endswith(b"data: [DONE]\n\n")
            assert b"usage" not in stream
            costs[run.id] = run.end().cost
        settled, held = used(engine)
    prompt = provider.ledger.prompt_tokens - before[0]
    output = provider.ledger.output_tokens - before[1]
    found = Said(tmp_path)
    usages = []
    for run_id, cost in costs.items():
        assert found.kinds(run_id) == ["Intent", "Outcome"]
        outcome = found.outcome(run_id)
        assert (outcome.status, outcome.error, outcome.evidence, outcome.cost) == (200, "", "response", cost)
        assert outcome.provider is not None
        usages.append(outcome.provider)
    assert sum(each.input for each in usages) == prompt
    assert sum(each.output for each in usages) == output == 5 + 6 + 7 + 11 + 12 + 13
    assert (settled, held) == (prompt + output, 0)
    assert sum(costs.values()) == prompt * 100 + output * 400  # 1 and 4 dollars a million, in micro-cents
    checked = subprocess.run(
        [sys.executable, "-m", "tidegate", "ledger", "verify", str(tmp_path / "ledger")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_coroutines_go_the_same_way(tmp_path: Path, provider: Provider) -> None:
    async def one(engine: Engine, number: int) -> str:
        run = await abegin(engine, stream=True, max_tokens=1 + number)
        answer = await asyncio.to_thread(ask, provider, run.body)
        pieces = [piece async for piece in run.astream(several([answer.content[:70], answer.content[70:]]))]
        assert len(events(b"".join(pieces))) > number
        plain = await abegin(engine, max_tokens=3)
        answer = await asyncio.to_thread(ask, provider, plain.body)
        assert await plain.awhole(answer.content, answer.status_code) == answer.content
        return run.id

    async def all_of_them(engine: Engine) -> list[str]:
        return await asyncio.gather(*(one(engine, number) for number in range(6)))

    with opened(tmp_path) as engine:
        runs = asyncio.run(all_of_them(engine))
        settled, held = used(engine)
    found = Said(tmp_path)
    usages = [each.provider for each in found.records if isinstance(each, Outcome) and each.provider is not None]
    assert len(usages) == 12
    assert (settled, held) == (sum(each.input + each.output for each in usages), 0)
    outputs = [found.outcome(run).provider for run in runs]
    assert [each.output for each in outputs if each is not None] == [1, 2, 3, 4, 5, 6]


def test_threads_may_govern_at_once(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def work(engine: Engine, number: int) -> None:
        try:
            for _ in range(10):
                run = begin(engine, user=f"u{number}", stream=True)
                assert b"".join(run.stream(words(number))) == b"".join(words(number))
        except BaseException as error:
            failed.append(error)

    with opened(tmp_path, evidence="async") as engine:
        threads = [threading.Thread(target=work, args=(engine, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        settled, held = used(engine)
    found = Said(tmp_path)
    usages = [each.counted for each in found.records if isinstance(each, Outcome) and each.counted is not None]
    assert len(usages) == 80
    assert (settled, held) == (sum(each.input + each.output for each in usages), 0)
    assert len({each.who.user for each in found.records if isinstance(each, Outcome)}) == 8


# what is refused


@pytest.mark.parametrize(
    ("tenant", "model", "kind", "status", "code", "note"),
    [
        ("acme", "forbidden", PolicyDenied, 403, "policy_denied", "a policy says no"),
        ("small", "simulated", BudgetExceeded, 429, "budget_exceeded", "more is asked for than there is"),
        ("slow", "simulated", LimitThrottled, 429, "limit_throttled", "the second at once, of a pace"),
        ("single", "simulated", LimitExceeded, 429, "limit_exceeded", "the second at once"),
    ],
)
def test_what_refuses_a_call_is_raised_and_recorded(
    tmp_path: Path, tenant: str, model: str, kind: type[TidegateError], status: int, code: str, note: str
) -> None:
    with opened(tmp_path) as engine:
        first = begin(engine, tenant) if tenant in ("slow", "single") else None
        with pytest.raises(kind) as caught:
            begin(engine, tenant, model=model, max_tokens=RESERVE * 2)
        error = caught.value
        answer = engine.refusal(error)
        if first is not None:
            first.end()
        if tenant == "single":
            begin(engine, tenant).end()
    assert (error.status, error.code, type(error.rule)) == (status, code, str)
    assert answer.status == status
    assert ("x-tidegate-run-id", error.run) in answer.headers
    assert error.run.encode() in answer.body
    found = Said(tmp_path)
    outcome = found.outcome(error.run)
    assert (outcome.status, outcome.error) == (status, code)
    assert outcome.decision.action == ("throttle" if tenant == "slow" else "block")
    assert found.kinds(error.run) == ["Outcome"]


@pytest.mark.parametrize(
    ("about", "body", "code", "note"),
    [
        ({}, b'{"model":"a","Model":"b","messages":[]}', "bad_body", "two meanings"),
        ({}, b"[]", "bad_body", "no object"),
        ({}, {"model": {1, 2}}, "bad_body", "without fields that are needed"),
        ({}, {"model": object()}, "bad_body", "no JSON"),
        ({}, b'{"model":"' + b"x" * 4000 + b'"}', "body_too_large", "too large"),
        ({"tenant": ""}, chat(), "bad_field", "nobody"),
        ({"tenant": "a b"}, chat(), "bad_field", "no name"),
        ({"tenant": None}, chat(), "bad_field", "no text"),
        ({"user": "x" * 257}, chat(), "bad_field", "too long"),
        ({"user": "a\nb"}, chat(), "bad_field", "two lines"),
        ({"user": "\ud800"}, chat(), "bad_field", "half a character"),
        ({"session": "a b"}, chat(), "bad_field", "a blank"),
        ({"parent": "xyz"}, chat(), "bad_field", "no run"),
        ({"tags": list("abcdefghijklmnopqr")}, chat(), "bad_field", "too many"),
        ({"tags": ["a b"]}, chat(), "bad_field", "a blank"),
        ({"roles": ["a b"]}, chat(), "bad_field", "a blank"),
        ({"key": "tg_" + "x" * 90}, chat(), "bad_field", "a secret is no name"),
        ({"endpoint": "models"}, chat(), "not_found", "nothing to govern"),
    ],
)
def test_what_cannot_be_read_is_refused(shared: Engine, about: dict[str, Any], body: Any, code: str, note: str) -> None:
    about = {"endpoint": "chat.completions", "tenant": "acme"} | about
    with pytest.raises(TidegateError) as caught:
        shared.begin(about.pop("endpoint"), body, **about)
    assert caught.value.code == code
    assert "tg_" not in caught.value.message


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        for _ in range(3):
            with pytest.raises(TidegateError):
                engine.begin("chat.completions", b"{", tenant="acme")
    (counts,) = [each.counts for each in Said(tmp_path).records if isinstance(each, Refusals)]
    assert counts == (("bad_body", 3),)


def test_who_calls_is_in_the_policy_s_input_and_in_the_record(tmp_path: Path) -> None:
    rules = """package tidegate.admission

deny contains {"code": "told", "message": sprintf("%v", [[
	input.caller.tenant, input.caller.key, input.caller.user, input.caller.roles, input.caller.mode,
	input.run.session, input.run.parent, input.run.tags, input.request.integration, input.request.model,
]])}
"""
    parent = "01a1fe6b68f50000009d130576"
    with opened(tmp_path, rules=rules) as engine, pytest.raises(PolicyDenied) as caught:
        engine.begin(
            "chat.completions",
            chat(user="of-the-body"),
            tenant="acme",
            key="web",
            roles=("admin",),
            session="s1",
            parent=parent,
            tags=("a", "b", "a"),
            provider="simulated",
        )
    for each in ("acme", "web", "of-the-body", "admin", '"key"', "s1", parent, '["a", "b"]', "simulated"):
        assert each in caught.value.message
    who = Said(tmp_path).outcome(caught.value.run).who
    assert all((who.tenant, who.key, who.user, who.session, who.parent))


# what a decision changes


def test_a_route_says_where_the_call_goes_and_what_is_asked_for(tmp_path: Path) -> None:
    others = {
        "other": Integration(provider="simulated", aliases={"fast": "simulated-1"}),
        "third": Integration(provider="simulated", aliases={"fast": "simulated-3"}, include_usage=False),
    }
    with opened(tmp_path, rules=ROUTED, integration=others) as engine:
        run = engine.begin("chat.completions", chat(stream=True, max_tokens=50), tenant="acme", provider="simulated")
        assert (run.integration, run.provider) == ("other", "simulated")
        assert b'"model":"simulated-1"' in run.body
        assert b'"max_tokens":7' in run.body
        assert run.fall_back(529)
        assert run.integration == "third"
        assert b'"model":"simulated-3"' in run.body
        assert b"include_usage" not in run.body
        with pytest.raises(PolicyFailed, match="there is no integration `gone`") as caught:
            run.fall_back(0, "upstream_timeout")
        assert run.over
        assert not run.fall_back()
        again = engine.begin("chat.completions", chat(), tenant="acme", provider="simulated")
        assert again.fall_back(500)
        assert again.whole(PLAIN % b"hi")
        asyncio.run(falls_back(engine))
    found = Said(tmp_path)
    outcome = found.outcome(run.id)
    assert caught.value.run == run.id
    assert (outcome.status, outcome.error, outcome.cost) == (403, "policy_error", 0)
    assert [(each.integration, each.status) for each in outcome.attempts] == [("other", 529), ("third", 0)]
    assert found.kinds(again.id) == ["Intent", "Intent", "Outcome"]


async def falls_back(engine: Engine) -> None:
    run = await engine.abegin("chat.completions", chat(), tenant="acme", provider="simulated")
    assert await run.afall_back(500)
    assert run.integration == "third"
    assert await run.awhole(PLAIN % b"hi")


def test_a_call_does_not_go_where_its_dialect_is_not_spoken(tmp_path: Path) -> None:
    others = {"other": Integration(provider="anthropic"), "third": Integration(provider="simulated")}
    routed = 'package tidegate.admission\n\nroute := {"integration": "%s", "fallback": ["other"]}\n'
    unspoken = partial(pytest.raises, PolicyFailed, match="`other` does not speak the dialect of the call")
    with opened(tmp_path / "a", rules=routed % "other", integration=others) as engine, unspoken():
        engine.begin("chat.completions", chat(), tenant="acme", provider="simulated")
    with opened(tmp_path / "b", rules=routed % "third", integration=others) as engine:
        run = engine.begin("chat.completions", chat(), tenant="acme", provider="simulated")
        with unspoken():
            run.fall_back(500)


def test_a_call_whose_policy_sends_it_nowhere_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path, rules=ROUTED) as engine, pytest.raises(PolicyFailed, match="no integration `other`"):
        begin(engine)


def test_a_changed_policy_is_in_force_and_on_record(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        first = begin(engine)
        first.end()
        write(tmp_path / "policies", admission=POLICY.replace("`forbidden`", "it"))
        assert until(lambda: engine._policies.digests[0] != first.decision.digest)
        second = begin(engine)
        second.end()
        with engine.turns:
            engine.check(engine.turns.now)
    found = Said(tmp_path)
    loaded = [each.policy.hex() for each in found.records if isinstance(each, PolicyLoaded)]
    assert loaded == [first.decision.digest.removeprefix("sha256:"), second.decision.digest.removeprefix("sha256:")]
    assert found.outcome(first.id).decision.policy.hex() == loaded[0]
    assert found.outcome(second.id).decision.policy.hex() == loaded[1]


# answers that are stopped


def test_a_stream_ends_at_its_limit(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        run = begin(engine, "small", stream=True)
        out = b"".join(run.stream(words(60)))
        assert run.stopped
        ended = run.end()
        settled, held = used(engine, "small", "small")
    assert ended.usage is not None
    assert ended.usage.input_tokens + ended.usage.output_tokens == settled
    assert settled <= 40 + 2  # the event in flight
    assert held == 0
    assert events(out)[-1]["choices"][0]["finish_reason"] == "length"
    outcome = Said(tmp_path).outcome(run.id)
    assert (outcome.status, outcome.error, outcome.stopped) == (200, "limit_reached", "limit")
    assert {each.settled for each in outcome.draws} == {settled}


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_stream_ends_where_a_policy_says_so(tmp_path: Path, by_hand: bool) -> None:
    with opened(tmp_path, STOP, policy=Policy(every=2)) as engine:
        run = begin(engine, stream=True)
        out = b""
        if by_hand:
            for chunk in words(200):
                out += run.feed(chunk)
                if run.stopped:
                    out += run.ending()
                    break
            run.end()
        else:
            out = b"".join(run.stream(words(200)))
    assert b"stopped by tidegate: policy_stopped" in out
    outcome = Said(tmp_path).outcome(run.id)
    assert (outcome.error, outcome.stopped) == ("policy_stopped", "policy")
    assert [each.code for each in outcome.flags] == ["too_long"]
    assert outcome.counted is not None
    assert outcome.counted.output < 20


@pytest.mark.parametrize("text", ["a secret thing", "a thing"])
def test_a_policy_judges_the_answer(tmp_path: Path, text: str) -> None:
    denied = "secret" in text
    with opened(tmp_path, JUDGE) as engine:
        run = begin(engine)
        if denied:
            with pytest.raises(ResponseDenied, match="not for you") as caught:
                run.whole(PLAIN % text.encode())
            assert caught.value.run == run.id
        else:
            assert run.whole(PLAIN % text.encode())
        streaming = begin(engine, stream=True)
        out = b"".join(streaming.stream(stream_of(*(f" {each}" for each in text.split()))))
        unfinished = begin(engine, stream=True)  # the provider ends it without an event that says so
        cut = b"".join(unfinished.stream(stream_of(*(f" {each}" for each in text.split()))[:-1]))
        assert used(engine)[1] == 0
    assert (b"response_denied" in cut) is denied
    assert (b"response_denied" in out) is denied
    assert (b"[DONE]" in out) is not denied
    found = Said(tmp_path)
    outcome = found.outcome(run.id)
    assert (outcome.status, outcome.error) == ((403, "response_denied") if denied else (200, ""))
    assert outcome.cost == 8 * 100 + 9 * 400
    assert [each.code for each in outcome.flags] == (["secret"] if denied else []) + ["long"] or denied
    assert found.outcome(streaming.id).error == ("response_denied" if denied else "")


def test_an_event_without_end_stops_the_stream(tmp_path: Path) -> None:
    with opened(tmp_path, forward=Forward(event=2000)) as engine:
        run = begin(engine, stream=True)
        out = b"".join(run.stream([b"data: " + b"x" * 3000, b"y"]))
    assert b"upstream_malformed" in out
    assert Said(tmp_path).outcome(run.id).error == "upstream_malformed"


def test_what_follows_the_end_of_an_answer_is_not_gathered_without_end(tmp_path: Path) -> None:
    padding = b":%b\n\n" % (b" " * 1021)
    answer, behind = words(5), iter([padding] * 1000)
    with opened(tmp_path) as engine:
        run = begin(engine, stream=True)
        out = b"".join(run.stream(itertools.chain(answer, behind)))
        brief = begin(engine, stream=True)
        whole = [*words(5), padding]
        assert b"".join(brief.stream(whole)) == b"".join(whole)
    assert out == b"".join(answer) + padding * 65
    assert len(list(behind)) == 1000 - 65
    outcome = Said(tmp_path).outcome(run.id)
    assert (outcome.status, outcome.error, outcome.client_left) == (200, "", False)


# answers that do not come to their end


def leave(run: Any) -> None:
    passing = run.stream(words(50))
    for _ in range(9):
        next(passing)
    passing.close()


def leave_cancelled(run: Any) -> None:
    async def reads(begun: asyncio.Event) -> None:
        async for _ in run.astream(never(words(9), begun)):
            pass

    async def cancel() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(reads(begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


async def never(pieces: list[bytes], begun: asyncio.Event) -> AsyncIterator[bytes]:
    for piece in pieces[:-1]:
        yield piece
    begun.set()
    await asyncio.Event().wait()


def break_off(run: Any) -> None:
    def broken() -> Iterator[bytes]:
        yield from words(9)[:-1]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        list(run.stream(broken()))


def fail_by_hand(run: Any) -> None:
    for piece in words(9)[:-1]:
        run.feed(piece)
    run.end(200, error="upstream_timeout")


def raise_within(run: Any) -> None:
    def fail() -> None:
        with run:
            for piece in words(9)[:-1]:
                run.feed(piece)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def cancel_within(run: Any) -> None:
    async def reads() -> None:
        async with run:
            for piece in words(9)[:-1]:
                run.feed(piece)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(reads())


def leave_the_block(run: Any) -> None:
    with run:
        for piece in words(9)[:-1]:
            run.feed(piece)


def not_reached(run: Any) -> None:
    run.end(502, error="upstream_unreachable", reached=False)


@pytest.mark.parametrize(
    ("how", "status", "error", "left", "output", "note"),
    [
        (leave, 200, "", True, 9, "the client has left"),
        (leave_cancelled, 200, "", True, 9, "so has its task"),
        (cancel_within, 499, "", True, 9, "and by hand"),
        (break_off, 200, "upstream_failed", False, 9, "the provider breaks off"),
        (fail_by_hand, 200, "upstream_timeout", False, 9, "the program says so"),
        (raise_within, 500, "abandoned", False, 9, "the program fails"),
        (leave_the_block, 500, "abandoned", False, 9, "the program forgets"),
        (not_reached, 502, "upstream_unreachable", False, None, "nothing has left"),
    ],
)
def test_however_a_call_ends_it_is_settled_and_recorded(
    tmp_path: Path, how: Any, status: int, error: str, left: bool, output: int | None, note: str
) -> None:
    with opened(tmp_path) as engine:
        run = begin(engine, stream=True)
        how(run)
        assert run.over
        settled, held = used(engine)
        with pytest.raises(Abandoned):
            run.feed(b"data: 1\n\n")
        again = run.end()
    outcome = Said(tmp_path).outcome(run.id)
    assert (outcome.status, outcome.error, outcome.client_left) == (status, error, left)
    counted = outcome.counted
    assert (None if counted is None else counted.output > 0) == (None if output is None else True)
    total = 0 if counted is None else counted.input + counted.output
    assert (settled, held) == (total, 0)
    assert (0 if again.usage is None else again.usage.input_tokens + again.usage.output_tokens) == total


NO_ENDS: list[tuple[Callable[[Any], object], str]] = [
    (lambda run: run.end(-1), "a status below all"),
    (lambda run: run.end(10**30), "a status beyond all"),
    (lambda run: run.end(error="It broke: Ann's call"), "words"),
    (lambda run: run.end(error="\ud800"), "half a character"),
    (lambda run: run.end(error="x" * 33), "a long code"),
    (lambda run: run.whole(b"{}", -1), "of a whole answer"),
    (lambda run: list(run.stream([b"data: {}\n\n"], 1000)), "of a stream"),
    (lambda run: run.fall_back(-1), "of a provider that does not answer"),
    (lambda run: run.fall_back(error="no answer"), "and in words"),
    (lambda run: run.fall_back(error="x" * 33), "and in a long code"),
]


@pytest.mark.parametrize(("end", "note"), NO_ENDS, ids=[note for _, note in NO_ENDS])
def test_what_no_record_can_have_ends_nothing(shared: Engine, end: Callable[[Any], object], note: str) -> None:
    run = begin(shared, tenant="odd")
    with pytest.raises(BadField):
        end(run)
    assert not run.over
    run.end(200)
    assert run.over


def test_the_longest_code_is_read_in_the_ledger(tmp_path: Path) -> None:
    code = "x" * 32
    others = {"other": Integration(provider="simulated"), "third": Integration(provider="simulated")}
    with opened(tmp_path, rules=ROUTED, integration=others) as engine:
        run = begin(engine)
        assert run.fall_back(error=code)
        run.end(502, error=code)
    outcome = Said(tmp_path).outcome(run.id)
    assert outcome.error == code
    assert [each.error for each in outcome.attempts] == [code, code]


def test_an_error_whose_code_no_record_can_have_is_recorded_without_it(tmp_path: Path) -> None:
    class Own(TidegateError):
        code = "x" * 33

    def fail(run: GovernedRun) -> None:
        with run:
            raise Own("it broke")

    with opened(tmp_path) as engine:
        run = begin(engine)
        with pytest.raises(Own):
            fail(run)
    assert Said(tmp_path).outcome(run.id).error == "abandoned"


def test_a_run_that_nobody_has_any_more_is_ended(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        run = begin(engine, stream=True)
        run.feed(words(5)[0])
        name = run.id
        del run
        gc.collect()
        assert until(lambda: used(engine)[1] == 0)
    outcome = Said(tmp_path).outcome(name)
    assert (outcome.status, outcome.error) == (500, "abandoned")
    assert outcome.counted is not None
    assert outcome.counted.output >= 1


def test_what_is_open_when_the_engine_closes_is_ended(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        run = begin(engine, stream=True)
        run.feed(words(5)[0])
    with pytest.raises(Draining):
        begin(engine)
    with pytest.raises(Abandoned):
        run.feed(words(5)[1])
    run.end()
    engine.close()
    assert Said(tmp_path).outcome(run.id).error == "abandoned"


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with opened(tmp_path, forward=Forward(total_timeout=0.1)) as engine:
        run = begin(engine)
        assert until(lambda: run.over)
    assert Said(tmp_path).outcome(run.id).error == "abandoned"


def test_a_stream_that_is_collected_in_the_middle_of_a_turn_ends_in_the_next(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        run = begin(engine, stream=True)
        passing = run.stream(words(5))
        next(passing)
        with engine.turns:  # as if the garbage collector had run here
            passing.close()
            assert not run.over
        assert until(lambda: run.over)
    assert Said(tmp_path).outcome(run.id).client_left


# evidence


@pytest.mark.parametrize(
    ("evidence", "waits", "note"),
    [
        ("async", {"begin": 0, "first": 0, "end": 0}, "nothing waits"),
        ("response", {"begin": 0, "first": 1, "end": 1}, "the first bytes, and the last ones"),
        ("strict", {"begin": 1, "first": 1, "end": 1}, "and the call itself"),
    ],
)
def test_what_waits_for_the_record(
    tmp_path: Path, evidence: Evidence, waits: dict[str, int], note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    with opened(tmp_path, evidence=evidence) as engine:
        before = engine.turns.until

        def counting(of: Any, seq: int) -> None:
            asked.append(seq)
            before(of, seq)
            if evidence != "async":
                assert engine._writer.journal.durable >= seq

        monkeypatch.setattr(engine.turns, "until", counting)
        run = begin(engine, stream=True)
        assert len(asked) == waits["begin"]
        passing = run.stream(words(2))
        next(passing)
        assert len(asked) == waits["begin"] + waits["first"]
        assert b"[DONE]" in list(passing)[-1]
        assert len(asked) == sum(waits.values())
        assert run.over


@pytest.mark.parametrize("strict", [False, True])
def test_what_cannot_be_recorded_does_not_go_on(tmp_path: Path, strict: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[int] = []

    def losing(of: Any, seq: int) -> None:
        lost.append(seq)
        if len(lost) == 1 + (not strict):
            raise Unrecorded("the disk is full")

    with opened(tmp_path, evidence="strict" if strict else "response") as engine:
        monkeypatch.setattr(engine.turns, "until", losing)
        if strict:
            with pytest.raises(Unrecorded):
                begin(engine, stream=True)
        else:
            out = list(begin(engine, stream=True).stream(words(2)))
            assert b'"code":"unrecorded"' in out[-1]
            assert b"[DONE]" not in b"".join(out)
        settled, held = used(engine)
    assert held == 0
    (outcome,) = [each for each in Said(tmp_path).records if isinstance(each, Outcome)]
    if strict:
        assert (outcome.error, outcome.cost, settled) == ("unrecorded", 0, 0)


def test_a_journal_in_trouble_refuses_calls_and_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as engine:
        begin(engine).end()

        def full(self: Any, body: bytes, edits: Any) -> int:
            raise Unrecorded("the disk is full")

        class Failing(module.Run):
            leave = full

        monkeypatch.setattr(module, "Run", Failing)
        with pytest.raises(Unrecorded) as caught:
            begin(engine)
        assert caught.value.status == 503
        assert used(engine)[1] == 0
        assert engine._open == {}


def test_a_long_prompt_is_counted_beside_the_loop(shared: Engine) -> None:
    threads: list[int] = []

    class Noting:
        """The engine's meters, which note who counts."""

        def __init__(self, meters: Any) -> None:
            self._meters = meters

        def __getattr__(self, name: str) -> Any:
            return getattr(self._meters, name)

        def is_long(self, call: Any) -> bool:
            return True

        def open(self, *given: Any) -> Any:
            threads.append(threading.get_ident())
            return self._meters.open(*given)

    meters = shared._meters
    shared._meters = Noting(meters)  # type: ignore[assignment]
    try:
        asyncio.run(abegin(shared)).end()
        begin(shared).end()
    finally:
        shared._meters = meters
    assert threads[0] != threading.get_ident()
    assert threads[1] == threading.get_ident()


# processes


MANY = """
import functools, sys
from pathlib import Path
from tests.embedded import begin, opened
from tidegate.record import writer
writer.Journal = functools.partial(writer.Journal, buffer=1 << 16)
with opened(Path(sys.argv[1]), evidence="async") as engine:
    for _ in range(300):
        run = begin(engine)
        run.end()
        print(run.id)
"""


def test_a_disk_that_pauses_delays_calls_and_refuses_none(tmp_path: Path) -> None:
    """In each pause come more calls than the buffer has room for."""
    if shutil.which("strace") is None:
        pytest.skip("strace is absent")
    command = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync,io_submit"]
    command += ["-e", "inject=io_submit:error=EAGAIN", "-e", "inject=fdatasync:delay_enter=250000"]
    command += [sys.executable, "-c", MANY, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Operation not permitted" in ran.stderr:
        pytest.skip("tracing is not allowed here")
    assert ran.returncode == 0, ran.stderr
    found = Said(tmp_path)
    assert [found.kinds(run) for run in ran.stdout.split()] == [["Intent", "Outcome"]] * 300


CHILD = """
import sys, time
from tests.embedded import begin, opened, words
from pathlib import Path
with opened(Path(sys.argv[1])) as engine:
    done = begin(engine, stream=True)
    list(done.stream(words(5)))
    run = begin(engine, stream=True, max_tokens=30)
    passing = run.stream(words(5))
    next(passing)
    print(done.id, run.id, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("table", ["kept", "lost"])
def test_a_killed_program_leaves_an_aborted_record_and_the_limits_right(tmp_path: Path, table: str) -> None:
    root = Path(__file__).parent.parent
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, cwd=root, text=True)
    assert child.stdout is not None
    done, aborted = child.stdout.readline().split()
    child.kill()
    child.wait()
    child.stdout.close()
    if table == "lost":  # as by a boot: what is known is what the records say
        memory = memory_of(find(tmp_path / "ledger"))
        assert memory is not None
        (memory / "limits").unlink()
    with opened(tmp_path) as engine:
        settled, held = used(engine)
    found = Said(tmp_path)
    assert found.kinds(done) == ["Intent", "Outcome"]
    assert found.kinds(aborted) == ["Intent", "Aborted"]
    (end,) = [each for each in found.of[aborted] if isinstance(each, Aborted)]
    charged = sum(each.settled for each in (*found.outcome(done).draws, *end.draws))
    assert (settled, held) == (charged, 0)
    assert sum(each.settled for each in end.draws) >= 30


def test_a_child_is_refused_and_its_parent_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        run = begin(engine, stream=True)
        run.feed(words(2)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for work in (lambda: begin(engine), lambda: run.feed(b"data: 1\n\n"), run.end):
                    with pytest.raises(StartError, match="does not survive a fork"):
                        work()
                run.__exit__(None, None, None)
                run.__del__()
                engine.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        run.end()
        begin(engine).end()
    assert Said(tmp_path).outcome(run.id).error == ""


def test_one_engine_holds_a_ledger(tmp_path: Path) -> None:
    with (
        opened(tmp_path),
        pytest.raises(StartError, match="written by another process"),
        Engine(tmp_path / "policies", ledger=tmp_path / "ledger"),
    ):
        pass


def test_policies_that_cannot_be_in_force_open_nothing(tmp_path: Path) -> None:
    write(tmp_path / "policies", admission="package tidegate.admission\n\ndney := 1\n")
    for _ in range(2):  # the ledger is not held by what has failed
        with pytest.raises(StartError, match="dney"):
            Engine(tmp_path / "policies", ledger=tmp_path / "ledger", origin=ORIGIN)
    with opened(tmp_path) as engine:
        begin(engine).end()


def test_without_an_origin_no_ledger_is_made(tmp_path: Path) -> None:
    write(tmp_path / "policies", admission=POLICY)
    with pytest.raises(StartError, match="has no ledger"):
        Engine(tmp_path / "policies", ledger=tmp_path / "ledger")


def test_engines_share_a_table_of_limits(tmp_path: Path) -> None:
    with_place = [Limits(tmp_path / "limits", workers=2, worker=worker, slots=64) for worker in (0, 1)]
    write(tmp_path / "policies", admission=POLICY)
    engines = [
        Engine(
            tmp_path / "policies",
            ledger=tmp_path / f"ledger{number}",
            origin=ORIGIN,
            limits=limits,
            settings=settings(),
        )
        for number, limits in enumerate(with_place)
    ]
    try:
        first = begin(engines[0], "single")
        with pytest.raises(LimitExceeded):
            begin(engines[1], "single")
        first.end()
        begin(engines[1], "single").end()
    finally:
        for each in engines:
            each.close()


def test_what_is_exported_is_there() -> None:
    assert {"Engine", "TidegateError"} <= set(tidegate.__all__)
    assert all(getattr(tidegate, name) is not None for name in tidegate.__all__)
    assert set(tidegate.__all__) == {*tidegate._HOMES, "__version__"}


def test_a_record_that_comes_while_the_engine_closes_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        run = begin(engine)
        steps = run._end(Ending(200))
        seq = next(steps)  # it has ended, and is about to wait
    assert isinstance(seq, int)
    with pytest.raises(Unrecorded, match="was closed"):
        engine.turns.until(engine._evidence, seq)


def test_a_fault_of_what_is_due_leaves_the_rest_alone(tmp_path: Path) -> None:
    class Faulty:
        def check(self, now: float) -> bool:
            raise ZeroDivisionError

    with opened(tmp_path) as engine:
        with engine.turns:
            engine.turns.watch(Faulty())
        assert until(lambda: any("ZeroDivisionError" in each for each in engine.said))
        begin(engine).end()
