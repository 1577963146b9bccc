"""What a leaf of the ledger says. FORMAT.md, section Records, has every field with its type and unit.

A leaf is a statement of at most 2,048 bytes: codes, names from settings and policies, digests and numbers. No text that
a caller wrote and nothing that a caller is known by is in it; both are committed to, or named by a pseudonym
(`subjects.py`). It is one msgpack array, beginning with kind, version, writer (worker, epoch, seq) and time; what is
about a run has the run's id next, so that an index is made without reading further.

Fields are only ever appended, with a default, and `VERSION` grows with them: a newer reader reads older leaves, and an
older one leaves out the fields that it does not know and calls a kind that it does not know `Unknown`. The bytes are
made in `leaves.py`.
"""

from typing import Annotated, Final, TypeAlias, get_args

from msgspec import Meta, Struct
from msgspec.structs import replace

from tidegate.errors import TidegateError

VERSION: Final = 2
LEAF: Final = 2048  # bytes of one leaf

Count = Annotated[int, Meta(ge=0)]  # msgpack holds 64 bits, msgspec no more
Run = Annotated[bytes, Meta(min_length=13, max_length=13)]
Pseudonym = Annotated[bytes, Meta(max_length=16)]  # empty: there is nobody
Digest = Annotated[bytes, Meta(max_length=32)]  # SHA-256; empty: there is nothing
Word = Annotated[str, Meta(max_length=32)]  # of a list that Tidegate has
Code = Annotated[str, Meta(max_length=64)]  # of a policy
Name = Annotated[str, Meta(max_length=96)]  # from settings, policies or the table of prices


class RecordError(TidegateError):
    """Bytes that are not a leaf of this format."""

    code = "record_malformed"


class Part(Struct, frozen=True, array_like=True, gc=False):
    """A group of fields inside a record: an array in the array."""


class Who(Part, frozen=True):
    """Whose call it is, in pseudonyms. Session and parent run are named under the user's key."""

    tenant: Pseudonym = b""
    key: Pseudonym = b""
    user: Pseudonym = b""
    session: Pseudonym = b""
    parent: Pseudonym = b""


class Because(Part, frozen=True):
    """A reason without its words."""

    code: Code
    rule: Code


class Decided(Part, frozen=True):
    """What a bundle of policies said."""

    action: Word
    policy: Digest = b""
    reasons: tuple[Because, ...] = ()


class Draw(Part, frozen=True):
    """What was taken of one bucket: held before, settled after. `bucket` is its place in the table of limits."""

    bucket: Pseudonym
    measure: Word
    held: Count
    settled: Count = 0
    end: Count = 0  # of the bucket's window, Unix time in seconds; 0: it has none


class Seen(Part, frozen=True):
    """What the policies were told of a limit, before the call drew from it."""

    name: Name
    used: Count
    remaining: Annotated[int, Meta(ge=-1)]  # -1: nobody knows
    reset: Count  # ns until all of it is there again


class Used(Part, frozen=True):
    """A `Usage` of the model, field by field."""

    kind: Word
    input: Count
    output: Count
    cached: Count = 0
    cache_write: Count = 0
    cache_write_1h: Count = 0
    input_audio: Count = 0
    input_image: Count = 0
    reasoning: Count = 0
    output_audio: Count = 0
    output_image: Count = 0
    web_searches: Count = 0
    service: Word = ""


class Spans(Part, frozen=True):
    """How long after its beginning a call was so far, in ns of a clock that is never set; 0: it never was."""

    decided: Count = 0
    sent: Count = 0
    first_byte: Count = 0
    last_byte: Count = 0


class Attempt(Part, frozen=True):
    """One try to have the call answered."""

    integration: Name
    status: Count = 0  # 0: there was no answer
    error: Word = ""


class Bodies(Part, frozen=True):
    """Commitments, each to the bytes that its name says; empty where there were none."""

    client_request: Digest = b""
    upstream_request: Digest = b""
    upstream_response: Digest = b""
    client_response: Digest = b""
    document: Digest = (
        b""  # the words that are not in a leaf: messages of reasons and errors, names as callers wrote them
    )


class Cut(Part, frozen=True):
    """How many of each list were left out to keep the leaf short."""

    reasons: Count = 0
    shadow: Count = 0
    attempts: Count = 0
    flags: Count = 0
    seen: Count = 0


