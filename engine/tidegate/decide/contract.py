"""What a policy may say: the rules that Tidegate reads, what each holds, and how their values become a Decision.

A set is as good as empty where it is absent, a value as good as unsaid. What is said must be exact: a field that is
unknown or missing, a value of the wrong type, or a rule that cannot be carried out makes the whole decision fail.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from tidegate.decide.input import Misfit, Phase
from tidegate.decide.shapes import flaws
from tidegate.model import (
    Action,
    Asked,
    Capture,
    Code,
    Decision,
    Destination,
    Evidence,
    Guard,
    Limit,
    Output,
    Reason,
    Redaction,
    Text,
)
from tidegate.rego.errors import EvaluationError
from tidegate.rego.values import UNDEFINED, RegoSet, Value

PACKAGE: Final = ("data", "tidegate")


class Said(Asked, frozen=True):
    """What a policy says to whoever made the call."""

    code: Code
    message: Text


class Rule(Struct, frozen=True):
    """One rule of the contract: a set of `holds`, or one value of it."""

    holds: Any
    many: bool


RULES: Final[dict[Phase, dict[str, Rule]]] = {
    "admission": {
        "deny": Rule(Said, True),
        "warn": Rule(Said, True),
        "limit": Rule(Limit, True),
        "redact": Rule(Redaction, True),
        "route": Rule(Destination, False),
        "capture": Rule(Capture, False),
        "evidence": Rule(Evidence, False),
        "guard": Rule(Guard, True),
        "max_output": Rule(Output, False),
    },
    "stream": {"stop": Rule(Said, True)},
    "response": {
        "deny": Rule(Said, True),
        "flag": Rule(Said, True),
    },
}
EVERYTHING: Final = frozenset(name for rules in RULES.values() for name in rules)

BLOCKS: Final = ("deny", "stop")
WARNS: Final = ("warn", "flag")


def carries(carried_out: frozenset[str], name: str, value: object) -> bool:
    """Whether a rule is carried out that has this value. `capture.none` is one value of the rule `capture`."""
    return name in carried_out or f"{name}.{value}" in carried_out


class NoAnswer(Exception):
    """The policy said something that is no decision."""


def decision(
    phase: Phase, said: Mapping[str, Value], digest: str, carried_out: frozenset[str] = EVERYTHING
) -> Decision:
    """The Decision of the values that a phase's rules have; raises NoAnswer with everything that is wrong in them."""
    rules = RULES[phase]
    refused = [
        name
        for name, value in said.items()
        if not carries(carried_out, name, value) and (value or not rules[name].many)
    ]
    problems = [_refused(f"tidegate.{phase}.{name}", rules[name], said[name]) for name in refused]
    values = {name: _taken(f"tidegate.{phase}.{name}", rules[name], value, problems) for name, value in said.items()}
    if problems:
        raise NoAnswer("; ".join(problems))
    return _assembled(phase, values, digest)


def settled(said: tuple[Any, ...], digest: str, carried_out: frozenset[str] = EVERYTHING) -> Decision:
    """The Decision of what the rules of admission have, in their order, where sets were made of Structs already."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for (name, rule), value in zip(RULES["admission"].items(), said, strict=True):
        if value is UNDEFINED or value == ():
            continue
        if not carries(carried_out, name, value):
            problems.append(_refused(f"tidegate.admission.{name}", rule, value))
        values[name] = value if rule.many else _converted(f"tidegate.admission.{name}", rule.holds, value, problems)
    if problems:
        raise NoAnswer("; ".join(problems))
    return _assembled("admission", values, digest)


def _refused(place: str, rule: Rule, value: Value) -> str:
    said = "" if rule.many or type(value) is not str else f" as `{value[:20]}`"
    return f"`{place}`{said} cannot be carried out here"


def _assembled(phase: Phase, values: Mapping[str, Any], digest: str) -> Decision:
    blocks, warns = (_reasons(phase, kinds, values) for kinds in (BLOCKS, WARNS))
    action: Action = "block" if blocks else "warn" if warns else "allow"
    return Decision(
        action=action,
        reasons=(*blocks, *warns),
        limits=values.get("limit", ()),
        redactions=values.get("redact", ()),
        route=values.get("route"),
        guards=values.get("guard", ()),
        capture=values.get("capture"),
        evidence=values.get("evidence"),
        max_output=values.get("max_output"),
        digest=digest,
    )


def refusal(message: str, digest: str = "") -> Decision:
    """The Decision where there is no policy, or none that has an answer."""
    return Decision(action="block", reasons=(Reason("policy_error", message),), digest=digest)


def failed(error: Exception, digest: str) -> Decision:
    """The Decision where finding one ended in an error: also a fault of ours must not let a call pass."""
    if isinstance(error, Misfit | NoAnswer):
        return refusal(str(error), digest)
    if isinstance(error, EvaluationError):
        return refusal(f"{error.code}: {error.message}", digest)
    return refusal(f"the policy could not be evaluated: {type(error).__name__}", digest)


def _reasons(phase: Phase, kinds: Iterable[str], values: Mapping[str, Any]) -> tuple[Reason, ...]:
    return tuple(
        Reason(said.code, said.message, f"tidegate.{phase}.{kind}") for kind in kinds for said in values.get(kind, ())
    )


def _taken(place: str, rule: Rule, value: Value, problems: list[str]) -> Any:
    """A rule's value as the Struct it stands for."""
    if not rule.many:
        return _converted(place, rule.holds, value, problems)
    if type(value) is not RegoSet and type(value) is not list:
        problems.append(f"`{place}` must be a set: write `{place.rpartition('.')[2]} contains ...`")
        return ()
    members = value.values() if type(value) is RegoSet else value
    return ordered_once([_converted(place, rule.holds, member, problems) for member in members])


def ordered_once(members: list[Any]) -> tuple[Any, ...]:
    """The members of a set, each once and in an order that is their own, so that equal decisions are equal bytes."""
    if len(members) < 2:
        return tuple(members)
    by_bytes = {msgspec.json.encode(member): member for member in members}
    return tuple([by_bytes[encoded] for encoded in sorted(by_bytes)])


def converted(place: str, rule: Rule, value: Value) -> Any:
    """One member of a set of the contract, or a value of it; raises NoAnswer with everything that is wrong in it."""
    problems: list[str] = []
    made = _converted(place, rule.holds, value, problems)
    if problems:
        raise NoAnswer("; ".join(problems))
    return made


def _converted(place: str, holds: Any, value: Value, problems: list[str]) -> Any:
    if type(value) is not RegoSet:  # which would pass for an object
        try:
            return msgspec.convert(value, holds)
        except msgspec.ValidationError:
            pass
    problems.extend(list(flaws(holds, value, place)) or [f"`{place}` is not what it must be"])
    return None
