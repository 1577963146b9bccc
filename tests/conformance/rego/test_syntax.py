"""Every module, query and input term of the cases is read: the project's own, and OPA's where they are at hand."""

from tests.conformance.rego.case import OWN, SHARED, Case, needs_suite, read
from tidegate.rego.parser import parse, parse_body, parse_term
from tidegate.rego.source import Source


def read_all(cases: list[Case]) -> None:
    for case in cases:
        for module in case.modules:
            parse(Source(case.note, module))
        parse_body(Source(case.note, case.query))
        if case.input_term is not None:
            parse_term(Source(case.note, case.input_term))


def test_own_cases_are_read() -> None:
    read_all(list(read(OWN)))


@needs_suite
def test_the_suite_is_read() -> None:
    read_all(list(read(SHARED)))
