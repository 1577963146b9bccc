"""The `input` document, version 1: what a policy is told, in each of the three phases.

These Structs are the one truth. The schema that policies are checked with, the document that fills up what an embedding
program left out, and docs/policy-input.md are made from them.

Every field is always there, so that none can be undefined: what a call does not have is null, a list or a map of which
it has nothing is empty.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from tidegate.decide.shapes import flaws, schema, shown
from tidegate.rego.values import of

VERSION: Final = 1

Phase = Literal["admission", "stream", "response"]
Weekday = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
Kind = Literal["exact", "calibrated", "estimated"]
WEEKDAYS: Final[tuple[Weekday, ...]] = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)

Text = str | None
Count = Annotated[int, Meta(ge=0, le=2**62, extra={"takes": "a whole number, 0 or more"})] | None
Number = Annotated[int, Meta(ge=-(2**62), le=2**62)] | Annotated[float, Meta(ge=-1e300, le=1e300)] | None


class Told(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the document; a field that is not here is an error."""


class Time(Told, frozen=True):
    """The moment of the decision, in UTC. It stands still while a policy runs; `time.now_ns()` is the same moment."""

    ns: Annotated[int, Meta(ge=0, le=2**63 - 1, description="nanoseconds since 1970")]
    rfc3339: Annotated[str, Meta(description='as text, such as `"2026-11-21T07:30:00Z"`')]
    weekday: Annotated[Weekday, Meta(description="the day of the week", extra={"takes": "a day, `Monday` to `Sunday`"})]
    hour: Annotated[int, Meta(ge=0, le=23, description="the hour of the day, 0 to 23")]

    @classmethod
    def at(cls, ns: int) -> "Time":
        """The moment that many nanoseconds after 1970."""
        seconds, below = divmod(ns, 1_000_000_000)
        moment = datetime.fromtimestamp(seconds, UTC)
        text = moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{below:09d}".rstrip("0") if below else "") + "Z"
        return cls(ns=ns, rfc3339=text, weekday=WEEKDAYS[moment.weekday()], hour=moment.hour)


class Run(Told, frozen=True):
    """This call, and what it belongs to."""

    id: Annotated[Text, Meta(description="the id under which the call is recorded")] = None
    session: Annotated[Text, Meta(description="the session that the client named")] = None
    parent: Annotated[Text, Meta(description="the run that the client named as the cause of this one")] = None
    tags: Annotated[list[str], Meta(description="the tags of the key, and then those that the client set")] = []


class Caller(Told, frozen=True):
    """Whose call it is."""

    tenant: Annotated[Text, Meta(description="the tenant that pays")] = None
    key: Annotated[Text, Meta(description="the id of the key, never the key itself")] = None
    user: Annotated[
        Text, Meta(description="the user that the key belongs to, else whom the client says it acts for")
    ] = None
    roles: Annotated[list[str], Meta(description="the roles of the key")] = []
    ip: Annotated[Text, Meta(description="the address that the connection came from; null on a Unix socket")] = None
    mode: Annotated[
        Literal["key", "byok", "anonymous"] | None,
        Meta(description="a key of Tidegate's, the caller's own provider key, or none"),
    ] = None


class Part(Told, frozen=True):
    """One part of a message's content."""

    type: Annotated[Text, Meta(description="such as `text` or `image_url`")] = None
    text: Annotated[Text, Meta(description="its text, also that of what is in it")] = None


class Message(Told, frozen=True):
    """One message. A plain prompt, and each input of an embedding, is a message of role `user`."""

    role: Annotated[Text, Meta(description="such as `system`, `user`, `assistant` or `tool`")] = None
    text: Annotated[
        Text,
        Meta(
            description="all of its text, a line for each piece: of its parts, of calls of tools and their results, of"
            " thoughts; null where it has none, as prompts of tokens, images, sound and files have none"
        ),
    ] = None
    parts: Annotated[list[Part], Meta(description="its parts, where the content is a list")] = []


class Tool(Told, frozen=True):
    """A tool that the model may call."""

    name: Annotated[Text, Meta(description="its name; null for a tool of the provider's own without one")] = None


class Request(Told, frozen=True):
    """What is asked for."""

    endpoint: Annotated[Text, Meta(description="such as `chat.completions`, `messages`, `embeddings` or `models`")] = (
        None
    )
    provider: Annotated[Text, Meta(description="the provider of the integration")] = None
    integration: Annotated[Text, Meta(description="the integration that serves the model")] = None
    model: Annotated[Text, Meta(description="the model as the client named it; null where the endpoint has none")] = (
        None
    )
    stream: Annotated[bool | None, Meta(description="whether the answer is asked for as a stream")] = None
    max_tokens: Annotated[Count, Meta(description="the most tokens that one answer may have; null: not limited")] = None
    n: Annotated[Count, Meta(description="how many answers are asked for; null: one")] = None
    messages: Annotated[list[Message], Meta(description="the messages, oldest first")] = []
    tools: Annotated[list[Tool], Meta(description="the tools on offer")] = []
    metadata: Annotated[dict[str, Any], Meta(description="the caller's own fields, as they were sent")] = {}
    bytes: Annotated[Count, Meta(description="the size of the body")] = None


class Estimate(Told, frozen=True):
    """What the call will take, as far as that is known before it leaves."""

    prompt_tokens: Annotated[Count, Meta(description="the tokens of the prompt")] = None
    prompt_kind: Annotated[Kind | None, Meta(description="how the prompt was counted")] = None
    output_tokens: Annotated[Count, Meta(description="the most tokens that the answers can have")] = None
    usd: Annotated[Number, Meta(description="the most that the call can cost, in US dollars")] = None


