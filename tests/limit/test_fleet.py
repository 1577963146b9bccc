"""One node of a fleet against a real Redis: what a program sees of it."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.limit.drawing import PATIENCE, draw, drawn, drawn_patiently
from tests.limit.redis_server import RedisServer, redis_server
from tidegate.limit.fleet import Fleet, Hold, Waiting
from tidegate.limit.refusal import Refusal
from tidegate.model import Limit

S = 1_000_000_000

NewFleet = Callable[..., Fleet]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may kill."""
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def new(request: pytest.FixtureRequest) -> Iterator[NewFleet]:
    """Nodes of a fleet that only this test has."""
    fleets: list[Fleet] = []

    def node(server: RedisServer, nodes: int = 2, silence: float = 5.0) -> Fleet:
        fleets.append(Fleet(server.url, nodes=nodes, prefix=request.node.name, timeout=0.2, silence=silence))
        return fleets[-1]

    yield node
    for fleet in fleets:
        fleet.close()


def limit(measure: str, most: int, per: str | None = "total", **more: object) -> Limit:
    return Limit(name="a", key=("acme",), measure=measure, max=most, per=per, **more)  # type: ignore[arg-type]


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "that never came true"
        time.sleep(0.01)


def turned(fleet: Fleet, condition: Callable[[], bool]) -> None:
    """Waits as a loop with a clock does."""

    def look() -> bool:
        fleet.turn()
        return condition()

    eventually(look)


@pytest.mark.parametrize(
    ("asked", "amount", "total"),
    [
        (limit("tokens", 1000), 7, 994),
        (limit("requests", 50, "day"), 1, 50),
        (limit("requests", 20, "1h"), 1, 20),
        (limit("requests", 20, "1h", burst=5), 1, 5),
        (limit("concurrent", 5, None), 1, 5),
        (limit("usd", 1), 33_000_000, 99_000_000),  # micro-cents
        (limit("requests", 1, "1h"), 1, 1),
    ],
)  # fmt: skip
def test_a_limit_gives_all_it_has_and_not_more(
    new: NewFleet, running: RedisServer, asked: Limit, amount: int, total: int
) -> None:
    fleet = new(running)
    assert drawn(fleet, fleet.prepare(asked), amount) == total


def test_nodes_draw_from_the_same_total_until_it_is_spent(new: NewFleet, running: RedisServer) -> None:
    one, other = new(running), new(running)
    asked = limit("tokens", 10_000)
    buckets = {fleet: fleet.prepare(asked) for fleet in (one, other)}
    total, refused = 0, 0
    while refused < 2:
        refused = 0
        for fleet, bucket in buckets.items():
            if isinstance(draw(fleet, (bucket, 10)), Hold):
                total += 10
            else:
                refused += 1
    one.close()  # what it has leased and not spent goes back
    assert total <= 10_000
    left = 10_000 - total
    assert drawn_patiently([other], asked, left) == left


def test_a_draw_takes_from_all_buckets_or_from_none(new: NewFleet, running: RedisServer) -> None:
    fleet = new(running)
    wide = fleet.prepare(limit("tokens", 100))
    narrow = fleet.prepare(limit("requests", 1))
    assert draw(fleet, (wide, 10), (narrow, 1))
    refusal = draw(fleet, (wide, 10), (narrow, 1))
    assert isinstance(refusal, Refusal)
    assert [one.limit.measure for one in refusal.exceeded] == ["requests"]
    assert drawn(fleet, wide, 10) == 90


def test_a_hold_grows_and_is_settled_once(new: NewFleet, running: RedisServer) -> None:
    fleet = new(running)
    bucket = fleet.prepare(limit("tokens", 100))
    hold = draw(fleet, (bucket, 10))
    assert isinstance(hold, Hold)
    while isinstance(refused := hold.grow([40]), Waiting):
        fleet.wait(refused, 1.0)
    assert hold.grow([40]) is None
    assert isinstance(hold.grow([101]), Refusal)
    assert hold.amounts == (40,)
    assert hold.settle([30]) == ()
    assert hold.settle([90]) == ()  # it was settled
    hold.release()
    assert drawn(fleet, bucket, 1) == 70


