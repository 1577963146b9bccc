"""The project's own cases all pass; of OPA's suite, where it is at hand, enough do, and none is answered wrongly."""

from collections import defaultdict

import pytest

from tests.conformance.rego.__main__ import GATE
from tests.conformance.rego.case import OWN, SHARED, Case, needs_suite, read, same
from tests.conformance.rego.ways import Verdict, run, ways_of, worst

BY_CATEGORY: dict[str, list[Case]] = defaultdict(list)
for _case in read(OWN):
    BY_CATEGORY[_case.category].append(_case)


@pytest.mark.parametrize("category", sorted(BY_CATEGORY))
def test_own_cases(category: str) -> None:
    for case in BY_CATEGORY[category]:
        for way in ways_of(case):
            outcome = run(case, way)
            assert outcome.verdict is Verdict.PASSED, f"{case.note}: {outcome.verdict.value}: {outcome.explanation}"


def test_notes_are_names() -> None:
    for category, cases in BY_CATEGORY.items():
        notes = [case.note for case in cases]
        assert len(set(notes)) == len(notes), category


QUESTION = {"category": "made up", "note": "-", "query": "data.test.p = x"}


@pytest.mark.parametrize(
    ("rules", "wanted", "verdict"),
    [
        ("p := 1", {"want": [{"x": 1}]}, Verdict.PASSED),
        ("p := 1", {"want": [{"x": 2}]}, Verdict.WRONG),
        ("p := 1", {"want": []}, Verdict.WRONG),
        ("p := 1 if false", {"want": [{"x": 1}]}, Verdict.WRONG),
        ("p := [2, 1]", {"want": [{"x": [1, 2]}]}, Verdict.WRONG),
        ("p := [2, 1]", {"want": [{"x": [1, 2]}], "unordered": True}, Verdict.PASSED),
        ("p := x if some x in [1, 2]", {"want": [{"x": 1}]}, Verdict.REFUSED),
        ("p := x if some x in [1, 2]", {"fails": True, "error": "eval_conflict_error"}, Verdict.PASSED),
        ("p := x if some x in [1, 2]", {"fails": True, "error": "eval_type_error"}, Verdict.REFUSED),
        ("p := 1", {"fails": True, "error": "eval_type_error"}, Verdict.WRONG),
        ("p := missing(1)", {"want": []}, Verdict.REFUSED),
        ('p := http.send({"url": "http://x"})', {"want": []}, Verdict.SKIPPED),
    ],
)
def test_the_judgement(rules: str, wanted: dict[str, object], verdict: Verdict) -> None:
    case = Case(**QUESTION, modules=[f"package test\n\n{rules}\n"], **wanted)
    assert run(case, "source").verdict is verdict


def test_sameness() -> None:
    assert same([1, {"a": 0.5}], [1.0, {"a": 0.5}])
    assert not same(True, 1)
    assert not same({"a": 1}, {"a": 1, "b": None})
    assert not same(10**30, 10**30 + 1)
    assert not same([], {})


@needs_suite
def test_every_category_of_the_suite_has_cases_of_our_own() -> None:
    theirs = {path.stem for path in SHARED.glob("*.json")}
    assert {category for category in theirs if len(BY_CATEGORY[category]) < 2} == set()


@needs_suite
def test_the_suite() -> None:
    outcomes = {}
    for number, case in enumerate(read(SHARED)):
        outcomes[number, case.category, case.note] = worst([run(case, way) for way in ways_of(case)])
    wrong = [name for name, outcome in outcomes.items() if outcome.verdict in (Verdict.WRONG, Verdict.CRASHED)]
    passed = sum(outcome.verdict is Verdict.PASSED for outcome in outcomes.values())
    assert wrong == []
    assert passed >= GATE * len(outcomes)
