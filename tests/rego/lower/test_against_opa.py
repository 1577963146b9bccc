"""Our plans and OPA's, of the same modules: they need no more rules, and give the same answers to other documents."""

import random
from typing import Any

from tests.conformance.rego.case import SHARED, Case, needs_suite, read
from tests.conformance.rego.ways import from_plan, from_source
from tidegate.rego import values
from tidegate.rego.errors import EvaluationError
from tidegate.rego.generate import Program
from tidegate.rego.plan import Plan
from tidegate.rego.values import UNDEFINED

LANGUAGE = {
    *("assignments", "baseandvirtualdocs", "compositebasedereference", "compositereferences", "comprehensions"),
    *("completedoc", "containskeyword", "dataderef", "defaultkeyword", "disjunction", "elsekeyword", "eqexpr", "every"),
    *("embeddedvirtualdoc", "evaltermexpr", "example", "functions", "indexing", "indirectreferences", "inputvalues"),
    *("negation", "nestedreferences", "partialdocconstants", "partialiter", "partialobjectdoc", "partialsetdoc"),
    *("planner-ir", "refheads", "stringinterpolation", "varreferences", "virtualdocs", "walkbuiltin", "withkeyword"),
}
OTHERS: list[Any] = [None, True, False, 0, 1, 2, "a", "b", "c", [], {}, [1, 2], {"a": 1}, [["a"]]]

pytestmark = needs_suite


def cases() -> list[Case]:
    return [case for case in read(SHARED) if case.category in LANGUAGE and case.by_design() is None]


def changed(chance: random.Random, value: Any) -> Any:
    """The document with some of its parts gone, others in their place, and some more."""
    if chance.random() < 0.1:
        return chance.choice(OTHERS)
    if type(value) is dict:
        kept = {name: changed(chance, held) for name, held in value.items() if chance.random() < 0.9}
        return kept | ({chance.choice("abcdxpq"): chance.choice(OTHERS)} if chance.random() < 0.1 else {})
    if type(value) is list:
        kept = [changed(chance, held) for held in value if chance.random() < 0.9]
        return kept + ([chance.choice(OTHERS)] if chance.random() < 0.1 else [])
    return value


def answers(made: Plan, data: Any, document: Any) -> Any:
    try:
        results = Program(made, data).evaluate("eval", document)
    except EvaluationError as error:
        return error.code
    return values.json_text(values.ordered(results))


def test_no_more_rules_are_needed() -> None:
    for case in cases():
        ours = {function.path[1:] for function in from_source(case).functions}
        assert ours <= {function.path[1:] for function in from_plan(case).functions}, case.note


def test_other_documents_get_the_same_answers() -> None:
    for case in cases():
        chance = random.Random(case.note)
        data = changed(chance, case.data)
        data = data if type(data) is dict else {}
        document = case.document()
        document = document if document is UNDEFINED else changed(chance, document)
        ours, theirs = (answers(made, data, document) for made in (from_source(case), from_plan(case)))
        assert ours == theirs, f"{case.note} with data {data} and input {document}"