class Head(Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """What every record begins with; `seq` counts from 1 without a gap in each (worker, epoch)."""

    version: Count = VERSION
    worker: Count = 0  # these four are for the writer of the journal to set
    epoch: Count = 0
    seq: Count = 0
    time: Count = 0  # Unix time in ns


class Intent(Head, frozen=True, kw_only=True, tag="intent"):
    """A call is about to leave. One that goes on to another provider has another; the last says what is held."""

    run: Run
    who: Who = Who()
    evidence: Word = ""
    integration: Name = ""
    model: Name = ""  # as the table of prices calls it; empty where it has none
    policy: Digest = b""
    prices: Digest = b""
    draws: tuple[Draw, ...] = ()
    estimated: Used | None = None
    cost: Count = 0  # in micro-cents, the most that it can be
    bodies: Bodies = Bodies()


class Outcome(Head, frozen=True, kw_only=True, tag="outcome"):
    """A call has ended, or was refused; alone it says all that the ledger has to say of the run."""

    run: Run
    who: Who = Who()
    evidence: Word = ""
    endpoint: Word = ""
    model: Name = ""
    stream: bool = False
    status: Count = 0  # what the client was told
    error: Word = ""  # a code; empty: there was none
    client_left: bool = False
    decision: Decided = Decided("allow")
    shadow: Decided | None = None
    draws: tuple[Draw, ...] = ()
    overdraft: bool = False  # more was settled than was held
    shared: bool = False  # some limit of the fleet was drawn from this node's share, its server being away
    provider: Used | None = None  # what the provider reported
    counted: Used | None = None  # what was counted in what streamed by
    estimated: Used | None = None  # what was expected before
    prices: Digest = b""
    cost: Count = 0  # in micro-cents
    began: Count = 0  # Unix time in ns
    spans: Spans = Spans()
    attempts: tuple[Attempt, ...] = ()
    edits: tuple[Word, ...] = ()  # what was changed in the request or the answer
    capture: Word = ""
    bodies: Bodies = Bodies()
    cut: Cut | None = None
    stopped: Word = ""  # why the gateway ended the answer before the provider did: `limit` or `policy`
    flags: tuple[Because, ...] = ()  # what policies said of the answer
    seen: tuple[Seen, ...] = ()  # what they were told of limits

    @property
    def used(self) -> Used | None:
        """What `cost` is of: what was reported, else counted; a report of an answer that broke off is of its beginning,
        so that its output is at least what was counted.
        """
        told, counted = self.provider, self.counted
        if told is None or counted is None or not (self.error or self.client_left) or told.output >= counted.output:
            return told or counted
        return replace(told, output=counted.output, kind=counted.kind)


class Aborted(Head, frozen=True, kw_only=True, tag="aborted"):
    """The outcome of an intent that has none, because its worker died."""

    run: Run
    reason: Word
    draws: tuple[Draw, ...] = ()  # what was charged


class Telemetry(Head, frozen=True, kw_only=True, tag="telemetry"):
    """Counters of a process."""

    counts: tuple[tuple[Word, int], ...]


class AdminChange(Head, frozen=True, kw_only=True, tag="admin_change"):
    """Somebody changed what the gateway does."""

    actor: Pseudonym
    action: Word
    object: Word
    before: Digest
    after: Digest


class PolicyLoaded(Head, frozen=True, kw_only=True, tag="policy_loaded"):
    """A bundle came into force, or was refused (`error`) and the one before stays."""

    role: Word  # `enforced` or `shadow`
    policy: Digest
    before: Digest
    error: Word = ""


class Refusals(Head, frozen=True, kw_only=True, tag="refusals"):
    """Requests refused before a caller was known: how many of each code in an interval."""

    since: Count
    counts: tuple[tuple[Word, Count], ...]
    others: Count = 0  # of codes that had no place


class Erasure(Head, frozen=True, kw_only=True, tag="erasure"):
    """The key of a subject was destroyed: what carries these pseudonyms belongs to nobody any more."""

    number: Count  # of all erasures; the same number twice is the same erasure
    subject: Pseudonym


class Checkpoint(Head, frozen=True, kw_only=True, tag="checkpoint"):
    """The sequencer goes on from here."""

    size: Count
    root: Digest


class Gap(Head, frozen=True, kw_only=True, tag="gap"):
    """Records that were numbered and never came, or were dropped and counted."""

    of_worker: Count
    of_epoch: Count
    first: Count
    count: Count
    reason: Word


class Total(Part, frozen=True):
    """What was settled of one bucket."""

    bucket: Pseudonym
    end: Count
    settled: Count


class Position(Part, frozen=True):
    """The last record of a journal that the totals include."""

    worker: Count
    epoch: Count
    seq: Count


class Balance(Head, frozen=True, kw_only=True, tag="balance"):
    """Totals of limits. It counts when all its parts are there; `set` is the same in each."""

    set: Count
    part: Count
    parts: Count
    totals: tuple[Total, ...]
    positions: tuple[Position, ...]


Record: TypeAlias = (
    Intent
    | Outcome
    | Aborted
    | Telemetry
    | AdminChange
    | PolicyLoaded
    | Refusals
    | Erasure
    | Checkpoint
    | Gap
    | Balance
)
KINDS: Final = frozenset(str(each.__struct_config__.tag) for each in get_args(Record))
SEQUENCER: Final = 10_000  # the worker of records that the sequencer writes into the tree itself
UNREAD: Final = frozenset({"missing", "unreadable"})  # why a gap stands in the tree in the place of records
OF_RUNS: Final = frozenset({"intent", "outcome", "aborted"})


class Unknown(Struct, frozen=True):
    """A record of a kind that is younger than this reader."""

    kind: str
    version: int
    worker: int
    epoch: int
    seq: int
    time: int
