"""What the checker says of policies that are wrong in one way, word for word and place for place."""

from pathlib import Path

import pytest

from tests.rego.check.corpus import Case, cases, told

FILES = sorted(path.name for path in Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{file}: {case.note}") for file in FILES for case in cases(file)]
)
def test_says_what_is_wrong_and_where(case: Case) -> None:
    assert told(case) == case.expected
