"""The orders of _words.h, explored: every interleaving of a few processes, each of which may die at any step.

The actors below do what the compiled code does, one access a step. Told so, they do it in another order, and then the
exploration must find the interleaving that breaks a promise. Otherwise it would prove nothing.
"""

from functools import partial
from types import SimpleNamespace as Memory

import pytest

from tests.limit.interleavings import Actor, Broken, World, explore

LIMIT = 10


# budgets: pairs of (held, settled)


def pairs(workers: int = 2) -> Memory:
    redo = [None] * workers
    return Memory(
        held=[0] * workers, settled=[0] * workers, redo=redo, granted=[0] * workers, used=[0] * workers, life=1
    )


def drawn(m: Memory, first: str = "held") -> Actor:
    total = 0
    for name in (first, "settled" if first == "held" else "held"):
        for worker in range(len(m.held)):
            total += getattr(m, name)[worker]
            yield
    return total


def acquire(m: Memory, me: int, amount: int, order: str = "") -> Actor:
    if order == "looks first":
        total = yield from drawn(m)
        m.held[me] += amount
        yield
        total += amount
    else:
        m.held[me] += amount
        yield
        total = yield from drawn(m, "settled" if order == "reads settled first" else "held")
    if total <= LIMIT:
        m.granted[me] += amount
        return True
    m.held[me] -= amount
    yield
    return False


def settle(m: Memory, me: int, amount: int, actual: int, order: str = "") -> Actor:
    m.granted[me] -= amount
    m.used[me] += actual
    if order == "gives back first":
        m.held[me] -= amount
        yield
        m.settled[me] += actual
        yield
    elif order == "without redo":
        m.settled[me] += actual
        yield
        m.held[me] -= amount
        yield
    else:
        yield from write_pair(m, me, m.held[me] - amount, m.settled[me] + actual)


def write_pair(m: Memory, me: int, held: int, settled: int) -> Actor:
    m.redo[me] = (held, settled)
    yield
    m.settled[me] = settled
    yield
    m.held[me] = held
    yield
    m.redo[me] = None
    yield


def reap(m: Memory, me: int, order: str = "") -> Actor:
    """For worker 0, whose life is over; every death starts it anew, its own too."""
    if m.life == 0:
        return
    if m.redo[me] is not None:
        held, settled = m.redo[me]
        yield from write_pair(m, me, held, settled)
    if m.held[me]:
        if order == "frees first":
            charge = m.held[me]
            m.held[me] = 0
            yield
            m.settled[me] += charge
            yield
        elif order == "without redo":
            m.settled[me] += m.held[me]
            yield
            m.held[me] = 0
            yield
        else:
            yield from write_pair(m, me, 0, m.settled[me] + m.held[me])
    m.life = 0
    yield


def within(world: World) -> bool:
    """No acquire succeeds unless settled + held + amount <= limit."""
    return sum(world.memory.granted) + sum(world.memory.used) <= LIMIT


def test_racing_draws_never_go_over_the_limit() -> None:
    def run(m: Memory, me: int) -> Actor:
        if (yield from acquire(m, me, 6)):
            yield from settle(m, me, 6, 5)
            yield from acquire(m, me, 5)

    assert explore(pairs(), {"a": partial(run, me=0), "b": partial(run, me=1)}, within) > 500


def test_three_racers() -> None:
    actors = {str(me): partial(acquire, me=me, amount=4) for me in range(3)}
    assert explore(pairs(3), actors, within) > 1000


@pytest.mark.parametrize(
    ("acquiring", "settling"),
    [("looks first", ""), ("reads settled first", ""), ("", "gives back first")],
)
def test_the_other_orders_are_caught(acquiring: str, settling: str) -> None:
    memory = pairs()
    memory.held[0] = memory.granted[0] = 10
    actors = {
        "settles": partial(settle, me=0, amount=10, actual=10, order=settling),
        "draws": partial(acquire, me=1, amount=6, order=acquiring),
    }
    if acquiring == "looks first":
        memory.held[0] = memory.granted[0] = 0
        actors["settles"] = partial(acquire, me=0, amount=6, order=acquiring)
    with pytest.raises(Broken):
        explore(memory, actors, within)


