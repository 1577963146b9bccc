"""One governed call: what each step said of it, from its decision to its record. No network is in here.

    run.metered(metering, integration)    whose model answers, and what the prompt is
    run.decide()                          what the policy says; raises what the caller is told where that is no
    run.take()                            what it may draw from its limits; raises where a limit refuses
    run.leave(body, edits)                its intent is written; the call may go
    run.stream(strip), .feed(), .rest()   a stream passes, is counted, and is stopped where a limit or a policy says so
    run.plain(body), .piece(body)         any other answer
    run.judge(text)                       what the policy says of the whole answer
    run.settle(ended)                     it is over, however that came: what was used is charged, its outcome written

`pipeline.py` has the network around it; `engine.py` is the same for programs that make their calls by themselves.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from time import time_ns
from typing import Any, Final

from msgspec.structs import replace

from tidegate.count._meter import Meter
from tidegate.count.answers import answer_text
from tidegate.count.metering import Metering
from tidegate.counters import Counters
from tidegate.decide.contract import failed as no_answer
from tidegate.decide.decision import UNDECIDED, and_later, decide, denied, failed, said
from tidegate.decide.input import Phase
from tidegate.decide.live import Live, Nothing
from tidegate.decide.policy import Policy
from tidegate.decide.reading import Limits, document, moment, no_limits
from tidegate.errors import PolicyFailed, PolicyStopped, ResponseDenied, TidegateError
from tidegate.forward.relay import Framer
from tidegate.limit._standing import lines as standing
from tidegate.limit.hold import Buckets, Held, Holder
from tidegate.limit.refused import exceeded, reached
from tidegate.model import MICRO_CENTS, Call, Caller, Decision, Estimate, Outcome, Reason, Usage
from tidegate.record.account import Account
from tidegate.record.leaves import MOST_DRAWS
from tidegate.record.unrecorded import Unrecorded
from tidegate.settings import Limits as LimitSettings
from tidegate.settings import Policy as PolicySettings
from tidegate.standings import Told
from tidegate.wire.endings import Cause, Stop

LIMIT_RULE: Final = 'tidegate.admission.limit["%s"]'  # and which of them
NOTHING: Final = Estimate(0, "exact")
ENDLESS: Final = 2**62
LEFT: Final = 499  # the client did, before there was an answer
NOT_JUDGED: Final = "the answer is larger than what is held for a decision about it"


class Rules:
    """What a call is governed by; one set of them holds from its start to its end."""

    def __init__(self, policy: Live, limits: LimitSettings, asking: PolicySettings) -> None:
        self.policy = policy
        self.reserve = limits.reserve
        self.step = limits.step
        self.every = asking.every
        self.tail = asking.tail
        self.text = asking.text


class Run(Framer):
    """A call, governed."""

    def __init__(
        self, rules: Rules, holder: Holder, counters: Counters, call: Call, caller: Caller, account: Account
    ) -> None:
        self._begin(rules, holder, counters, call, caller, account)

    def _begin(
        self, rules: Rules, holder: Holder, counters: Counters, call: Call, caller: Caller, account: Account
    ) -> None:
        self.call = call
        self.caller = caller
        self.account = account
        self.decision: Decision = UNDECIDED
        self.estimate: Estimate = NOTHING
        self.counted: Metering | None = None  # the prompt, for the model that was asked last
        self.decided = False
        self.meter: Meter | None = None  # of a stream
        self.why: Cause = "limit"  # the answer is ended here: a limit or a policy
        self.stopping = None  # and what is said of it
        self.judges = False  # a policy decides, or a shadow is asked, about the whole answer
        self.overflow = False
        self.usage: Usage | None = None  # that was charged, once that is known
        self.cost = 0  # in micro-cents
        self._rules = rules
        self._holder = holder
        self._counters = counters
        self._left = False  # for a provider
        self._policy: Policy | Nothing | None = None  # that decided; it decides about the answer, too
        self._integration = ""
        self._buckets: Buckets | None = None
        self._held: Held | None = None
        self._document: dict[str, Any] | None = None
        self._standings: Limits | None = None  # what policies are told of limits
        self._covered = ENDLESS  # tokens of the answer that are held
        self._ahead = 0  # so many before their end more are held
        self._ask_at = ENDLESS  # tokens of the answer at which the policy is asked again
        self._judged = -1  # bytes of a stream's text that the policy has judged; none yet
        self._unjudged = b""  # events that wait for it

    # before the call leaves

    def metered(self, metering: Metering, integration: str, prices: str) -> None:
        """Whose model it is that answers. Said again where the call goes elsewhere, before `take`."""
        self._metering = self.counted = metering
        self._integration = integration
        price = metering.price
        self.account.routed(integration, price.model if price is not None else "", prices)
        self.estimate = metering.expected(self._stated(), self._answers())

    def decide(self) -> None:
        """What the policy says. Raises PolicyDenied or PolicyFailed where the call must not go on."""
        policy = self._policy = self._rules.policy.asked
        limits = self._limits(policy)
        self.decision = decision = decide(self.call, self.caller, self.estimate, self._integration, limits, policy)
        self.decided = True
        self.account.decided(decision, self.estimate)
        if decision.action == "block":
            raise denied(decision)
        self.judges = "response" in policy.wanted

    def take(self) -> None:
        """Draws from the limits that the decision names, all or nothing. Raises what the caller is told."""
        decision = self.decision
        if not decision.limits:
            return
        buckets = self._buckets = self._holder.buckets(decision.limits, self.caller.tenant)
        if len(buckets.all) > MOST_DRAWS:
            raise PolicyFailed(
                f"a call draws from at most {MOST_DRAWS} limits, and the policy names {len(buckets.all)}"
            )
        output = self._reserved()
        cost = self._metering.cost_of(self.estimate.prompt_tokens, output)
        taken = self._holder.take(buckets, self.estimate.prompt_tokens + output, cost)
        if not isinstance(taken, Held):
            raise self._refused(exceeded(taken, standing(self.call.route.dialect.name, buckets.all)))
        held = self._held = taken
        if buckets.stops:
            self._covered = output
            self._ahead = self._rules.step // 4
        if held.warned:
            self._warned(held)
        self.account.held(held)

    def _reserved(self) -> int:
        """The tokens of the answer that are held before it begins."""
        stated, reserve = self._stated(), self._rules.reserve
        if stated is None:
            stated = reserve
        elif self.call.stream and self.call.most is None:
            stated = min(stated, reserve)  # the caller has not asked for so much, and a stream holds more as it goes on
        output = self._metering.most(stated, self._answers())
        assert output is not None  # they are stated
        return output

    def _stated(self) -> int | None:
        """The most tokens that one answer may have, as the caller or the policy put it."""
        stated, lowered = self.call.most, self.decision.max_output
        if lowered is None or self.call.fields is None:
            return stated
        return lowered if stated is None or lowered < stated else stated

    def lowered(self) -> int | None:
        """The most tokens that the request is to ask for instead of what it does; None: as it stands."""
        lowered, price = self.decision.max_output, self._metering.price
        if self.call.fields is None or lowered is None:
            return None
        stated = self.call.most
        if stated is None and price is not None and price.max_output is not None and price.max_output <= lowered:
            return None  # the model ends there by itself
        return None if stated is not None and stated <= lowered else lowered

    def _answers(self) -> int:
        return self.call.n or 1

    def _refused(self, error: TidegateError) -> TidegateError:
        """The decision says now that a limit was exceeded, and by which error."""
        action = "throttle" if error.retry else "block"
        reason = Reason(error.code, error.message, LIMIT_RULE % error.rule)
        self._decided(replace(self.decision, action=action, reasons=(*self.decision.reasons, reason)))
        return error

    def _warned(self, held: Held) -> None:
        reasons = tuple(
            [Reason("limit_exceeded", f"`{each.name}` is exceeded", LIMIT_RULE % each.name) for each in held.exceeded]
        )
        self._decided(replace(self.decision, action="warn", reasons=self.decision.reasons + reasons))

    def _decided(self, decision: Decision) -> None:
        self.decision = decision
        self.account.decided(decision, self.estimate)

    def _limits(self, policy: Policy | Nothing) -> Limits:
        """`input.limits`; what is told is recorded, and said again to the phases that come later."""
        if self._standings is None:
            self._standings = no_limits
            declared = policy.declared
            if declared:
                told = Told.__new__(Told)
                told.begin(declared, self.call, self.caller, self._holder, self.account)
                self._standings = told
        return self._standings

    def lines(self) -> bytes:
        """What the answer's head says of the limits that were drawn from."""
        if self._buckets is None or self._held is None:
            return b""
        return standing(self.call.route.dialect.name, self._buckets.all)

    def leave(self, body: bytes, edits: tuple[str, ...]) -> int:
        """The call is about to go with this body; its intent's number. Raises Unrecorded where that cannot be kept."""
        seq = self.account.intent(body, edits)
        if not self._left:
            self._left = True
            self._counters.under_way(1)
        return seq

    def moved(self, status: int, error: str) -> None:
        """The provider that was asked did not answer; another will be, with a hold of its own."""
        self.account.attempted(status, error)
        self._counters.attempt_failed(self._integration)
        self.release()

    def release(self) -> None:
        """The call did not leave: nothing was used."""
        if self._held is not None:
            self._held.release()
            self._held = None

    # a stream, event by event

    def stream(self, strip: bool) -> None:
        """The answer is a stream of events; `strip` takes the usage out that the caller did not ask for."""
        meter = self.meter = self._metering.stream(strip)
        self._counters.streams(1)
        policy = self._policy
        if policy is not None and "stream" in policy.wanted:
            self._ask_at = self._rules.every
            meter.keep_text(self._rules.tail)
        if self.judges:
            meter.keep_text(self._rules.text)
        if self._covered != ENDLESS or self._ask_at != ENDLESS:
            meter.watch(self._next(0), self._reached)

    def _next(self, raw: int) -> int:
        """The count of the meter beyond which there is something to look after."""
        return max(raw, self._metering.raw_for(min(self._covered - self._ahead, self._ask_at)))

    def _reached(self, raw: int) -> int:
        """The count is there: asks the policy, and holds more. The next count, or -1: the stream ends here."""
        try:
            return self._goes_on(raw)
        except Exception as error:  # also a fault of ours must not let a stream go on that nobody watches
            told = error if isinstance(error, TidegateError) else PolicyFailed(f"no answer: {type(error).__name__}")
            self._stop("policy", told, ())
            return -1

    def _goes_on(self, raw: int) -> int:
        so_far = self._metering.so_far()
        if so_far > self._ask_at and not self._may_go_on(so_far):
            return -1
        if so_far > self._covered - self._ahead and not self._grow(so_far):
            return -1
        return self._next(raw)

    def _grow(self, so_far: int) -> bool:
        """Holds more ahead of the stream. Where that is refused, the stream has what is held, and no more."""
        assert self._held is not None
        if so_far <= self._covered == self._metering.most(self._stated(), self._answers()):
            self._ahead = 0  # all that may come is held
            return True
        output = max(so_far, self._covered) + self._rules.step
        prompt = self.estimate.prompt_tokens
        refusal = self._held.grow(prompt + output, self._metering.cost_of(prompt, output))
        if refusal is None:
            self._covered = output
            return True
        self._ahead = 0
        if so_far <= self._covered:
            return True
        error = reached(refusal)
        self._stop("limit", error, (Reason(error.code, error.message, LIMIT_RULE % error.rule),))
        return False

    def _may_go_on(self, so_far: int) -> bool:
        """What `tidegate.stream` says of the answer so far."""
        self._ask_at = so_far + self._rules.every
        decision = self._asked("stream", self._so_far, so_far)
        if decision.action != "block":
            return True
        words, rule = said(decision)
        self._stop("policy", PolicyStopped(words, rule=rule), decision.reasons)
        return False

    def _so_far(self, tokens: int) -> dict[str, Any]:
        """`input.output` inside a stream."""
        meter = self.meter
        assert meter is not None
        cost = self._metering.cost_of(self.estimate.prompt_tokens, tokens)
        most = self._rules.tail  # more is kept where the whole answer is decided about, too
        tail = meter.tail[-most:].encode()[-most:].decode(errors="ignore")
        return {"tokens": tokens, "usd": cost / MICRO_CENTS, "tail": tail}

    def _stop(self, why: Cause, error: TidegateError, reasons: tuple[Reason, ...]) -> None:
        self.why = why
        self.stopping = error
        self.account.stopped(why, reasons)

    @property
    def asked(self) -> bool:
        """Whether the client wants the stream to report its usage."""
        fields = self.call.fields
        return fields is not None and fields.says_usage is True

    def used(self) -> Usage:
        """What the stream has used so far."""
        metering = self._metering
        return metering.settled(metering.counted(), False)

    def feed(self, read: bytes) -> bytes:
        """The bytes that may go on after this read."""
        meter = self.meter
        assert meter is not None
        self.account.came(read)
        passed = meter.feed(read)
        self.overflow = meter.overflow
        if passed:
            self._pass(passed)
        return passed

    def rest(self) -> bytes:
        """What stands after the last event, when the stream has ended by itself."""
        assert self.meter is not None
        left = self.meter.rest()
        if left:
            self._pass(left)
        return left

    def _pass(self, events: bytes) -> None:
        """The client gets them, unless a policy is to be asked first."""
        if self.judges:
            self._unjudged += events
        else:
            self.account.went(events)

    def _passed(self) -> None:
        if self._unjudged:
            self.account.went(self._unjudged)
            self._unjudged = b""

    def ending(self) -> bytes:
        """The events that end the stream, which is stopped here, in the way of its dialect."""
        stopping, meter = self.stopping, self.meter
        assert stopping is not None
        assert meter is not None
        event = self.call.route.stop(Stop(self.why, stopping, self.call.run, self.used(), self.asked), meter)
        assert event is not None
        self._passed()
        self.account.went(event)
        return event

    # any other answer

    def plain(self, body: bytes) -> None:
        """The whole answer."""
        self._metering.plain(body)

    def piece(self, body: bytes) -> None:
        """A piece of an answer that is too large to hold."""
        self._metering.piece(body)

    def came(self, body: bytes) -> None:
        """Bytes of an answer that is no stream, from the provider."""
        self.account.came(body)

    def went(self, body: bytes) -> None:
        """Bytes that the client gets: of such an answer, or an event of our own."""
        self.account.went(body)

    # what the policy says of the whole answer

    def judge_plain(self, body: bytes) -> TidegateError | None:
        """Of a plain one; what the caller is told instead, if that is no."""
        text = answer_text(self.call.route.endpoint, body) if len(body) <= self._rules.text else None
        return self._judge(text, None) if text is not None else self.unjudged()

    def judge_stream(self, done: bool) -> TidegateError | None:
        """Of a stream, as soon as the event that ends it has come, or it has ended without one; and again where text
        comes after that.
        """
        meter, error = self.meter, None
        assert meter is not None
        if (done or meter.done) and meter.size != self._judged:
            self._judged = meter.size
            if meter.size > self._rules.text:
                error = self.unjudged()
            else:
                error = self._judge(meter.tail, next(iter(meter.finish.values()), None))
        if error is None:
            self._passed()
        return error

    def _judge(self, text: str, finish: str | None) -> TidegateError | None:
        decision = self._asked("response", self._answered, text, finish)
        if decision.reasons:
            self.account.flagged(decision.reasons)
        if decision.action != "block":
            return None
        words, rule = said(decision)
        return PolicyFailed(words, rule=rule) if failed(decision) else ResponseDenied(words, rule=rule)

    def _answered(self, text: str, finish: str | None) -> dict[str, Any]:
        """`input.output` of a whole answer."""
        metering = self._metering
        usage = metering.reported or metering.counted()
        used: dict[str, Any] = dict.fromkeys(("input_tokens", "output_tokens", "kind"))
        if usage is not None:
            used = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "kind": usage.kind}
        return {"text": text, "usage": used, "finish": finish}

    def unjudged(self) -> TidegateError | None:
        """The answer is too large to be decided about, so that it must not pass; None where only a shadow would."""
        assert self._policy is not None
        reasons = (Reason("policy_error", NOT_JUDGED, "tidegate.response.deny"),)
        if self._shadow("response") is not None:
            self._shadowed("response", Decision(action="block", reasons=reasons))
        if "response" not in self._policy.phases:
            return None
        self.account.flagged(reasons)
        return PolicyFailed(NOT_JUDGED)

    # the phases after the first

    def _asked(self, phase: Phase, output: Callable[..., dict[str, Any]], *of: Any) -> Decision:
        """What the policy says in a later phase. Its shadow is asked the same, and is never obeyed, whatever happens
        in it.
        """
        policy, shadow = self._policy, self._shadow(phase)
        assert policy is not None
        asks = phase in policy.phases
        try:
            told = self._told(phase, output(*of))
        except Exception as error:
            if shadow is not None:
                self._shadowed(phase, no_answer(error, shadow.digest))
            if asks:
                raise
            return UNDECIDED
        if shadow is not None:
            self._shadowed(phase, shadow.judge(phase, told))
        return policy.judge(phase, told) if asks else UNDECIDED

    def _shadow(self, phase: Phase) -> Policy | None:
        """The shadow, if it has anything to say of a phase. Where it has refused the call already there would be
        nothing left to ask it about.
        """
        assert self._policy is not None
        shadow, so_far = self._policy.shadow, self.decision.shadow
        if shadow is None or so_far is None or so_far.action == "block" or phase not in shadow.phases:
            return None
        return shadow

    def _shadowed(self, phase: Phase, later: Decision) -> None:
        """It has an answer."""
        before = self.decision.shadow
        assert before is not None
        shadow = and_later(before, later, phase)
        if shadow is not before:
            self.decision = replace(self.decision, shadow=shadow)
            self.account.shadowed(shadow)

    def _told(self, phase: str, output: Mapping[str, Any]) -> dict[str, Any]:
        """The document of a later phase."""
        now, policy = time_ns(), self._policy
        assert policy is not None
        made = self._document
        if made is None:
            limits = self._limits(policy)
            made = document(self.call, self.caller, self.estimate, now, self._integration, limits)
            self._document = made
        return made | {"phase": phase, "time": moment(now), "output": output}

    # its end

    def alive(self) -> None:
        """The call goes on: what it holds is held for longer."""
        if self._held is not None:
            self._held.renew()

    def settle(self, ended: Outcome) -> int:
        """The call is over: charges what it used, and writes its outcome. Raises Unrecorded where that cannot be kept.

        The provider's report counts before what was counted here. What never reached a provider, or was answered with
        an error, costs nothing.
        """
        metering, reported, counted, cost, tokens = self._metering, None, None, 0, 0
        status, error = ended.status, ended.error
        if metering.charged and ended.reached and (status < 300 or status == LEFT or error):
            reported, counted = metering.report(), metering.counted()
            usage = metering.settled(counted, error is None and not ended.client_left)
            read, said = usage.input_tokens, usage.output_tokens
            tokens, cost = read + said, metering.cost(usage)
            self._counters.used(self._integration, usage.kind, read, said, cost)
            self.usage, self.cost = usage, cost
        held = self._held
        try:
            if held is None:
                return self.account.outcome(ended, reported, counted, cost)
            if ended.reached:
                held.use(tokens, cost)
            else:
                held.use_nothing()
            if held.overdraft:
                self._counters.overdrawn()
            return self.account.outcome(ended, reported, counted, cost, held)
        finally:
            self._over(ended)

    def refuse(self, error: TidegateError) -> int:
        """The call goes no further; its outcome's number. Raises Unrecorded where that cannot be kept."""
        try:
            if isinstance(error, Unrecorded):
                raise error
            return self.account.refused(error)
        except Unrecorded as unrecorded:
            error = unrecorded
            raise
        finally:
            self._over(Outcome(error.status, error.code))

    def deserted(self) -> None:
        """The client has left before the call did; what cannot be recorded now is recorded later."""
        ended = Outcome(LEFT, client_left=True, reached=False)
        with suppress(Unrecorded):
            self.account.unsent(ended)
        self._over(ended)

    def _over(self, ended: Outcome) -> None:
        """Counts it."""
        counters, account = self._counters, self.account
        if self._left:
            counters.under_way(-1)
            if ended.error is not None and ended.error.startswith("upstream"):
                counters.attempt_failed(self._integration)
        if self.meter is not None:
            self.meter.unwatch()
            counters.streams(-1)
        counters.ended(
            self.call.route.endpoint,
            self._integration,
            self.decision.action if self.decided else "none",
            ended.status,
            ended.error,
            ended.client_left,
            self.why if self.stopping is not None else "",
            account.decided_at,
            account.sent_at,
            account.first_at,
            account.last_at,
        )
