"""Tidegate governs every call an organisation makes to large language models.

A request walks through seven verbs, one folder each; `pipeline.py` joins them:

    accept -> identify -> decide -> limit -> forward -> count -> record

`wire/` holds the providers' dialects, `serve/` the processes, `cli/` the commands.

A program that makes its calls by itself can ask for decisions alone:

    from tidegate import Policy

    policy = Policy.load("policies")
    decision = policy.decide({"caller": {"tenant": "acme"}, "request": {"model": "gpt-4o"}})

and for limits alone (`help(Limits)`):

    from tidegate import Limit, Limits

    limits = Limits()
    calls = limits.prepare(Limit(name="calls", measure="requests", max=100, per="1m"))
    hold = limits.acquire([(calls, 1)])

and keep evidence of what happened (`help(Ledger)`):

    from tidegate import Ledger

    with Ledger("ledger", origin="example.org/ledger") as ledger:
        ...

and govern all of a call, from the decision to its record (`help(Engine)`):

    from tidegate import Engine

    with Engine("policies", ledger="ledger", origin="example.org/app") as engine:
        run = engine.begin("chat.completions", body, tenant="acme")
        ...

and count tokens while they stream:

    from tidegate import TokenCounter

    counter = TokenCounter("gpt-4o")
    counter.feed("Hello")
    print(counter.count)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.count.prices import cost
    from tidegate.count.tokens import TokenCounter, count_tokens
    from tidegate.decide.policy import Policy
    from tidegate.engine import Engine
    from tidegate.errors import TidegateError
    from tidegate.limit.limits import Limits
    from tidegate.model import Decision, Limit
    from tidegate.record.ledger import Ledger
    from tidegate.rego.errors import EvaluationError, PolicyRefused
    from tidegate.rego.values import UNDEFINED

__version__ = "0.1.0"
__all__ = [
    "UNDEFINED",
    "Decision",
    "Engine",
    "EvaluationError",
    "Ledger",
    "Limit",
    "Limits",
    "Policy",
    "PolicyRefused",
    "TidegateError",
    "TokenCounter",
    "__version__",
    "cost",
    "count_tokens",
]

# imported when they are asked for: a gateway starts without most of them
_HOMES = {
    "Decision": "tidegate.model",
    "Engine": "tidegate.engine",
    "EvaluationError": "tidegate.rego.errors",
    "Ledger": "tidegate.record.ledger",
    "Limit": "tidegate.model",
    "Limits": "tidegate.limit.limits",
    "Policy": "tidegate.decide.policy",
    "PolicyRefused": "tidegate.rego.errors",
    "TidegateError": "tidegate.errors",
    "TokenCounter": "tidegate.count.tokens",
    "UNDEFINED": "tidegate.rego.values",
    "cost": "tidegate.count.prices",
    "count_tokens": "tidegate.count.tokens",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module `tidegate` has no attribute `{name}`")
    return getattr(import_module(_HOMES[name]), name)
