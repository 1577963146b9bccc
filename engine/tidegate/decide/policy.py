"""A policy that can be asked: a bundle, compiled, and perhaps a shadow beside it.

It fails closed. Where there is no package for the phase that must have one, where the input is not of its shape, where
evaluation ends in an error or takes more than its budget, and where what the policy said is no decision, the call is
blocked, with `policy_error` as the code and what went wrong as the message.
"""

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from time import time_ns
from typing import Any, Final

from msgspec.structs import replace

from tidegate.decide.admission import TYPED, Admission
from tidegate.decide.bundle import Bundle, load
from tidegate.decide.cache import Cache
from tidegate.decide.compiled import Compiled, answer, by_document, compile_bundle
from tidegate.decide.contract import EVERYTHING, NoAnswer, decision, failed, refusal
from tidegate.decide.declared import declared
from tidegate.decide.input import Phase, Situation, completed, document
from tidegate.decide.reading import Limits, no_limits
from tidegate.decide.ruling import Ruling
from tidegate.model import Call, Caller, Decision, Estimate
from tidegate.rego.evaluation import BUDGET, Evaluation
from tidegate.rego.generate import Program
from tidegate.rego.values import UNDEFINED, Value, of, to_json

NO_ADMISSION: Final = "the policy has no package `tidegate.admission`"
QUERIES: Final = 64  # compiled queries that are kept; a program asks a few, over and over


class Policy(Ruling):
    """The policy of one bundle. It never changes, and any number of threads may ask it."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        carries_out: frozenset[str] = EVERYTHING,
        budget: int = BUDGET,
        cache: Cache | None = None,
    ) -> None:
        """Compiles a bundle, or finds it compiled; raises PolicyRefused. `carries_out` are the rules that whoever asks
        acts upon.
        """
        super().__init__()
        self.bundle = bundle
        self.shadow: Policy | None = None
        self._carries_out = carries_out
        self._budget = budget
        program = compile_bundle(bundle, carries_out, replace(TYPED, budget=budget), cache)
        self._compiled: Compiled = by_document(bundle, program)
        self.phases = self.wanted = self._compiled.phases
        self.declared = declared(bundle.data)
        self._admission = Admission(program, bundle.digest, carries_out) if "admission" in self.phases else None
        self.alone = self._admission
        self._queries: OrderedDict[str, Program] = OrderedDict()
        self._lock = Lock()

    @classmethod
    def load(cls, path: str | Path, *, shadow: str | Path | None = None, cache: str | Path | None = None) -> "Policy":
        """The policy in a folder of `.rego` and data files, or in an archive that `opa build` made. A `shadow` is asked
        too, and never obeyed. `cache` is a folder that keeps what was compiled; it is created, and closed to others.
        Raises PolicyRefused, which lists all the problems.
        """
        kept = Cache(Path(cache)) if cache is not None else None
        beside = cls(load(Path(shadow)), cache=kept) if shadow is not None else None
        return cls(load(Path(path)), cache=kept).beside(beside)

    def beside(self, shadow: "Policy | None") -> "Policy":
        """The same policy with another shadow, or with none."""
        made = Policy.__new__(Policy)
        made.__dict__ |= self.__dict__
        made.phases, made.declared = self.phases, self.declared
        made.wanted = self.phases if shadow is None else self.phases | shadow.phases
        made.shadow = shadow
        made.alone = self._admission if shadow is None else None
        return made

    @property
    def digest(self) -> str:
        """What tells this policy from any other."""
        return self.bundle.digest

    def admit(
        self,
        call: Call,
        caller: Caller,
        estimate: Estimate,
        ns: int,
        integration: str | None = None,
        limits: Limits = no_limits,
    ) -> Decision:
        """As `decide`, about a call of the gateway's at a moment. `limits` gives `input.limits`, if that is read."""
        if self._admission is None:
            enforced = refusal(NO_ADMISSION, self.digest)
        else:
            enforced = self._admission.decide(call, caller, estimate, ns, integration, limits)
        if self.shadow is None:
            return enforced
        return replace(enforced, shadow=self.shadow.admit(call, caller, estimate, ns, integration, limits))

    def judge(self, phase: Phase, told: dict[str, Any]) -> Decision:
        """What a later phase says of a call's finished document, that of `reading.document` with its `output`."""
        try:
            evaluation = Evaluation(strict=True, time_ns=told["time"]["ns"], budget=self._budget)
            said = self._compiled.said(phase, told, evaluation)
            return decision(phase, said, self.digest, self._carries_out)
        except Exception as error:
            return failed(error, self.digest)

    def decide(self, told: object) -> Decision:
        """The decision about a call. `told` is the `input` document, or as much of it as is known: what is absent is
        null. It never raises; where there is no answer, the call is blocked.
        """
        now = time_ns()
        enforced = self._decide(told, now)
        return enforced if self.shadow is None else replace(enforced, shadow=self.shadow._decide(told, now))

    def _decide(self, told: object, now: int) -> Decision:
        try:
            return self._decided(told, now)
        except Exception as error:
            return failed(error, self.digest)

    def _decided(self, told: object, now: int) -> Decision:
        situation = told if isinstance(told, Situation) else completed(told, now)
        phase = situation.phase
        if phase not in self._compiled.phases:
            if phase == "admission":
                raise NoAnswer(NO_ADMISSION)
            return Decision(action="allow", digest=self.digest)
        evaluation = Evaluation(strict=True, time_ns=situation.time.ns, budget=self._budget)
        said = self._compiled.said(phase, document(situation), evaluation)
        return decision(phase, said, self.digest, self._carries_out)

    def query(self, query: str, input: object = UNDEFINED) -> Any:
        """The value of a Rego expression such as `data.x.y`, as JSON has it, or UNDEFINED. `input` may be anything.
        Raises PolicyRefused where the query is wrong, and an EvaluationError where it has no answer.
        """
        document = input if input is UNDEFINED else of(input)
        value: Value = answer(self._program(query), document, Evaluation(budget=self._budget))
        return value if value is UNDEFINED else to_json(value)

    def _program(self, query: str) -> Program:
        with self._lock:
            program = self._queries.pop(query, None)
            if program is None:
                from tidegate.decide.compiling import compile_query

                program = compile_query(self.bundle, query)
            self._queries[query] = program
            if len(self._queries) > QUERIES:
                self._queries.popitem(last=False)
            return program
