"""decide: a call and its caller get a decision."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING

from tidegate.errors import PolicyDenied, PolicyFailed
from tidegate.model import Call, Caller, Decision, Estimate

if TYPE_CHECKING:
    from tidegate.decide.live import Live  # what decides is loaded only where there is a policy

ALLOW = Decision(action="allow")


def decide(call: Call, caller: Caller, estimate: Estimate, policy: Live | None) -> Decision:
    """What the policy in force says; without one every call may pass."""
    return ALLOW if policy is None else policy.admit(call, caller, estimate, time_ns())


def denied(decision: Decision) -> PolicyDenied | PolicyFailed:
    """What a caller is told of a decision that refuses the call: every reason."""
    said = "; ".join(f"`{reason.code}`: {reason.message}" for reason in decision.reasons)
    failed = any(reason.code == "policy_error" for reason in decision.reasons)
    return PolicyFailed(said) if failed else PolicyDenied(said)