def test_what_was_used_beyond_the_hold_counts_in_full(new: NewFleet, running: RedisServer) -> None:
    one, other = new(running), new(running)
    asked = limit("tokens", 100)
    hold = draw(one, (one.prepare(asked), 10))
    assert isinstance(hold, Hold)
    assert hold.settle([250]) == (240,)
    turned(one, lambda: one.state(one.prepare(asked)).remaining == 0)
    one.turn()
    assert not draw(one, (one.prepare(asked), 1))
    assert drawn(other, other.prepare(asked), 1) == 0


def test_a_released_hold_was_never_drawn(new: NewFleet, running: RedisServer) -> None:
    one, other = new(running), new(running)
    asked = limit("concurrent", 3, None)
    held = [draw(one, (one.prepare(asked), 1)) for _ in range(3)]
    assert not draw(other, (other.prepare(asked), 1))
    for hold in held:
        assert isinstance(hold, Hold)
        hold.release()
    turned(one, lambda: isinstance(draw(other, (other.prepare(asked), 3)), Hold))


def test_more_than_a_limit_ever_gives_is_never(new: NewFleet, running: RedisServer) -> None:
    fleet = new(running)
    for asked in (limit("tokens", 100, "1m", burst=10), limit("tokens", 10), limit("tokens", 0, "1m")):
        refusal = draw(fleet, (fleet.prepare(asked), 11))
        assert isinstance(refusal, Refusal)
        assert refusal.exceeded[0].never
        assert refusal.action == "block"


def test_a_limit_that_warns_lets_pass_and_counts(new: NewFleet, running: RedisServer) -> None:
    fleet = new(running)
    bucket = fleet.prepare(limit("tokens", 10, exceed="warn"))
    hold = draw(fleet, (bucket, 8))
    assert isinstance(hold, Hold)
    assert hold.exceeded == ()
    hold = draw(fleet, (bucket, 8))
    assert isinstance(hold, Hold)
    assert hold.exceeded == (bucket.limit,)
    assert fleet.state(bucket).remaining == 0


def test_a_refusal_knows_when_the_same_draw_passes(new: NewFleet, running: RedisServer) -> None:
    fleet = new(running, nodes=1)
    bucket = fleet.prepare(limit("requests", 10, "1s", burst=1, exceed="throttle"))
    assert draw(fleet, (bucket, 1))
    refusal = draw(fleet, (bucket, 1))
    assert isinstance(refusal, Refusal)
    assert refusal.action == "throttle"
    assert refusal.retry is not None
    assert 0 < refusal.retry <= S // 10
    time.sleep(refusal.retry / S)
    assert draw(fleet, (bucket, 1))


def test_a_changed_limit_is_in_force_for_the_next_draw(new: NewFleet, running: RedisServer) -> None:
    fleet = new(running)
    assert drawn(fleet, fleet.prepare(limit("tokens", 100))) == 100
    assert drawn(fleet, fleet.prepare(limit("tokens", 130))) == 30
    assert drawn(fleet, fleet.prepare(limit("tokens", 50))) == 0


def test_who_reads_the_server_learns_nothing_about_callers(new: NewFleet, running: RedisServer) -> None:
    fleet = new(running)
    assert draw(fleet, (fleet.prepare(limit("tokens", 100)), 1))
    with redis.Redis.from_url(running.url) as client:
        keys = list(client.scan_iter("*test_who_reads*"))
        assert keys
        assert not [key for key in keys if b"acme" in key or b"acme" in b" ".join(client.hgetall(key))]


def test_a_secret_of_its_own_makes_keys_of_its_own(running: RedisServer) -> None:
    asked = limit("requests", 1)
    for secret in (b"one", b"other"):
        fleet = Fleet(running.url, nodes=1, prefix="secrets", secret=secret)
        assert drawn(fleet, fleet.prepare(asked)) == 1
        fleet.close()


def test_a_server_without_the_script_is_given_it(new: NewFleet, running: RedisServer) -> None:
    fleet = new(running)
    assert draw(fleet, (fleet.prepare(limit("tokens", 100)), 1))
    with redis.Redis.from_url(running.url) as client:
        client.script_flush()
    assert draw(fleet, (fleet.prepare(limit("requests", 100)), 1))