def dying(settling: str = "", reaping: str = "", *, reaper: bool = True, deaths: int = 2) -> int:
    """Worker 0 settles 4 of a hold of 6 and draws 3; it is killed anywhere, and so is its reaper."""
    memory = pairs()
    memory.held[0] = memory.granted[0] = 6

    def works(m: Memory) -> Actor:
        yield from settle(m, 0, 6, 4, settling)
        yield from acquire(m, 0, 3)

    def charged(world: World) -> bool:
        m = world.memory
        if not within(world):
            return False
        if "dies" not in world.killed or world.running:
            return True
        spent, nothing_held = m.settled[0], not any(m.held)
        known = m.used[0] + m.granted[0]
        # what was used is never forgotten; what was only held is charged once, and nothing twice
        return nothing_held and known <= spent <= (4 if m.used[0] else 0) + 6 and spent in (6, 4, 7)

    actors = {"dies": works}
    if reaper:
        actors["reaper"] = partial(reap, me=0, order=reaping)
    return explore(memory, actors, charged, mortal=("dies", "reaper"), deaths=deaths)


def test_what_a_dead_worker_held_is_charged_once_however_often_its_reaper_dies() -> None:
    assert dying(deaths=3) > 50


@pytest.mark.parametrize(
    ("settling", "reaping", "reaper"),
    [
        ("without redo", "", True),  # killed between the two words: what was used is charged beside the whole hold
        ("", "without redo", True),  # the reaper killed between them: the hold is charged twice
        ("", "frees first", True),  # the reaper killed between them: the hold is forgotten
        ("", "", False),  # nobody reaps: the hold stays for ever
    ],
)
def test_crashes_that_would_charge_wrongly_are_caught(settling: str, reaping: str, reaper: bool) -> None:
    with pytest.raises(Broken):
        dying(settling, reaping, reaper=reaper)


# the record and two budgets: what is recorded is settled once, wherever the worker and its reaper die


def write_all(m: Memory, cell: int, held: int, settled: int, mark: int, order: str = "") -> Actor:
    if order != "without redo":
        m.redo = (cell, held, settled, mark)
        yield
    m.settled[cell] = settled
    yield
    m.mark[cell] = mark
    yield
    m.held[cell] = held
    yield
    m.redo = None
    yield


def call(m: Memory, order: str = "") -> Actor:
    """One that uses 4 and 7 of the 6 and 5 it holds, beside another under way, whose hold of 3 grows by 2."""
    record = {"seq": 3, "held": (6, 5), "settled": (4, 7)}
    if order == "settles first":
        for cell in range(2):
            held, settled = m.held[cell] - record["held"][cell], m.settled[cell] + record["settled"][cell]
            yield from write_all(m, cell, held, settled, 3)
        m.journal = (*m.journal, record)
        yield
    else:
        m.journal = (*m.journal, record)
        yield
        for cell in range(2):
            held, settled = m.held[cell] - record["held"][cell], m.settled[cell] + record["settled"][cell]
            yield from write_all(m, cell, held, settled, 3, order)
    m.held[0] += 2
    yield


def replay(m: Memory, order: str = "") -> Actor:
    """What ends a life: seals the journal with a record for the call without an end, and adds what is not settled."""
    if m.life == 0:
        return
    if m.redo is not None:
        yield from write_all(m, *m.redo)
    if not m.sealed:
        waiting = [sum(r["held"][cell] for r in m.journal if r["seq"] > m.mark[cell]) for cell in range(2)]
        charge = (max(0, m.held[0] - waiting[0]), 0)
        m.journal, m.sealed = (*m.journal, {"seq": 4, "held": charge, "settled": charge}), True  # by one rename
        yield
    for cell in range(2):
        late = [r for r in m.journal if order == "without marks" or r["seq"] > m.mark[cell]]
        amount = sum(r["settled"][cell] for r in late)
        mark = max([m.mark[cell], *(r["seq"] for r in late)])
        yield from write_all(m, cell, 0, m.settled[cell] + amount, mark, order)
    m.life = 0
    yield


