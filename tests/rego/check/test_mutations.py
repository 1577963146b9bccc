"""Whatever can be parsed can be checked; and what is accepted can be compiled, so that nothing is wrong later."""

import re
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.rego.case import OWN, read
from tests.rego.check.corpus import cases
from tidegate.rego.check import check
from tidegate.rego.errors import PolicyRefused
from tidegate.rego.generate import Program
from tidegate.rego.lower import lower
from tidegate.rego.parser import parse
from tidegate.rego.source import Source

CORPUS = [
    text
    for path in sorted(Path(__file__).parent.glob("*.txt"))
    for case in cases(path.name)
    for text in case.files.values()
]
MODULES = sorted({*CORPUS, *(text for case in read(OWN) for text in case.modules)})
TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


@st.composite
def nearly_right(draw: st.DrawFn) -> str:
    """A module of which some tokens are left out, repeated elsewhere, or exchanged."""
    tokens = TOKEN.findall(draw(st.sampled_from(MODULES)))
    others = TOKEN.findall(draw(st.sampled_from(MODULES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(tokens) - 1))
        word = draw(st.sampled_from([*others, ""]))
        tokens[at : at + draw(st.integers(0, 1))] = [word]
    return "".join(tokens)


@given(nearly_right())
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_is_refused_with_problems_or_compiles(text: str) -> None:
    try:
        module = parse(Source("a.rego", text))
    except PolicyRefused:
        return
    checked = check([module])
    for problem in checked.problems:
        assert problem.source is module.source
        assert 0 <= problem.start <= problem.end <= len(text)
        assert str(problem)
    if not checked.errors:
        Program(lower(checked, {"all": module.package}), {})
