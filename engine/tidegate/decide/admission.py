"""The decision about a call on its way: the compiled policy reads the `Call` and the `Caller` as they are.

This is what `Policy.decide` does with a document, without the document. The elements of a set are made into what they
stand for where the policy writes them, from what is known of them beforehand; most calls get a Decision of which
nothing but the reasons and the limits had to be looked at. Compiled, because every call comes this way.
"""

from collections.abc import Callable
from typing import Any, Final

from tidegate.decide.contract import EVERYTHING, RULES, Rule, converted, failed, ordered_once, settled
from tidegate.decide.known import Known, Told
from tidegate.decide.reading import DOCUMENT, NAMES, PARAMETERS, Limits
from tidegate.model import Call, Caller, Decision, Estimate, Limit
from tidegate.rego.generate import Program
from tidegate.rego.generate.asking import ANYTHING, Note, Question
from tidegate.rego.generate.typed import Typed
from tidegate.rego.values import UNDEFINED, Value

PLACE: Final = "tidegate.admission"
Said = tuple[Any, ...]  # what the rules have, in the order of RULES
PLAIN: Final = (str, int, type(None))  # of which equal values are the same; 1, 1.0 and true are equal too
EVERY_RULE: Final[list[Note]] = [(Question("", (), ANYTHING, frozenset(range(len(RULES["admission"])))), None, True)]
KEPT: Final = 4096  # objects of one `contains`, by what is not known of them beforehand


class Elements:
    """What the elements of one set of the contract stand for."""

    def __init__(self, name: str, rule: Rule) -> None:
        self.place = f"{PLACE}.{name}"
        self.rule = rule
        self._sets: dict[tuple[int, ...], tuple[tuple[Any, ...], list[Any]]] = {}

    def convert(self, value: Value) -> Any:
        """The object of an element; raises NoAnswer where it is none."""
        return converted(self.place, self.rule, value)

    def partial(self, known: dict[str, Value], names: tuple[str, ...]) -> Callable[..., Any]:
        """The same from the values of some fields. They repeat, from call to call, and so do the objects of them."""
        kept: dict[tuple[Any, ...], Any] = {}

        def made(*values: Any) -> Any:
            for value in values:
                if type(value) not in PLAIN:
                    break
            else:
                found = kept.get(values)
                if found is None:
                    if len(kept) > KEPT:
                        kept.clear()
                    found = kept[values] = self.convert(known | dict(zip(names, values, strict=True)))
                return found
            return self.convert(known | dict(zip(names, values, strict=True)))

        return made

    def finished(self, elements: list[Any]) -> tuple[Any, ...]:
        """The set, in an order of its own. The same elements are the same set."""
        if not elements:
            return ()
        key = tuple([id(element) for element in elements])
        found = self._sets.get(key)
        if found is None:
            if len(self._sets) > KEPT:
                self._sets.clear()
            found = self._sets[key] = ordered_once(elements), elements  # which are kept, and so are their ids
        return found[0]


TYPED: Final = Typed(
    params=PARAMETERS,
    moment="ns",
    input=DOCUMENT,
    names=NAMES,
    rules={
        f"g0.data.{PLACE}.{name}": Elements(name, rule) if rule.many else None
        for name, rule in RULES["admission"].items()
    },
)


class Admission:
    """The rules of `tidegate.admission`, of one bundle. The program was compiled with `TYPED`, and some budget."""

    def __init__(self, program: Program, digest: str, carries_out: frozenset[str] = EVERYTHING) -> None:
        assert program.noted is not None
        assert program.again is not None
        self._noted: Callable[..., tuple[Said, list[Note]]] = program.noted
        self._again: Callable[..., Said] = program.again
        self._digest = digest
        self._carries_out = carries_out
        self._known = Known(program.few)
        self._passes: dict[tuple[int, object], Decision] = {}

    def decide(
        self, call: Call, caller: Caller, estimate: Estimate, ns: int, integration: str | None, limits: Limits
    ) -> Decision:
        """The decision about a call at a moment. It never raises; where there is no answer, the call is blocked."""
        try:
            told = self._known.find(call, caller, estimate, ns, integration, limits)
            if told is None:
                told = self._asked(call, caller, estimate, ns, integration, limits)
            if told.rules:
                return self._settled(
                    self._again(call, caller, estimate, ns, integration, limits, told.said, told.rules)
                )
            if told.decision is None:
                told.decision = self._settled(told.said)
            return told.decision
        except Exception as error:
            return failed(error, self._digest)

    def _asked(
        self, call: Call, caller: Caller, estimate: Estimate, ns: int, integration: str | None, limits: Limits
    ) -> Told:
        """What the policy says of such a call, found by asking it, and kept."""
        try:
            said, notes = self._noted(call, caller, estimate, ns, integration, limits)
        except Exception:  # perhaps because a rule was left in its middle: then each call's evaluation will tell
            said, notes = (), EVERY_RULE
        return self._known.keep(call, caller, estimate, ns, integration, limits, said, notes)

    def _settled(self, said: Said) -> Decision:
        deny, warn, limit, redact, route, capture, evidence, guard, most = said
        if not (deny or warn or redact or guard) and route is capture is evidence is UNDEFINED:
            return self._passed(said, limit, most)
        return settled(said, self._digest, self._carries_out)

    def _passed(self, said: Said, limit: tuple[Limit, ...], most: Value) -> Decision:
        """The decision about a call that passes: it is the same for all calls with the same limits."""
        if most is not UNDEFINED and type(most) is not int:  # it is wrong, and true would find what was kept for 1
            return settled(said, self._digest, self._carries_out)
        found = self._passes.get((id(limit), most))
        if found is None or found.limits is not limit:
            if len(self._passes) > KEPT:
                self._passes.clear()
            found = self._passes[id(limit), most] = settled(said, self._digest, self._carries_out)
        return found
