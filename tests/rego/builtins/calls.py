"""Calls of builtins by name, as generated code makes them."""

from typing import Any

import pytest

from tidegate.rego.builtins import TABLE
from tidegate.rego.errors import BuiltinError
from tidegate.rego.evaluation import Evaluation


def call(name: str, *operands: Any, evaluation: Evaluation | None = None) -> Any:
    found = TABLE[name]
    first = (evaluation or Evaluation(),) if found.evaluation else ()
    return found.call(*first, *operands)


def problem(name: str, *operands: Any, evaluation: Evaluation | None = None) -> str:
    """The code and message of the error that the call must end in."""
    with pytest.raises(BuiltinError) as caught:
        call(name, *operands, evaluation=evaluation)
    return f"{caught.value.code}: {caught.value.message}"
