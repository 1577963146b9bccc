"""decide: a call and its caller get a decision, or are refused by it."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING

from tidegate.errors import PolicyDenied, PolicyFailed
from tidegate.model import Call, Caller, Decision

if TYPE_CHECKING:
    from tidegate.decide.live import Live  # what decides is loaded only where there is a policy

ALLOW = Decision(action="allow")


def decide(call: Call, caller: Caller, policy: Live | None) -> Decision:
    """What the policy in force says; without one every call may pass. Raises what refuses the call."""
    if policy is None:
        return ALLOW
    decision = policy.admit(call, caller, time_ns())
    if decision.action == "block":
        raise denied(decision)
    return decision


def denied(decision: Decision) -> PolicyDenied | PolicyFailed:
    """What a caller is told of a decision that refuses the call: every reason."""
    said = "; ".join(f"`{reason.code}`: {reason.message}" for reason in decision.reasons)
    failed = any(reason.code == "policy_error" for reason in decision.reasons)
    return PolicyFailed(said) if failed else PolicyDenied(said)