def recorded(working: str = "", replaying: str = "") -> int:
    memory = Memory(
        held=[9, 5], settled=[10, 20], mark=[2, 2], redo=None, life=1, sealed=False,
        journal=({"seq": 1, "held": (0, 0), "settled": (10, 0)}, {"seq": 2, "held": (0, 0), "settled": (0, 20)}),
    )  # fmt: skip

    def equal(world: World) -> bool:
        m = world.memory
        if m.life:
            return True
        sums = [sum(record["settled"][cell] for record in m.journal) for cell in range(2)]
        ended = any(record["seq"] == 3 for record in m.journal)
        # a call that has no record was under way as well, and so was what it held, in this one share
        return m.settled == sums and m.held == [0, 0] and sums[0] in ((17, 19) if ended else (19,))

    actors = {"dies": partial(call, order=working), "reaper": partial(replay, order=replaying)}
    return explore(memory, actors, equal, mortal=("dies", "reaper"), deaths=3)


def test_what_is_settled_is_what_is_recorded_wherever_the_worker_and_its_reaper_die() -> None:
    assert recorded() > 200


@pytest.mark.parametrize(
    ("working", "replaying"),
    [
        ("settles first", ""),  # killed before it is recorded: the table knows of more than the records
        ("without redo", ""),  # killed between the words: settled, and not known to be
        ("", "without marks"),  # what was settled is added again
        ("", "without redo"),
    ],
)
def test_orders_in_which_table_and_records_would_differ_are_caught(working: str, replaying: str) -> None:
    with pytest.raises(Broken):
        recorded(working, replaying)


# rates: one word


def take(m: Memory, cost: int, depth: int, order: str = "") -> Actor:
    while True:
        time = m.word
        yield
        to = time + cost
        if to > depth:
            return False
        if order == "stores" or m.word == time:
            m.word = to
            m.admitted += cost
            return True
        yield


def test_a_rate_admits_its_burst_and_no_more() -> None:
    def check(world: World) -> bool:
        return world.memory.admitted <= 5 and (bool(world.running) or world.memory.admitted == 4)

    actors = {str(i): partial(take, cost=2, depth=5) for i in range(4)}
    assert explore(Memory(word=0, admitted=0), actors, check) > 50


def test_a_store_in_place_of_a_compare_and_swap_is_caught() -> None:
    actors = {str(i): partial(take, cost=2, depth=5, order="stores") for i in range(4)}
    with pytest.raises(Broken):
        explore(Memory(word=0, admitted=0), actors, lambda world: world.memory.admitted <= 5)


# entries: one place for a key

FREE, BUSY, CLAIMED, LIVE = "free", "busy", "claimed", "live"
RETIRING, CLEARING, DEAD = "retiring", "clearing", "dead"


def entries(*places: tuple[str, str]) -> Memory:
    """Places of (state, key), each with the generation of its word."""
    return Memory(
        word=[(state, "" if state == FREE else "earlier", 0) for state, _ in places],
        key=[key for _, key in places],
        cells={},
        turns=[0, 0],
        turn=0,
    )


def swap(m: Memory, place: int, old: object, new: object) -> bool:
    if m.word[place] != old:
        return False
    m.word[place] = new
    return True


def alive(m: Memory, place: int, word: tuple[str, str, int]) -> Actor:
    now = m.word[place]
    yield
    if now == word:
        return True
    if now != (RETIRING, *word[1:]):
        return False
    revived = swap(m, place, now, word)
    yield
    return revived


def find(m: Memory, key: str) -> Actor:
    for place in range(len(m.word)):
        seen = m.word[place]
        yield
        if seen[0] in (LIVE, RETIRING) and m.key[place] == key:
            yield
            if (yield from alive(m, place, (LIVE, *seen[1:]))):
                return place
    return None


def claim(m: Memory, me: str, key: str, order: str = "") -> Actor:
    for _ in range(2):  # the compiled one goes on for ever
        found = yield from find(m, key)
        if found is not None:
            return found
        mine = None
        for place in range(len(m.word)):
            seen = m.word[place]
            yield
            busy = (BUSY, me, seen[2])
            if seen[0] == FREE and swap(m, place, seen, busy):
                yield
                mine = place
                break
        if mine is None:
            return None
        m.key[mine] = key
        yield
        claimed = m.word[mine] = (CLAIMED, me, busy[2])
        yield
        lost = False
        for other in range(len(m.word)):
            if other == mine or order == "does not look again":
                continue
            seen = m.word[other]
            yield
            if seen[0] in (LIVE, RETIRING, CLAIMED) and m.key[other] == key:
                yield
                if seen[0] == CLAIMED and other > mine:
                    lost = not swap(m, other, seen, (DEAD, *seen[1:]))
                    yield
                else:
                    lost = True
            if lost:
                break
        if not lost and (order == "goes live without a swap" or m.word[mine] == claimed):
            m.word[mine] = (LIVE, me, busy[2])
            yield
            return mine
        m.word[mine] = (FREE, "", busy[2] + 1)
        yield
    return None


