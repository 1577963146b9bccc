"""The governed call in a program of its own: decide, hold, meter, settle and record, without a gateway.

    from tidegate import Engine

    with Engine("policies", ledger="ledger", origin="example.org/app") as engine:
        run = engine.begin("chat.completions", body, tenant="acme", user="ann")
        with provider.stream("POST", url, content=run.body) as answer:
            for piece in run.stream(answer.iter_raw(), answer.status_code):
                send(piece)

It is the gateway's own path (`run.py`, with the same Rules, Holder, Meters, Account and Evidence). What a program does
by itself, connections and HTTP, is not in here. `begin` raises what the gateway would answer.

Any thread and any event loop may begin runs. Whatever touches what they share happens in a turn (`turns.py`). What
takes longer than a turn should, the keys of a caller not met before, a long prompt, a record, is waited for between
turns: by the thread, or, in the form with an `a` before its name, without blocking the loop.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar, Unpack, cast

import msgspec
from msgspec.structs import replace

from tidegate.count.calibration import Calibration
from tidegate.count.metering import Metering, Meters
from tidegate.count.prices import Prices
from tidegate.counters import Counters
from tidegate.errors import (
    Abandoned,
    BadBody,
    BodyTooLarge,
    Draining,
    NotFound,
    Overloaded,
    PolicyFailed,
    StartError,
    TidegateError,
)
from tidegate.forward.request import rewritten
from tidegate.governed import GONE, Course, GovernedRun, Steps, Way
from tidegate.identify.stated import About, caller_of
from tidegate.limit.hold import Holder
from tidegate.limit.limits import Limits
from tidegate.model import Call, Caller, Outcome
from tidegate.record._runs import RunIds
from tidegate.record.account import Account
from tidegate.record.evidence import Evidence, Known
from tidegate.record.layout import Layout
from tidegate.record.subject_service import key_of
from tidegate.record.subject_store import SubjectStoreError
from tidegate.record.subjects import Subjects
from tidegate.record.unrecorded import Unrecorded
from tidegate.record.writer import Writer
from tidegate.run import LEFT, Rules, Run
from tidegate.serve import limits as tables
from tidegate.serve.ledger import let_go
from tidegate.serve.policies import live
from tidegate.serve.tables import keep, prices_of, registry_of
from tidegate.settings import Integration, Settings
from tidegate.turns import Turns
from tidegate.wire import anthropic, openai
from tidegate.wire.dialect import Route
from tidegate.wire.reader import Reader
from tidegate.wire.reply import RUN, headers, told
from tidegate.wire.spoken import SPOKEN

OURS: Final = "engine"  # the folder in the ledger's that has what else is kept
THREADS: Final = 2  # that count long prompts and ask for keys while coroutines wait
SAVE: Final = 60.0  # seconds after which what was learnt of vocabularies is kept
ROUTES: Final = tuple(route for route in (*openai.ROUTES, *anthropic.ROUTES) if route.body is not None)
NAMED: Final = {name: route for route in ROUTES for name in (route.endpoint, route.path.decode())}

MOST_OPEN: Final = 100_000  # runs that have begun and not ended

Given = TypeVar("Given")


class Refusal(NamedTuple):
    """An answer that refuses a call, as the gateway would give it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Engine:
    """Governs the calls that this process makes, and records them in a ledger that it holds.

    It does not survive a fork: a child makes one of its own, with another ledger.
    """

    def __init__(
        self,
        policies: str | Path,
        *,
        ledger: str | Path,
        origin: str | None = None,
        checkpoints: str = "checkpoints",
        limits: Limits | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Opens the ledger, or makes one where there is none and an `origin` is given: a name of yours like a URL's.

        `policies` are followed as they change. Limits have a table of their own, which goes on where it was; or
        `limits`, a table that several programs share and in which this process has a place. Of the settings these are
        obeyed: `accept.body` and `depth`, `policy`, `limits`, `prices`, `vocabulary`, `record.evidence`, `audit` and
        `stale`, `forward.event` and `total_timeout`, and of an `integration` all that is no connection.

        What a process before this one has begun and not ended is aborted and charged. Raises StartError, SettingsError.
        """
        place = Path(ledger).absolute()
        given = Settings() if settings is None else settings
        self._settings = now = replace(given, data=str(place / OURS), policy=replace(given.policy, path=str(policies)))
        self.said: list[str] = []
        self.dropped: deque[tuple[Course, Outcome]] = deque()  # runs that are to be ended in the next turn
        self._closing = False
        self._open: dict[bytes, Course] = {}
        self._readers: dict[Route, Reader] = {}
        self._runs = RunIds()
        self._asked: list[tuple[bytes, Callable[[bytes | None], None]]] = []
        registry, prices = registry_of(now), prices_of(now)
        with ExitStack() as undone:
            self._limits = self._open_ledger(place, origin, checkpoints, limits)
            undone.callback(self._writer.close)
            self._policies = live(now, self._say)
            undone.callback(self._policies.close)
            if self._policies.problems:
                raise StartError("\n".join(self._policies.problems))
            self._calibration = Calibration(Path(now.data, "calibration"), 0)
            if limits is None:
                tables.join(self._limits, 0, self._writer.epoch)
            undone.pop_all()
        self._upkeep = tables.Upkeep(self._limits, self._say) if limits is None else None
        self._meters = Meters(registry, self._calibration, prices, now.forward.event)
        self._rules = Rules(self._policies, now.limits, now.policy)
        self._holder = Holder(self._limits)
        self._counters = Counters()
        self._subjects = Subjects(lambda whose, answer: self._asked.append((whose, answer)))
        self._erasures = self._writer.service.erasures
        self._ways = {
            name: Way(name, _seller(prices, name, each), each.aliases, each.include_usage, SPOKEN[each.provider])
            for name, each in now.integration.items()
        }
        self._threads = ThreadPoolExecutor(THREADS, "tidegate")
        self.turns = Turns(self._say)
        with self.turns:
            self._evidence = Evidence(
                self._writer.journal, self._subjects, 0, self._writer.epoch, self.turns, self.turns
            )
            self.turns.watch(self)
            self._evidence.policies(self._policies.digests)
        self._thread = threading.Thread(target=self._attend, name="tidegate", daemon=True)
        self._thread.start()

    def _open_ledger(self, place: Path, origin: str | None, checkpoints: str, limits: Limits | None) -> Limits:
        """The ledger, held, and the table of limits; what a process before this one left in either has its end."""
        tables_of: list[Limits] = [] if limits is None else [limits]

        def end(layout: Layout) -> None:
            Path(self._settings.data).mkdir(mode=0o700, exist_ok=True)
            if limits is None:
                tables_of.append(tables.open_limits(self._settings, layout, 1, self._say, rings_shared=False))
            else:
                tables.Lives(layout, self._say, shared=False).end_journals()

        record = self._settings.record
        self._writer = Writer(place, origin, checkpoints, end, self._say, audit=record.audit, stale=record.stale)
        return tables_of[0]

    def _say(self, words: str) -> None:
        """Keeps what there is to say to the operator, the last hundred; from any thread."""
        self.said = [*self.said[-99:], words]

    # the path of a call

    def begin(
        self, endpoint: str, body: bytes | Mapping[str, Any], *, tenant: str, **about: Unpack[About]
    ) -> GovernedRun:
        """A call that may be made: to `chat.completions`, `responses`, `messages` and so on, or to their paths.

        `body` is the request's, as bytes or as what they mean. Whose call it is, is the program's word. Raises what the
        gateway would answer: PolicyDenied, LimitThrottled, BudgetExceeded, BadBody and so on, each with `status`,
        `code`, `message`, `rule`, `remaining` and `run`.
        """
        return self.wait(self._begin(endpoint, body, tenant, about))

    async def abegin(
        self, endpoint: str, body: bytes | Mapping[str, Any], *, tenant: str, **about: Unpack[About]
    ) -> GovernedRun:
        """The same, for a coroutine."""
        return await self.await_(self._begin(endpoint, body, tenant, about))

    def _begin(
        self, endpoint: str, body: bytes | Mapping[str, Any], tenant: str, about: About
    ) -> Steps[GovernedRun]:  # fmt: skip
        self.turns.check()
        run = self._runs.new()
        try:
            call = self._read(run, endpoint, body)
            caller = caller_of(call, tenant, about)
        except TidegateError as error:
            error.run = run.decode()
            with self.turns:
                self._evidence.refused(error.code)
            raise
        with self.turns:
            self._check()
            known = self._evidence.at_hand(caller)
            behind = self._evidence.behind()
        if behind:
            yield behind
        if known is None:
            known = yield partial(self._meet, caller)
        account = Account(self._evidence, call, known, self._settings.record.evidence)
        course = Course(Run(self._rules, self._holder, self._counters, call, caller, account), self.turns.now)
        try:
            yield from self._decide(course, self._way(call, about))
        except TidegateError as error:
            error.run = run.decode()
            yield from self._refuse(account, error)
        yield from self._depart(course)
        return GovernedRun(self, course)

    def _read(self, run: bytes, endpoint: str, body: bytes | Mapping[str, Any]) -> Call:
        """The body has one meaning, and these are its governed fields."""
        route = NAMED.get(endpoint)
        if route is None or route.body is None:
            raise NotFound(
                f"there is no endpoint `{endpoint[:100]}`; there are {', '.join(r.endpoint for r in ROUTES)}"
            )
        if not isinstance(body, bytes):
            try:
                body = msgspec.json.encode(body)
            except (TypeError, ValueError, RecursionError) as error:
                raise BadBody(f"the body cannot be written as JSON: {error}") from None
        most = self._settings.accept.body
        if len(body) > most:
            raise BodyTooLarge(f"the body has {len(body)} bytes, and {most} are taken")
        reader = self._readers.get(route)
        if reader is None:
            reader = self._readers[route] = Reader(route.body, self._settings.accept.depth)
        return Call(run, route, {}, b"", body, reader.read(body))

    def _way(self, call: Call, about: About) -> Way:
        """Where the program says that it goes."""
        name, provider = about.get("integration", ""), about.get("provider", "")
        known = self._ways.get(name)
        if known is not None:
            return known._replace(provider=provider) if provider else known
        either = name or provider or call.route.dialect.name
        return Way(name or either, provider or either, {}, True)

    def _decide(self, course: Course, way: Way) -> Steps[None]:
        """What the policies say, and where the call goes."""
        run = course.run
        metering = yield from self._count(course, way, run.call.model)
        with self.turns:
            run.metered(metering, way.name, self._meters.prices.digest)
            run.decide()
        route = run.decision.route
        if route is None:
            return
        course.fallback = route.fallback
        if route.integration is not None and route.integration != way.name:
            way = self._named(route.integration, run.call)
        model = route.model or run.call.model
        if way is not course.way or model != course.model:
            yield from self._metered(course, way, model)

    def _named(self, name: str, call: Call) -> Way:
        """An integration that a policy names. Raises PolicyFailed where the call cannot go there."""
        way = self._ways.get(name)
        if way is None:
            raise PolicyFailed(f"there is no integration `{name}`, and the policy sends the call there")
        if call.route.dialect not in way.dialects:
            raise PolicyFailed(f"the integration `{name}` does not speak the dialect of the call")
        return way

    def _count(self, course: Course, way: Way, model: str) -> Steps[Metering]:
        """Counts the prompt for an integration's model."""
        call = course.run.call
        count = partial(self._meters.open, call, way.model(model), way.provider, course.run.counted)
        metering: Metering = (yield count) if self._meters.is_long(call) else count()
        course.way, course.model = way, model
        return metering

    def _metered(self, course: Course, way: Way, model: str) -> Steps[None]:
        """The call goes elsewhere than it was decided about."""
        metering = yield from self._count(course, way, model)
        with self.turns:
            course.run.metered(metering, way.name, self._meters.prices.digest)

    def _take(self, course: Course) -> None:
        """Draws what the decision asks for, and writes that the call leaves. In a turn."""
        run, way = course.run, course.way
        run.take()
        try:
            body, edits = rewritten(run.call, way.model(course.model), run.lowered(), way.provider, way.include_usage)
            course.seq = run.leave(body, edits)
        except BaseException:
            run.release()
            raise
        course.body = body
        self._open[run.call.run] = course

    def _depart(self, course: Course) -> Steps[None]:
        """The call may be made, as soon as its evidence allows that."""
        account = course.run.account
        try:
            with self.turns:
                self._check()
                if len(self._open) >= MOST_OPEN:
                    raise Overloaded(f"{MOST_OPEN} runs have begun and not ended")
                self._take(course)
        except TidegateError as error:
            error.run = course.run.call.run.decode()
            yield from self._refuse(account, error)
        if account.mode == "strict":
            try:
                yield course.seq
            except BaseException as error:  # nothing has left
                code = error.code if isinstance(error, TidegateError) else ""
                self.fail(course, Outcome(LEFT, code or None, not code, reached=False))
                raise

    def _refuse(self, account: Account, error: TidegateError) -> Steps[None]:
        """The call goes no further: raises the error when that is on record, or why it cannot be."""
        if isinstance(error, Unrecorded):
            with self.turns:
                self._evidence.refused(error.code)
            raise error
        with self.turns:
            seq = account.refused(error)
        if account.mode != "async":
            yield seq
        raise error

    def again(self, course: Course, status: int, error: str) -> Steps[bool]:
        """The provider did not answer: whether another one is asked now."""
        if not course.fallback or course.over or course.run.meter is not None:
            return False
        name, course.fallback = course.fallback[0], course.fallback[1:]
        run = course.run
        try:
            with self.turns:
                run.moved(status, error)
            yield from self._metered(course, self._named(name, run.call), course.model)
            with self.turns:
                if course.over:
                    raise Abandoned("the run has ended")
                self._take(course)
            if run.account.mode == "strict":
                yield course.seq
        except TidegateError as refused:
            refused.run = run.call.run.decode()
            self.fail(course, Outcome(refused.status, refused.code, reached=False))
            raise
        return True

    def recorded(self, course: Course) -> Steps[None]:
        """The first bytes of an answer wait for the intent."""
        if course.run.account.mode != "async":
            yield course.seq

    def end(self, course: Course, ended: Outcome) -> int:
        """A run is over; the number of its outcome. In a turn."""
        course.over = True
        self._open.pop(course.run.call.run, None)
        return course.run.settle(ended)

    def fail(self, course: Course, ended: Outcome) -> None:
        """Ends a run that has no end yet, and waits for nothing; what cannot be recorded now is recorded later."""
        if self.turns.mine:  # a generator that the collector closes in the middle of a turn
            self.dropped.append((course, ended))
        elif not self.turns.forked:
            with self.turns:
                self._fail(course, ended)

    def _fail(self, course: Course, ended: Outcome) -> None:
        if not course.over:
            with suppress(Unrecorded):
                self.end(course, ended)

    def refusal(self, error: TidegateError, endpoint: str = "chat.completions") -> Refusal:
        """The answer that tells a client of an error, in the dialect of its endpoint."""
        run = error.run.encode()
        route = NAMED.get(endpoint)
        body = (openai.DIALECT if route is None else route.dialect).error(error, run)
        lines = told(error) + (RUN + run + b"\r\n" if run else b"")
        return Refusal(error.status, [*headers(lines), ("content-length", str(len(body)))], body)

    # callers

    def _meet(self, caller: Caller) -> Known:
        """A caller whose keys are not at hand: asks for one after the other, between turns."""
        found: list[Known | None] = []
        with self.turns:
            self._evidence.of(caller, found.append)
            asked = self._asked.pop() if self._asked else None
        while asked is not None:
            whose, answer = asked
            try:
                key: bytes | None = key_of(self._writer.layout.socket, whose)
            except SubjectStoreError:
                key = None
            with self.turns:
                answer(key)
                asked = self._asked.pop() if self._asked else None
        if found[0] is None:
            raise Unrecorded("the keys that records need cannot be had")
        return found[0]

    # waiting; what stands here and is no part of a call's path above is for GovernedRun

    def wait(self, steps: Steps[Given]) -> Given:
        """Goes through steps, and waits where they say so."""
        try:
            wanted = next(steps)
            while True:
                try:
                    given = None
                    if isinstance(wanted, int):
                        self.turns.until(self._evidence, wanted)
                    else:
                        given = wanted()
                except BaseException as error:
                    wanted = steps.throw(error)
                else:
                    wanted = steps.send(given)
        except StopIteration as done:
            return cast("Given", done.value)

    async def await_(self, steps: Steps[Given]) -> Given:
        """The same, for a coroutine."""
        loop = asyncio.get_running_loop()
        try:
            wanted = next(steps)
            while True:
                try:
                    given = None
                    if isinstance(wanted, int):
                        await self.turns.durable(self._evidence, wanted)
                    else:
                        given = await loop.run_in_executor(self._threads, wanted)
                except BaseException as error:
                    wanted = steps.throw(error)
                else:
                    wanted = steps.send(given)
        except StopIteration as done:
            return cast("Given", done.value)

    # once a second

    def _attend(self) -> None:
        """The thread of the engine: tells who waits for records, and does what is due."""
        save = self.turns.now + SAVE
        while self.turns.take():
            if self.turns.now >= save:
                save = self.turns.now + SAVE
                keep(self._calibration, self._say)

    def check(self, now: float) -> bool:
        """The turns' question: runs that are open are alive, those that nobody has any more are not."""
        while self.dropped:
            self._fail(*self.dropped.popleft())
        oldest = now - self._settings.forward.total_timeout
        for course in list(self._open.values()):
            if course.began < oldest:
                self._fail(course, GONE)
            else:
                course.run.alive()
        self._limits.turn()
        self._limits.expire()
        if self._upkeep is not None:
            self._upkeep.check(now)
        self._evidence.policies(self._policies.digests)
        if self._erasures != self._writer.service.erasures:
            self._erasures = self._writer.service.erasures
            self._subjects.clear()
        return True

    # the end

    def _check(self) -> None:
        if self._closing:
            raise Draining("the engine is closed")

    def close(self) -> None:
        """Ends what is open as failed, makes everything durable and brings it into the log. In a forked child nothing
        happens: all of it is the parent's.
        """
        if self.turns.forked:
            return
        with self.turns:
            if self._closing:
                return
            self._closing = True
            self.check(self.turns.now)
            for course in list(self._open.values()):
                self._fail(course, GONE)
        self.turns.stop()
        self._thread.join()
        self._threads.shutdown()
        with self.turns:
            self.turns.end()
            self._evidence.close()
            holding = self._limits.holding
        self.turns.close()
        self._policies.close()
        keep(self._calibration, self._say)
        self._writer.close(seal=not holding)  # what is held is settled as if this process had died
        if self._upkeep is not None and not holding:
            tables.Lives(self._writer.layout, self._say, shared=False).end(self._limits, 0)
            tables.let_go(self._limits)
            let_go(self._writer.layout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _seller(prices: Prices, name: str, integration: Integration) -> str:
    """Whose tokens and prices an integration's are."""
    if integration.provider == "simulated" or not integration.base_url:
        return integration.provider
    return prices.provider(integration.base_url) or name
