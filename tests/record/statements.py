"""One record of every kind, with every field set, and strategies that make any."""

from hypothesis import strategies as st

from tidegate.record.records import (
    Aborted,
    AdminChange,
    Attempt,
    Balance,
    Because,
    Bodies,
    Checkpoint,
    Cut,
    Decided,
    Draw,
    Erasure,
    Gap,
    Intent,
    Outcome,
    PolicyLoaded,
    Position,
    Record,
    Refusals,
    Seen,
    Spans,
    Telemetry,
    Total,
    Used,
    Who,
)

RUN = bytes(range(13))
BEGAN = 1_789_000_000_000_000_000


def digest(of: int) -> bytes:
    return bytes([of]) * 32


def stamp(seq: int) -> dict[str, int]:
    return {"worker": 2, "epoch": 3, "seq": seq, "time": BEGAN + 40_000_000}


WHO = Who(*(bytes([each]) * 16 for each in range(1, 6)))
DRAWS = (Draw(b"b" * 16, "tokens", 600, 650, BEGAN // 10**9 + 900), Draw(b"r" * 16, "requests", 1, 1))
USED = [Used(kind, *range(100, 111), "flex") for kind in ("provider", "exact", "estimated")]
BODIES = Bodies(*map(digest, range(1, 6)))
DENIED = Decided("block", digest(7), (Because("model_not_allowed", "tidegate.admission.deny"),))
WARNED = Decided("warn", digest(8), (Because("late", "tidegate.admission.warn"), Because("dear", "x.warn")))

ONE_OF_EACH: tuple[Record, ...] = (
    Intent(
        **stamp(0), run=RUN, who=WHO, evidence="response", integration="openai", model="gpt-4o", policy=digest(8),
        prices=digest(9), draws=DRAWS, estimated=USED[2], cost=123_456, bodies=BODIES,
    ),
    Outcome(
        **stamp(1), run=RUN, who=WHO, evidence="response", endpoint="chat.completions", model="gpt-4o", stream=True,
        status=200, error="upstream_truncated", client_left=True, decision=WARNED, shadow=DENIED, draws=DRAWS,
        overdraft=True, shared=True,
        provider=USED[0], counted=USED[1], estimated=USED[2], prices=digest(9), cost=123_456,
        began=BEGAN, spans=Spans(1_000, 20_000, 3_000_000, 40_000_000),
        attempts=(Attempt("azure", 0, "upstream_timeout"), Attempt("openai", 200)), edits=("include_usage",),
        capture="digest", bodies=BODIES, cut=Cut(1, 2, 3, 4, 5),
        stopped="policy", flags=(Because("too_long", "tidegate.stream.stop"),),
        seen=(Seen("tokens_per_day", 70_000, 30_000, 3_600 * 10**9), Seen("requests", 3, -1, 0)),
    ),
    Aborted(**stamp(2), run=RUN, reason="worker_died", draws=DRAWS),
    Telemetry(**stamp(3), counts=(("calls", 5), ("drift", -3))),
    AdminChange(**stamp(4), actor=b"a" * 16, action="key.revoke", object="k_1", before=digest(1), after=digest(2)),
    PolicyLoaded(**stamp(5), role="enforced", policy=digest(8), before=digest(7), error="policy_error"),
    Refusals(**stamp(6), since=BEGAN, counts=(("bad_message", 1000), ("not_found", 3)), others=2),
    Erasure(**stamp(7), number=4, subject=b"s" * 16),
    Checkpoint(**stamp(8), size=1000, root=digest(3)),
    Gap(**stamp(9), of_worker=1, of_epoch=2, first=17, count=3, reason="dropped"),
    Balance(
        **stamp(10), set=BEGAN, part=0, parts=1, totals=(Total(b"b" * 16, BEGAN // 10**9 + 900, 650),),
        positions=(Position(2, 3, 9),),
    ),
)  # fmt: skip

counts = st.integers(0, 2**63 - 1)
words = st.text("abcdefghijklmnopqrstuvwxyz0123456789_.-", max_size=32)
names = st.text(max_size=24) | st.text("abc/.:", max_size=96)
pseudonyms = st.just(b"") | st.binary(min_size=16, max_size=16)
digests = st.just(b"") | st.binary(min_size=32, max_size=32)
draws = st.lists(st.builds(Draw, pseudonyms, st.sampled_from(["requests", "tokens", "usd"]), counts, counts, counts),
                 max_size=12).map(tuple)  # fmt: skip
useds = st.none() | st.builds(Used, st.sampled_from(["provider", "exact", "calibrated", "estimated"]), counts, counts)
reasons = st.lists(st.builds(Because, words, names), max_size=8).map(tuple)
seen = st.lists(st.builds(Seen, names, counts, st.integers(-1, 2**63 - 1), counts), max_size=3).map(tuple)
decisions = st.builds(Decided, words, digests, reasons)
bodies = st.builds(Bodies, digests, digests, digests, digests, digests)
heads = {"worker": counts, "epoch": counts, "seq": counts, "time": counts}
runs = st.binary(min_size=13, max_size=13)
whos = st.builds(Who, pseudonyms, pseudonyms, pseudonyms, pseudonyms, pseudonyms)

outcomes = st.builds(
    Outcome, **heads, run=runs, who=whos, evidence=words, endpoint=words, model=names, stream=st.booleans(),
    status=counts, error=words, client_left=st.booleans(), decision=decisions, shadow=st.none() | decisions,
    draws=draws, overdraft=st.booleans(), shared=st.booleans(), provider=useds, counted=useds, estimated=useds,
    prices=digests, cost=counts, began=counts,
    attempts=st.lists(st.builds(Attempt, names, counts, words), max_size=3).map(tuple), bodies=bodies,
    edits=st.lists(words, max_size=3).map(tuple), capture=words, stopped=words, flags=reasons, seen=seen,
    cut=st.none() | st.builds(Cut, counts, counts, counts, counts, counts), spans=st.builds(Spans, counts, counts),
)  # fmt: skip
intents = st.builds(
    Intent, **heads, run=runs, who=whos, evidence=words, integration=names, model=names, policy=digests, prices=digests,
    draws=draws, estimated=useds, cost=counts, bodies=bodies,
)  # fmt: skip
aborted = st.builds(Aborted, **heads, run=runs, reason=words, draws=draws)
telemetry = st.builds(
    Telemetry, **heads, counts=st.lists(st.tuples(words, st.integers(-(2**63), 2**63 - 1)), max_size=8).map(tuple)
)
balances = st.builds(
    Balance, **heads, set=counts, part=counts, parts=counts,
    totals=st.lists(st.builds(Total, pseudonyms, counts, counts), max_size=24).map(tuple),
    positions=st.lists(st.builds(Position, counts, counts, counts), max_size=24).map(tuple),
)  # fmt: skip
records = outcomes | intents | aborted | telemetry | balances | st.sampled_from(ONE_OF_EACH)
