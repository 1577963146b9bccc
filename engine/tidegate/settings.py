"""`tidegate.toml` as one frozen tree: every key, its default, and the reason for it.

Sizes are bytes, times are seconds. `configuration/` reads the file and the environment into this tree; nothing
else in the program knows where a setting came from.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

KIB = 1024
MIB = 1024 * KIB

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Silence = Annotated[float, Meta(ge=0, le=3600)]
Size = Annotated[int, Meta(gt=0, le=1024 * MIB)]
Count = Annotated[int, Meta(gt=0, le=1_000_000)]
Steps = Annotated[int, Meta(ge=1000, le=1_000_000_000)]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; a key that is not a field is an error."""


class Tls(Section, frozen=True):
    """Serve TLS on the TCP listeners."""

    certificate: str  # PEM file: the certificate, then its chain
    key: str  # PEM file


class Serve(Section, frozen=True):
    """The processes and what they listen on."""

    listen: tuple[str, ...] = ("127.0.0.1:8080",)  # `host:port`, `[v6]:port` or `unix:/path`; loopback until told
    admin: str = "127.0.0.1:8081"  # /healthz, /readyz, /version, /metrics; loopback only
    tls: Tls | None = None
    workers: Annotated[int, Meta(ge=0, le=256)] = 0  # 0 = one per usable core
    drain: Seconds = 30.0  # SIGTERM: calls in flight may finish for so long, as Kubernetes' default grace allows
    hang: Seconds = 5.0  # a worker whose heartbeat is older is killed and replaced
    connections: Count = 10_000  # open clients per worker, as far as there are files for them; more are answered 503


class Accept(Section, frozen=True):
    """What a client may send. Precedents: nginx 8 KiB lines and 32 KiB heads, Node 16 KiB heads."""

    line: Size = 8 * KIB  # the request target
    headers: Size = 32 * KIB  # parsing a dripped head is quadratic; at 32 KiB the worst is < 0.1 s
    header_count: Count = 100  # fields of one head; Apache's default
    body: Size = 32 * MIB  # several inline images
    buffered: Size = 512 * MIB  # bodies that took several reads, until their calls have ended; per worker
    depth: Annotated[int, Meta(gt=0, le=512)] = 64  # nested JSON arrays and objects
    pipeline: Count = 16  # requests waiting on one connection
    header_timeout: Seconds = 10.0  # from the first byte of a head to its last
    body_timeout: Seconds = 30.0  # plus one second for every `body_rate` bytes that arrived
    body_rate: Size = 16 * KIB  # the slowest upload that is waited for, bytes a second
    idle_timeout: Seconds = 75.0  # keep-alive without a request; longer than the usual client pool's 60
    stall_timeout: Seconds = 600.0  # a client that takes no byte of its answer for so long is let go
    write_buffer: Size = 64 * KIB  # bytes waiting for a slow client before its upstream is paused


class Policy(Section, frozen=True):
    """What decides about calls."""

    path: str = ""  # a folder of .rego and data files, or a bundle.tar.gz; empty: those that came with this version
    shadow: str = ""  # the same, decided beside it and recorded, but never obeyed; empty: none
    settle: Seconds = 0.25  # changed files are read when they were quiet for so long: editors and copies write twice
    budget: Steps = 10_000_000  # steps that one decision may take; so many take seconds
    every: Count = 64  # counted tokens of a stream between two questions to `tidegate.stream`
    tail: Size = 4 * KIB  # the end of a stream's text that it is told
    text: Size = 1 * MIB  # the longest answer that `tidegate.response` decides about; a longer one is denied


class Limits(Section, frozen=True):
    """What is held of limits while a call is under way; docs/limits.md."""

    reserve: Count = 1024  # tokens of an answer whose caller states no maximum; a stream holds more as it goes on
    step: Count = 256  # tokens by which it does
    slots: Annotated[int, Meta(ge=64, le=16_777_216)] = 65_536  # limits in use at once; made a power of two
    quota: Count = 16_384  # of one tenant
    deadline: Seconds = 60.0  # a hold that its call did not renew for so long is lost: a bug, and counted


