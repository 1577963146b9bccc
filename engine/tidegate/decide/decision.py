"""decide: a call and its caller get a decision."""

from time import time_ns

from msgspec.structs import replace

from tidegate.decide.live import Nothing
from tidegate.decide.policy import Policy
from tidegate.decide.reading import Limits
from tidegate.errors import PolicyDenied, PolicyFailed
from tidegate.model import Call, Caller, Decision, Estimate

UNDECIDED = Decision(action="allow")  # what stands in the place of a decision until there is one


def decide(
    call: Call, caller: Caller, estimate: Estimate, integration: str, limits: Limits, policy: Policy | Nothing
) -> Decision:
    """What the policy in force says."""
    rules = policy.alone
    if rules is not None:
        return rules.decide(call, caller, estimate, time_ns(), integration, limits)
    return policy.admit(call, caller, estimate, time_ns(), integration, limits)


def and_later(shadow: Decision, later: Decision, phase: str) -> Decision:
    """What a shadow has said in all, when it was asked in a later phase too: every reason, and what weighs most. It is
    asked as long as it would have let the call go on, so that what it says last never weighs less.
    """
    if not later.reasons:
        return shadow
    reasons = tuple([each if each.rule else replace(each, rule=f"tidegate.{phase}") for each in later.reasons])
    return replace(shadow, action=later.action, reasons=shadow.reasons + reasons)


def denied(decision: Decision) -> PolicyDenied | PolicyFailed:
    """What a caller is told of a decision that refuses the call: every reason."""
    words, rule = said(decision)
    return PolicyFailed(words, rule=rule) if failed(decision) else PolicyDenied(words, rule=rule)


def said(decision: Decision) -> tuple[str, str]:
    """All reasons in words, and their codes."""
    words = "; ".join(f"`{reason.code}`: {reason.message}" for reason in decision.reasons)
    return words, ", ".join(dict.fromkeys(reason.code for reason in decision.reasons))


def failed(decision: Decision) -> bool:
    """The policy has no answer."""
    return any(reason.code == "policy_error" for reason in decision.reasons)