def test_a_lease_whose_answer_was_lost_is_taken_back(new: NewFleet, own: RedisServer) -> None:
    one, other = new(own), new(own)
    asked = limit("tokens", 1000)
    assert draw(one, (one.prepare(asked), 1))
    own.process.send_signal(signal.SIGSTOP)
    while not isinstance(one.acquire([(one.prepare(asked), 900)]), Waiting):
        pass
    turned(one, lambda: one.away is True)
    own.process.send_signal(signal.SIGCONT)  # and now it reads the question
    turned(one, lambda: one.away is False)
    one.close()
    assert drawn_patiently([other], asked, 999) == 999


def test_while_the_server_is_away_a_node_has_its_share_and_says_so(new: NewFleet, own: RedisServer) -> None:
    fleet = new(own, nodes=4)
    budget, rate = fleet.prepare(limit("tokens", 1000)), fleet.prepare(limit("requests", 40, "1h"))
    places = fleet.prepare(limit("concurrent", 8, None))
    first = draw(fleet, (budget, 200), (rate, 10), (places, 1))
    assert isinstance(first, Hold)
    assert not first.shared
    leased = {bucket: bucket.lease.available for bucket in (budget, rate, places) if bucket.lease is not None}
    own.kill()
    turned(fleet, lambda: fleet.away is True)
    hold = draw(fleet, (budget, 1))
    assert isinstance(hold, Hold)
    assert hold.shared
    assert drawn(fleet, budget) + 1 <= 200 + leased[budget]
    assert drawn(fleet, rate) <= 30 / 4 + leased[rate] + 1  # what was left, in four parts, and what an instant brings
    assert drawn(fleet, places) <= 2


def test_a_node_that_never_saw_the_server_has_its_share(tmp_path: Path) -> None:
    fleet = Fleet(f"unix://{tmp_path}/nobody.sock", nodes=4)
    bucket = fleet.prepare(limit("tokens", 1000))
    hold = draw(fleet, (bucket, 10))
    assert isinstance(hold, Hold)
    assert hold.shared
    assert drawn(fleet, bucket, 10) == 240
    fleet.close()


def test_a_server_that_lost_its_memory_is_told_what_was_spent(new: NewFleet, own: RedisServer) -> None:
    one, other = new(own), new(own)
    budget, rate = limit("tokens", 1000), limit("requests", 100, "1h")
    for fleet in (one, other):
        assert draw(fleet, (fleet.prepare(budget), 300), (fleet.prepare(rate), 40))
    own.kill()
    for fleet in (one, other):
        turned(fleet, lambda fleet=fleet: fleet.away is True)  # type: ignore[misc]
    shared = drawn(one, one.prepare(budget), 10)
    assert shared <= 400
    own.start()
    for fleet in (one, other):
        turned(fleet, lambda fleet=fleet: fleet.away is False)  # type: ignore[misc]
    left = 1000 - 600 - shared
    assert drawn_patiently([one, other], budget, left) == left
    assert sum(drawn(fleet, fleet.prepare(rate)) for fleet in (one, other)) <= 20 + 1


def test_a_draw_never_waits_for_the_server(new: NewFleet, own: RedisServer) -> None:
    fleet = new(own)
    bucket = fleet.prepare(limit("tokens", 1000))
    assert draw(fleet, (bucket, 1))
    own.process.send_signal(signal.SIGSTOP)
    answers = [fleet.acquire([(bucket, 1)]) for _ in range(1000)]  # a server's timeout each, if it waited
    assert any(isinstance(answer, Hold) for answer in answers)
    own.process.send_signal(signal.SIGCONT)


def test_who_waits_is_called_back_where_the_loop_wants_it(running: RedisServer) -> None:
    calls: list[Callable[[], None]] = []
    fleet = Fleet(running.url, nodes=1, prefix="woken", wake=calls.append)
    bucket = fleet.prepare(limit("tokens", 10))
    waiting = fleet.acquire([(bucket, 1)])
    assert isinstance(waiting, Waiting)
    held: list[Hold] = []

    def again() -> None:
        taken = fleet.acquire([(bucket, 1)])
        if isinstance(taken, Hold):
            held.append(taken)
        else:
            fleet.fetch(taken, again)

    fleet.fetch(waiting, again)

    def looped() -> bool:
        while calls:
            calls.pop(0)()
        return bool(held)

    eventually(looped)
    fleet.close()
