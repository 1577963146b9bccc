"""The two ways to an answer: from our front end, and from the plan that OPA made. A case passes when each agrees."""

from enum import Enum

from msgspec import Struct

from tests.conformance.rego.case import Case, answers_agree, text
from tidegate.rego import plan
from tidegate.rego.check import check, check_query
from tidegate.rego.errors import PolicyRefused, RegoError
from tidegate.rego.generate import Program
from tidegate.rego.lower import lower
from tidegate.rego.parser import parse, parse_body
from tidegate.rego.plan import Plan
from tidegate.rego.source import Source


class Verdict(Enum):
    PASSED = "passed"
    WRONG = "wrong result"  # an answer, and not the one; what must never happen
    REFUSED = "refused with an error"
    CRASHED = "crashed"  # with an exception that is none of ours
    SKIPPED = "skipped"  # refused by design


class Outcome(Struct, frozen=True):
    """What came of a case on one way."""

    verdict: Verdict
    explanation: str = ""


def from_source(case: Case) -> Plan:
    """The plan of our own front end."""
    modules = [parse(Source(f"test-{number}.rego", module)) for number, module in enumerate(case.modules)]
    checked = check(modules)
    if checked.errors:
        raise PolicyRefused(checked.errors)
    return lower(checked, {"eval": check_query(checked, parse_body(Source("query", case.query)))})


def from_plan(case: Case) -> Plan:
    """The plan that OPA made."""
    assert case.plan is not None
    return plan.from_document(case.plan)


WAYS = {"plan": from_plan, "source": from_source}


def run(case: Case, way: str) -> Outcome:
    """Answers a case on one way and judges the answer."""
    try:
        program = Program(WAYS[way](case), case.data, strict=case.strict)
        answers = program.evaluate("eval", case.document())
    except RegoError as error:
        return judge_error(case, error)
    except Exception as error:  # a crash is a finding like any other, and the run goes on
        return Outcome(Verdict.CRASHED, f"{type(error).__name__}: {error}")
    if case.fails:
        return Outcome(Verdict.WRONG, f"answered {text(answers)} instead of {case.error}")
    if answers_agree(case, answers):
        return Outcome(Verdict.PASSED)
    return Outcome(Verdict.WRONG, f"answered {text(answers)} instead of {text(case.want or [])}")


def judge_error(case: Case, error: RegoError) -> Outcome:
    """An error is right where that very error is wanted."""
    refused = isinstance(error, PolicyRefused)
    codes = {problem.code for problem in error.problems} if refused else {error.code, None}
    if case.fails and case.error in codes:
        return Outcome(Verdict.PASSED)
    if refused and (reason := case.by_design()):
        return Outcome(Verdict.SKIPPED, reason)
    return Outcome(Verdict.REFUSED, f"{error.code}: {error}")


def ways_of(case: Case) -> list[str]:
    """The project's cases have no plan of OPA's."""
    return [way for way in WAYS if way != "plan" or case.plan is not None]


def worst(outcomes: list[Outcome]) -> Outcome:
    """The outcome of a case: passed where it passed on every way."""
    order = [Verdict.WRONG, Verdict.CRASHED, Verdict.REFUSED, Verdict.SKIPPED, Verdict.PASSED]
    return min(outcomes, key=lambda outcome: order.index(outcome.verdict))