def reclaim(m: Memory, place: int, workers: int, order: str = "") -> Actor:
    """The supervisor frees a place whose key is idle, meaning that its cell is empty."""
    seen = m.word[place]
    yield
    if seen[0] != LIVE or m.cells.get(place):
        return
    if not swap(m, place, seen, (RETIRING, *seen[1:])):
        return
    yield
    m.turn += 1
    yield
    if order != "does not wait for turns":
        for worker in range(workers):
            if m.turns[worker] < m.turn:
                yield  # looks again later; in this exploration: gives up
                if m.turns[worker] < m.turn:
                    return
    if m.cells.get(place):
        swap(m, place, (RETIRING, *seen[1:]), (LIVE, *seen[1:]))
        yield
        return
    yield
    clearing = (CLEARING, *seen[1:])
    if not swap(m, place, (RETIRING, *seen[1:]), clearing):
        return
    yield
    m.cells[place] = {}
    yield
    m.key[place] = ""
    yield
    m.word[place] = (FREE, "", seen[2] + 1)
    yield


def one_place(world: World) -> bool:
    live = [key for word, key in zip(world.memory.word, world.memory.key, strict=True) if word[0] in (LIVE, RETIRING)]
    return len(live) == len(set(live))


def test_a_key_has_one_place_also_while_another_place_becomes_free() -> None:
    memory = entries((LIVE, "idle"), (FREE, ""), (FREE, ""))

    def check(world: World) -> bool:
        places = {world.returned.get(name) for name in "ab"} - {None}
        return one_place(world) and len(places) <= 1

    actors = {
        "a": partial(claim, me="a", key="k"),
        "b": partial(claim, me="b", key="k"),
        "supervisor": partial(reclaim, place=0, workers=0),
    }
    assert explore(memory, actors, check) > 2000


@pytest.mark.parametrize("order", ["does not look again", "goes live without a swap"])
def test_claims_that_would_give_a_key_two_places_are_caught(order: str) -> None:
    memory = entries((LIVE, "idle"), (FREE, ""), (FREE, ""))
    actors = {
        "a": partial(claim, me="a", key="k", order=order),
        "b": partial(claim, me="b", key="k", order=order),
        "supervisor": partial(reclaim, place=0, workers=0),
    }
    with pytest.raises(Broken):
        explore(memory, actors, one_place)


def charge(m: Memory, me: int, place: int, word: tuple[str, str, int], key: str) -> Actor:
    """A worker that knows a place draws from it, as often as it passes turns."""
    for _ in range(2):
        m.turns[me] = m.turn
        yield
        if (yield from alive(m, place, word)):
            cell = m.cells.setdefault(place, {})
            cell[key] = cell.get(key, 0) + 1
        yield
    m.turns[me] = m.turn
    yield


def claim_and_charge(m: Memory, me: int, key: str) -> Actor:
    m.turns[me] = m.turn
    yield
    place = yield from claim(m, str(me), key)
    if place is not None:
        cell = m.cells.setdefault(place, {})
        cell[key] = cell.get(key, 0) + 1
    yield
    m.turns[me] = m.turn
    yield


def unmixed(world: World) -> bool:
    return all(len(cell) <= 1 for cell in world.memory.cells.values())


def reclaiming(order: str) -> int:
    memory = entries((LIVE, "idle"))
    actors = {
        "knows": partial(charge, me=0, place=0, word=(LIVE, "earlier", 0), key="idle"),
        "claims": partial(claim_and_charge, me=1, key="k"),
        "supervisor": partial(reclaim, place=0, workers=2, order=order),
    }
    return explore(memory, actors, unmixed)


def test_no_known_place_charges_another_key() -> None:
    assert reclaiming("") > 1000


def test_reclaiming_before_every_worker_passed_a_turn_is_caught() -> None:
    with pytest.raises(Broken):
        reclaiming("does not wait for turns")
