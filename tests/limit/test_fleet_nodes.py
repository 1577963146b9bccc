"""Several nodes as processes, drawing as fast as they can while nodes and Redis are killed: what is promised, holds.

Nodes run on one machine here, so that their monotonic times compare. A lease is granted before it is spent: of what is
spent in a window, all was granted in it, but for what the nodes had in hand when it began.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.limit.drawing import PATIENCE, drawn_patiently
from tests.limit.redis_server import RedisServer, redis_server
from tidegate.limit.fleet import Fleet
from tidegate.limit.leases import Terms, terms
from tidegate.model import Limit

ROOT = Path(__file__).parent.parent.parent
NODES = 3
S = 1_000_000_000


class Draw(NamedTuple):
    """What a node has told."""

    at: int
    amount: int
    shared: bool
    node: int


class Node:
    """A process of `fleet_node.py`."""

    def __init__(self, order: dict[str, Any], file: Path, number: int) -> None:
        self.number = number
        self.file = file
        with file.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.limit.fleet_node", json.dumps(order)], stdout=out, cwd=ROOT
            )

    def told(self) -> list[Draw]:
        lines = [line.split() for line in self.file.read_text().splitlines() if line.count(" ") == 2]
        return [Draw(int(at), int(amount), shared == "1", self.number) for at, amount, shared in lines]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def start(server: RedisServer, asked: dict[str, Any], amount: int = 1) -> list[Node]:
    """Nodes that all begin to draw now."""
    folder = server.socket.parent
    order = {"url": server.url, "nodes": NODES, "limit": asked, "amount": amount, "folder": str(folder)}
    nodes = [Node(order, folder / f"node-{number}", number) for number in range(NODES)]
    until = time.monotonic() + PATIENCE
    while not all(node.file.read_text() for node in nodes):
        assert time.monotonic() < until
        time.sleep(0.01)
    (folder / "go").touch()
    return nodes


def finished(nodes: Sequence[Node], seconds: float, killed: Sequence[Node] = ()) -> list[Draw]:
    """Everything that was drawn, in the order of time, when they have gone on for so long."""
    time.sleep(seconds)
    nodes[0].file.with_name("stop").touch()
    for node in nodes:
        code = node.process.wait(PATIENCE)
        assert code == 0 or node in killed
    return sorted(draw for node in nodes for draw in node.told())


def spent(draws: Sequence[Draw], *, shared: bool | None = None) -> int:
    return sum(draw.amount for draw in draws if shared is None or draw.shared is shared)


def excess(draws: Sequence[Draw], flow: float) -> float:
    """The most that any window has beyond what a rate brings in it: max over windows of drawn - flow * length."""
    worst = lowest = 0.0
    total = 0
    for draw in draws:
        ramp = flow * (draw.at - draws[0].at)
        lowest = min(lowest, total - ramp)
        total += draw.amount
        worst = max(worst, total - ramp - lowest)
    return worst


def in_hand(limit: Terms, amount: int) -> int:
    """What all nodes may have in hand."""
    return NODES * max(limit.size, amount)


def test_the_check_of_windows_sees_an_excess() -> None:
    draws = [Draw(at, 1, False, 0) for at in (0, 100, 200, 201, 202, 300)]
    assert excess(draws, 1 / 100) == pytest.approx(3)


def test_a_budget_is_spent_to_the_last_and_no_further(server: RedisServer) -> None:
    asked = {"name": "a", "measure": "tokens", "max": 200_000, "per": "total"}
    draws = finished(start(server, asked, amount=7), 2.0)
    assert {draw.node for draw in draws} == set(range(NODES))
    left = asked["max"] - spent(draws)
    assert left >= 0
    after = Fleet(server.url, nodes=NODES)
    assert drawn_patiently([after], Limit(**asked), left) == left
    after.close()


def test_a_killed_node_s_lease_is_spent_and_nothing_more(server: RedisServer) -> None:
    asked = {"name": "a", "measure": "tokens", "max": 1_000_000, "per": "total"}
    nodes = start(server, asked, amount=7)
    time.sleep(0.5)
    nodes[0].process.kill()
    draws = finished(nodes, 1.5, killed=nodes[:1])
    left = asked["max"] - spent(draws)
    assert left >= 0
    size = terms(Limit(**asked), NODES, 0.1).size
    after = Fleet(server.url, nodes=NODES)
    # its last draw may not have been told, and an unfinished lease may have been replaced by its successor
    assert left - 2 * size - 7 <= drawn_patiently([after], Limit(**asked), left - 2 * size - 7) <= left
    after.close()


@pytest.mark.parametrize(
    "asked",
    [
        {"name": "a", "measure": "requests", "max": 2000, "per": "1s", "burst": 200},
        {"name": "a", "measure": "requests", "max": 300, "per": "1s"},
        {"name": "a", "measure": "tokens", "max": 60_000, "per": "1m", "burst": 100},
    ],
)
def test_a_rate_holds_in_every_window(server: RedisServer, asked: dict[str, Any]) -> None:
    limit = terms(Limit(**asked), NODES, 0.1)
    draws = finished(start(server, asked), 2.0)
    assert excess(draws, float(limit.flow)) <= limit.burst + in_hand(limit, 1)
    assert spent(draws) >= limit.burst  # and is not refused for nothing


def test_concurrent_calls_are_never_too_many_and_a_killed_node_s_places_come_back(server: RedisServer) -> None:
    asked = {"name": "a", "measure": "concurrent", "max": 5}
    nodes = start(server, asked)
    time.sleep(0.5)
    nodes[0].process.kill()
    draws = finished(nodes, 2.5, killed=nodes[:1])
    end = max(draw.at for draw in nodes[0].told())
    open_ = [0] * NODES
    for draw in draws:
        if draw.at > end + S // 2:
            open_[0] = 0  # its places are given to others when it was silent for a second
        open_[draw.node] += draw.amount
        assert sum(open_) <= 5
    assert not any(open_[1:])
    after = Fleet(server.url, nodes=NODES, silence=1.0)
    assert drawn_patiently([after], Limit(**asked), 5) == 5
    after.close()


@pytest.mark.parametrize("outages", [1, 3])
def test_a_budget_when_redis_dies_and_comes_back_empty(server: RedisServer, outages: int) -> None:
    asked = {"name": "a", "measure": "tokens", "max": 300_000, "per": "total"}
    nodes = start(server, asked, amount=7)
    interrupt(server, outages)
    draws = finished(nodes, 2.0)
    assert spent(draws, shared=False) <= asked["max"]
    size = terms(Limit(**asked), NODES, 0.1).size
    for node in range(NODES):
        own = [draw for draw in draws if draw.node == node]
        assert spent(own, shared=True) <= outages * (asked["max"] / NODES + 2 * size)
    left = max(0, asked["max"] - spent(draws))
    after = Fleet(server.url, nodes=NODES)
    assert drawn_patiently([after], Limit(**asked), left) <= left  # no memory but that of the nodes, and all is known
    after.close()


def test_a_rate_when_redis_dies_and_comes_back_empty(server: RedisServer) -> None:
    asked = {"name": "a", "measure": "requests", "max": 1000, "per": "1s", "burst": 600}
    limit = terms(Limit(**asked), NODES, 0.1)
    nodes = start(server, asked)
    interrupt(server, 1)
    draws = finished(nodes, 2.0)
    flow = float(limit.flow)
    granted = [draw for draw in draws if not draw.shared]
    assert excess(granted, flow) <= limit.burst + in_hand(limit, 1)
    for node in range(NODES):
        shared = [draw for draw in draws if draw.shared and draw.node == node]
        assert excess(shared, flow / NODES) <= limit.burst / NODES + 1 + 2 * limit.size
    assert spent(draws, shared=True)


def interrupt(server: RedisServer, outages: int) -> None:
    """Kills the server some times, for half a second each."""
    for _ in range(outages):
        time.sleep(0.7)
        server.kill()
        time.sleep(0.5)
        server.start()
