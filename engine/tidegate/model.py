"""What passes between the steps: small frozen values, so that a step can neither forget nor change what another said.

`pipeline.py` alone knows the order; a step sees only the values it is given. `Call` is compiled with C fields, because
every step reads it; nothing writes to it after it was made.
"""

from functools import lru_cache
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct, field

from tidegate.wire.dialect import Governed, Route


class Call:
    """accept: one call as it was read. `fields` are the governed fields of `body`; a GET has neither."""

    def __init__(
        self,
        run: bytes,
        route: Route,
        headers: dict[bytes, bytes],
        query: bytes,
        body: bytes,
        fields: Governed | None,
    ) -> None:
        self.run = run  # its id, time-ordered and unique across workers
        self.route = route
        self.headers = headers
        self.query = query
        self.body = body
        self.fields = fields
        self.model = ""
        self.stream = False
        self.most: int | None = None  # tokens of one answer, as the caller put it
        self.n: int | None = None  # answers
        if fields is not None:
            self._read()

    def _read(self) -> None:
        """What every step asks for."""
        fields = self.fields
        assert fields is not None
        self.model = fields.model
        self.stream = fields.stream is True
        self.most = fields.output_limit or None  # to some servers 0 is no limit
        self.n = fields.n


class Caller(Struct, frozen=True, eq=False):
    """identify: whose call it is, and what the caller says that it belongs to.

    What a virtual key says is proved; the rest of `user` and `tags`, `session` and `parent` are the client's word.
    """

    tenant: str
    mode: Literal["key", "byok", "anonymous"]
    key: str | None = None  # the public id of the virtual key
    user: str | None = None
    roles: tuple[str, ...] = ()
    ip: str | None = None
    session: str | None = None
    parent: str | None = None
    tags: tuple[str, ...] = ()
    integrations: tuple[str, ...] = ()  # the only ones that the key may use; empty: every one


# decide: what a policy may ask for. Policies write these as objects with the same fields, so every field says in words
# what it takes; a field that is not here is an error there.

Code = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_.-]{0,63}\Z", extra={"takes": "a code of lower-case letters, digits, `_`, `.` and `-`"}
    ),
]
Text = Annotated[str, Meta(min_length=1, max_length=4096, extra={"takes": "a text of 1 to 4096 characters"})]
Label = Annotated[str, Meta(min_length=1, max_length=256, extra={"takes": "a name of 1 to 256 characters"})]
Amount = Annotated[
    Annotated[int, Meta(ge=0, le=10**15)] | Annotated[float, Meta(ge=0, le=1e15)],
    Meta(extra={"takes": "a number from 0 to 1e15"}),
]
Measure = Literal["requests", "tokens", "usd", "concurrent"]
Exceed = Literal["block", "throttle", "warn"]
Action = Literal["allow", "warn", "throttle", "block"]
Capture = Literal["full", "redacted", "digest", "none"]
Evidence = Literal["async", "response", "strict"]
Output = Annotated[int, Meta(ge=1, le=1_000_000_000, extra={"takes": "a whole number of tokens from 1 to 1e9"})]
Window = Annotated[int, Meta(ge=1, le=1024 * 1024, extra={"takes": "a whole number of bytes from 1 to 1048576"})]
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Key = Annotated[
    tuple[str | Whole | float | bool | None, ...],
    Meta(max_length=16, extra={"takes": "an array of strings, numbers and booleans"}),
]
Period = Annotated[
    str,
    Meta(
        pattern=r"^([1-9][0-9]{0,7}[smhd]|day|week|month|total)\Z",
        extra={"takes": "a time such as `10s`, `1m`, `1h`, `30d`, or one of `day`, `week`, `month`, `total`"},
    ),
]
Zone = Annotated[str, Meta(extra={"takes": "the name of a time zone such as `Europe/Berlin`"})]

MICRO_CENTS: Final = 100_000_000  # of a dollar
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
CALENDAR: Final = ("day", "week", "month", "total")
LONGEST_PERIOD: Final = 366 * 86_400


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """What a policy writes as an object."""


class Reason(Struct, frozen=True):
    """Why a call is not simply allowed. `rule` said so (`tidegate.admission.deny`); empty where there was no answer."""

    code: Code
    message: Text
    rule: str = ""


