"""Proves, when it is imported, that the C fields of values.pxd are where msgspec keeps those of the Structs.

A Struct with the name of each field as its value is read through C. The records import this, and nothing is governed
without them: with a msgspec that keeps fields otherwise a gateway does not start, and an engine is not imported.
"""

from tidegate import model
from tidegate.record import records
from tidegate.record.values cimport Attempt, Seen
from tidegate.values cimport Caller, Decision, Estimate, Outcome, Reason, Usage
from tidegate.wire import dialect
from tidegate.wire.values cimport Governed, Route


cdef prove(value, tuple read):
    if read != value.__struct_fields__:
        raise ImportError(f"this msgspec does not keep the fields of {type(value).__name__} in the order of their names")


cdef named(kind):
    return kind(**{name: name for name in kind.__struct_fields__})


cdef Caller caller = named(model.Caller)
prove(caller, (
    caller.tenant, caller.mode, caller.key, caller.user, caller.roles, caller.ip, caller.session, caller.parent,
    caller.tags, caller.integrations,
))
cdef Decision decision = named(model.Decision)
prove(decision, (
    decision.action, decision.reasons, decision.limits, decision.redactions, decision.route, decision.guards,
    decision.capture, decision.evidence, decision.max_output, decision.shadow, decision.digest,
))
cdef Estimate estimate = named(model.Estimate)
prove(estimate, (estimate.prompt_tokens, estimate.prompt_kind, estimate.output_tokens, estimate.cost))
cdef Outcome outcome = named(model.Outcome)
prove(outcome, (outcome.status, outcome.error, outcome.client_left, outcome.reached))
cdef Reason reason = named(model.Reason)
prove(reason, (reason.code, reason.message, reason.rule))
cdef Usage usage = named(model.Usage)
prove(usage, (
    usage.input_tokens, usage.output_tokens, usage.kind, usage.cached_tokens, usage.cache_write_tokens,
    usage.cache_write_1h_tokens, usage.input_audio_tokens, usage.input_image_tokens, usage.reasoning_tokens,
    usage.output_audio_tokens, usage.output_image_tokens, usage.web_searches, usage.service,
))
cdef Governed governed = named(dialect.Governed)
prove(governed, (governed.model, governed.stream, governed.max_tokens, governed.n, governed.user))
cdef Route route = named(dialect.Route)
prove(route, (
    route.method, route.path, route.endpoint, route.dialect, route.body, route.query, route.stream_error,
    route.ask_usage, route.lower_output, route.finish,
))
cdef Attempt attempt = named(records.Attempt)
prove(attempt, (attempt.integration, attempt.status, attempt.error))
cdef Seen seen = named(records.Seen)
prove(seen, (seen.name, seen.used, seen.remaining, seen.reset))