class Finding(Told, frozen=True):
    """What a detector found."""

    detector: Annotated[Text, Meta(description="its name")] = None
    where: Annotated[Text, Meta(description="the part of the call, such as `request.messages[2]`")] = None
    count: Annotated[Count, Meta(description="how often")] = None


class Bucket(Told, frozen=True):
    """The state of a limit that `data.limits` declares."""

    used: Annotated[Number, Meta(description="what is drawn of it, by calls that ended and calls under way")] = None
    remaining: Annotated[Number, Meta(description="what can still be drawn, of the `max` that is declared")] = None
    reset_s: Annotated[Number, Meta(description="seconds until it is full again")] = None


class StreamOutput(Told, frozen=True):
    """The answer so far."""

    tokens: Annotated[Count, Meta(description="the tokens so far")] = None
    usd: Annotated[Number, Meta(description="what the call has cost so far, in US dollars")] = None
    tail: Annotated[Text, Meta(description="the end of the text so far")] = None


class Usage(Told, frozen=True):
    """What the call consumed."""

    input_tokens: Annotated[Count, Meta(description="the tokens of the prompt")] = None
    output_tokens: Annotated[Count, Meta(description="the tokens of the answers")] = None
    kind: Annotated[
        Literal["provider", "exact", "calibrated", "estimated"] | None,
        Meta(description="whether the provider said so, or how it was counted"),
    ] = None


class ResponseOutput(Told, frozen=True):
    """The whole answer."""

    text: Annotated[Text, Meta(description="all of its text")] = None
    usage: Annotated[Usage, Meta(description="what the call consumed")] = Usage()
    finish: Annotated[Text, Meta(description="why it ended, in the provider's words")] = None


class Situation(Told, frozen=True, kw_only=True):
    """What every phase is told."""

    version: Annotated[Literal[1], Meta(description="the version of this document")] = VERSION
    phase: Annotated[Phase, Meta(description="what is decided")]
    time: Annotated[Time, Meta(description="when")]
    run: Annotated[Run, Meta(description="which call")] = Run()
    caller: Annotated[Caller, Meta(description="whose call")] = Caller()
    request: Annotated[Request, Meta(description="what is asked for")] = Request()
    estimate: Annotated[Estimate, Meta(description="what it will take")] = Estimate()
    findings: Annotated[list[Finding], Meta(description="what the detectors found")] = []
    limits: Annotated[dict[str, Bucket], Meta(description="the limits of `data.limits`, by name")] = {}


class Admission(Situation, frozen=True, kw_only=True):
    """`tidegate.admission`: before the call leaves."""

    phase: Annotated[Literal["admission"], Meta(description="what is decided")] = "admission"


class Stream(Situation, frozen=True, kw_only=True):
    """`tidegate.stream`: inside a stream, every so many tokens and when a detector finds something."""

    phase: Annotated[Literal["stream"], Meta(description="what is decided")] = "stream"
    output: Annotated[StreamOutput, Meta(description="the answer so far")] = StreamOutput()


class Response(Situation, frozen=True, kw_only=True):
    """`tidegate.response`: when the answer is complete, before the last of it is passed on."""

    phase: Annotated[Literal["response"], Meta(description="what is decided")] = "response"
    output: Annotated[ResponseOutput, Meta(description="the whole answer")] = ResponseOutput()


PHASES: Final[dict[Phase, type[Situation]]] = {"admission": Admission, "stream": Stream, "response": Response}


class Misfit(Exception):
    """What was told is not an input document; the text names everything that is wrong."""


def document(told: Situation) -> dict[str, Any]:
    """The document as policies see it; raises Misfit where the caller's own fields hold what Rego has no value for."""
    try:
        result: dict[str, Any] = of(msgspec.to_builtins(told, builtin_types=(Decimal,)))
    except (TypeError, ValueError, RecursionError) as error:
        raise Misfit(f"`input.request.metadata`: {error}") from None
    return result


def completed(told: object, now_ns: int) -> Situation:
    """What an embedding program told, with what it left out; raises Misfit where it is not of this shape."""
    given = told if type(told) is dict else dict(told) if isinstance(told, Mapping) else None
    if given is None:
        raise Misfit(f"`input` must be an object, found {shown(told)}")
    phase = given.get("phase", "admission")
    if type(phase) is not str or phase not in PHASES:
        raise Misfit(f"`input.phase` must be one of {', '.join(f'`{each}`' for each in PHASES)}, found {shown(phase)}")
    struct = PHASES[phase]
    whole = {**given, "phase": phase, "time": _moment(given.get("time"), now_ns)}
    try:
        return msgspec.convert(whole, struct)
    except (msgspec.ValidationError, RecursionError):
        raise Misfit("; ".join(flaws(struct, whole, "input")) or "`input` is not of its shape") from None


def _moment(time: object, now_ns: int) -> object:
    """The time, of which the nanoseconds alone say the rest."""
    if time is None or time == {}:
        return msgspec.to_builtins(Time.at(now_ns))
    if type(time) is dict and time.keys() == {"ns"} and type(time["ns"]) is int and 0 <= time["ns"] < 2**63:
        return msgspec.to_builtins(Time.at(time["ns"]))
    return time


@cache
def policy_schema() -> dict[str, Any]:
    """The JSON schema that policies are checked with: the fields of every phase."""
    result = schema(Situation)
    outputs = [schema(struct)["properties"].get("output") for struct in PHASES.values()]
    properties = {name: kind for output in outputs if output for name, kind in output["properties"].items()}
    result["properties"]["output"] = {"type": "object", "properties": properties, "additionalProperties": False}
    return result
