"""Tidegate governs every call an organisation makes to large language models.

A request walks through seven verbs, one folder each; `pipeline.py` joins them:

    accept -> identify -> decide -> limit -> forward -> count -> record

`wire/` holds the providers' dialects, `serve/` the processes, `cli/` the commands.

A program that makes its calls by itself can ask for decisions alone:

    from tidegate import Policy

    policy = Policy.load("policies")
    decision = policy.decide({"caller": {"tenant": "acme"}, "request": {"model": "gpt-4o"}})
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.decide.policy import Policy
    from tidegate.model import Decision
    from tidegate.rego.errors import EvaluationError, PolicyRefused
    from tidegate.rego.values import UNDEFINED

__version__ = "0.1.0"
__all__ = ["UNDEFINED", "Decision", "EvaluationError", "Policy", "PolicyRefused", "__version__"]

# imported when they are asked for: a gateway starts without most of them
_HOMES = {
    "Decision": "tidegate.model",
    "EvaluationError": "tidegate.rego.errors",
    "Policy": "tidegate.decide.policy",
    "PolicyRefused": "tidegate.rego.errors",
    "UNDEFINED": "tidegate.rego.values",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module `tidegate` has no attribute `{name}`")
    return getattr(import_module(_HOMES[name]), name)