class Limit(Asked, frozen=True):
    """A bucket that the call draws from, known by (name, key, measure, per); the lowest `max` among equals wins."""

    name: Label
    measure: Measure
    max: Amount
    key: Key = ()
    per: Period | None = None  # rolling (`1m`) or of the calendar (`day`); a limit of `concurrent` calls has none
    burst: Amount | None = None  # how much may come at once, for a rolling period; None: `max`
    tz: Zone | None = None  # whose days a calendar period has; None: UTC
    exceed: Exceed = "block"

    def __post_init__(self) -> None:
        seconds = self.seconds
        if self.measure == "concurrent":
            if self.per is not None:
                raise ValueError("a limit of `concurrent` calls has no `per`")
        elif self.per is None:
            raise ValueError(f"a limit of `{self.measure}` needs `per`")
        if self.burst is not None and seconds is None:
            raise ValueError("`burst` belongs to a rolling `per` such as `1m`")
        if self.tz is not None:
            if self.per not in CALENDAR:
                raise ValueError("`tz` belongs to a calendar `per` such as `day`")
            zone(self.tz)

    @property
    def seconds(self) -> int | None:
        """The length of a rolling period; None where the limit has none."""
        return None if self.per is None else seconds_of(self.per)


@lru_cache(1024)
def seconds_of(per: str) -> int | None:
    """The seconds of a rolling period, None for one of the calendar; ValueError for one that is too long."""
    if per in CALENDAR:
        return None
    seconds = int(per[:-1]) * SECONDS[per[-1]]
    if seconds > LONGEST_PERIOD:
        raise ValueError(f"`per` must be at most `366d`, found `{per}`")
    return seconds


@lru_cache(1024)
def zone(name: str) -> ZoneInfo:
    """The time zone of a calendar period; ValueError where there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # also a path, a folder, or a name that is not there
        raise ValueError(f"`tz` must be the name of a time zone such as `Europe/Berlin`, found `{name[:60]}`") from None


class Redaction(Asked, frozen=True):
    """What a detector finds in the request is replaced before it leaves."""

    detector: Label
    replacement: Annotated[str, Meta(max_length=256, extra={"takes": "a string of at most 256 characters"})] = field(
        default="", name="with"
    )


class Destination(Asked, frozen=True):
    """Where the call goes instead. None: as the caller or the settings have it."""

    integration: Label | None = None
    model: Label | None = None
    fallback: Annotated[
        tuple[Label, ...], Meta(max_length=16, extra={"takes": "an array of names of integrations"})
    ] = ()

    def __post_init__(self) -> None:
        if self.integration is None and self.model is None and not self.fallback:
            raise ValueError("a `route` needs `integration`, `model` or `fallback`")


class Guard(Asked, frozen=True):
    """What a detector does inside an answer, which is held back by `window` bytes for it."""

    detector: Label
    action: Literal["stop", "redact", "flag"]
    window: Window


class Decision(Struct, frozen=True, eq=False, kw_only=True):
    """decide: what is to be done with a call, with every reason that was found.

    `block` comes from a deny, or from a policy that has no answer (code `policy_error`); a limit that is exceeded can
    still turn an `allow` or `warn` into more. None stands for what the policy leaves to the settings.
    """

    action: Action
    reasons: tuple[Reason, ...] = ()
    limits: tuple[Limit, ...] = ()
    redactions: tuple[Redaction, ...] = ()
    route: Destination | None = None
    guards: tuple[Guard, ...] = ()
    capture: Capture | None = None
    evidence: Evidence | None = None
    max_output: int | None = None
    shadow: "Decision | None" = None  # what the shadow policy would have said
    digest: str = ""  # of the bundle that decided


class Estimate(Struct, frozen=True, eq=False):
    """count: what a call is expected to use, before it leaves."""

    prompt_tokens: int
    prompt_kind: Literal["exact", "calibrated", "estimated"]
    output_tokens: int | None = None  # the most that the answers can have; None: nobody knows
    cost: int | None = None  # the most that the call can cost, in micro-cents; None: nobody knows

    @property
    def usd(self) -> float | None:
        """The cost in dollars."""
        return None if self.cost is None else self.cost / MICRO_CENTS


class Usage(Struct, frozen=True, eq=False):
    """count: what a call consumed, and how that is known.

    `input_tokens` and `output_tokens` are everything; the other tokens are parts of them, told apart because they are
    priced apart. Whatever a provider leaves out of its own totals has been added to them.
    """

    input_tokens: int
    output_tokens: int
    kind: Literal["provider", "exact", "calibrated", "estimated"]
    cached_tokens: int = 0  # of the input: read from the provider's cache
    cache_write_tokens: int = 0  # of the input: written to it
    cache_write_1h_tokens: int = 0  # of those written: kept for an hour
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    reasoning_tokens: int = 0  # of the output: thought and not said
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    web_searches: int = 0  # that the provider made for the call
    service: str = ""  # what it was served as: `flex`, `priority`, `fast` or `batch`; empty: the standard service


class Outcome(Struct, frozen=True, eq=False):
    """forward: how a call ended. `status` is what the client was told; `error` is a code of `errors.py`."""

    status: int
    error: str | None = None
    client_left: bool = False
    reached: bool = True  # the provider got the call; else nobody can have billed it