class Forward(Section, frozen=True):
    """How providers are reached."""

    connections: Count = 1024  # per origin and worker
    waiters: Count = 1024  # calls waiting for one of them; more are answered 503
    wait_timeout: Seconds = 10.0  # how long; a client has waited for its connection by then
    connect_timeout: Seconds = 5.0  # name, TCP and TLS together; two lost SYNs, repeated after 1 and 3 s, still fit
    first_byte_timeout: Seconds = 600.0  # reasoning models think for minutes; the official SDKs wait 600 s
    idle_timeout: Seconds = 300.0  # between two reads of an answer
    total_timeout: Seconds = 3600.0  # from the request to the last byte of its answer
    keep_alive: Seconds = 30.0  # idle upstream connections; below the 60 s at which common servers close theirs
    resolve: Seconds = 30.0  # a name is resolved again after so long
    response_head: Size = 64 * KIB  # an answer's status line and fields
    hold: Size = 1 * MIB  # a plain answer up to this size is sent when it is whole, so that a broken one is a clean 502
    event: Size = 8 * MIB  # one server-sent event; a stream is passed on event by event
    disconnect: Literal["cancel", "drain"] = "cancel"  # the client left: stop the upstream, or read on for its usage
    disconnect_drain: Annotated[float, Meta(ge=0, le=86_400)] = 30.0  # `drain` for so long; 0 = to the end
    comment: Silence = 0.0  # a comment on a stream that is silent for so long, which keeps it open; 0 = none


class Prices(Section, frozen=True):
    """What models cost, in dollars a million tokens; docs/prices.md has all that can be said."""

    file: str = ""  # a table that `tidegate prices update` wrote; empty: the one that came with this version
    unknown: str = "deny"  # a model without a price is refused, or costs what stands here, `input=15 output=75`
    override: dict[str, str] = field(default_factory=dict)  # a model or `prefix*` = `input=2.50 cached=1.25 output=10`


class Vocabulary(Section, frozen=True):
    """A vocabulary of your own, for models whose tokens the published ones do not count; docs/tokens.md."""

    path: str  # a `.tiktoken` file, or a tekken `.json`
    shape: Literal["cl100k", "o200k", "llama3", "qwen2", "tekken"]  # how it cuts texts into pieces
    models: tuple[str, ...] = ()  # names or `prefix*` patterns; the longest that fits a model counts


class Record(Section, frozen=True):
    """What is kept of calls, and what waits for it; docs/ledger.md."""

    evidence: Literal["async", "response", "strict"] = "response"  # where the policy does not say; what may wait for it
    audit: Literal["required", "best_effort"] = "required"  # what cannot be recorded is refused, or counted as missing
    stale: Seconds = 2.0  # a commit that takes longer has failed for whoever waits for it
    origin: str = "localhost/tidegate"  # the log's name, in its keys and checkpoints; a name of yours like a URL's
    checkpoints: str = ""  # a folder, best on another disk, for the newest checkpoint; empty: in the data directory


class Identify(Section, frozen=True):
    """Who may call."""

    anonymous: bool = True  # calls without a virtual key; possible on loopback only


class Integration(Section, frozen=True):
    """A configured way to a provider."""

    provider: Literal["openai", "anthropic", "simulated"]  # the dialect, and the address where `base_url` is empty
    base_url: str = ""  # empty: the provider's public API (for `simulated`: the built-in one)
    credential: str = ""  # `env://NAME`; empty: the caller's own key is passed through
    models: tuple[str, ...] = ()  # names or `prefix*` patterns; empty: every model
    aliases: dict[str, str] = field(default_factory=dict)  # a model name of yours = the provider's
    include_usage: bool = True  # ask for usage in streams whose callers do not say, and take it out of what they get
    private: bool = False  # the base URL may resolve to a private or loopback address


class Settings(Section, frozen=True):
    """All of tidegate.toml."""

    data: str = ".tidegate"  # the data directory, relative to the file; held by one gateway at a time
    serve: Serve = Serve()
    accept: Accept = Accept()
    policy: Policy = Policy()
    forward: Forward = Forward()
    prices: Prices = Prices()
    record: Record = Record()
    limits: Limits = Limits()
    identify: Identify = Identify()
    vocabulary: dict[Name, Vocabulary] = field(default_factory=dict)  # none: the published ones
    integration: dict[Name, Integration] = field(default_factory=dict)  # none: the built-in simulated provider
