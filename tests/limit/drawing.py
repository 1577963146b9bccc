"""How a program without a loop draws from the limits of a fleet."""

import time

from tidegate.limit.fleet import Bucket, Fleet, Hold, Waiting
from tidegate.limit.refusal import Refusal
from tidegate.model import Limit

PATIENCE = 20.0  # seconds, for slow machines


def draw(fleet: Fleet, *draws: tuple[Bucket, int]) -> Hold | Refusal:
    """Draws as a program without a loop does it: waits for leases that are on their way."""
    until = time.monotonic() + PATIENCE
    while True:
        taken = fleet.acquire(draws)
        if not isinstance(taken, Waiting):
            return taken
        assert time.monotonic() < until, "no lease comes"
        fleet.wait(taken, 1.0)


def drawn(fleet: Fleet, bucket: Bucket, amount: int = 1) -> int:
    """Draws until it is refused."""
    total = 0
    while isinstance(draw(fleet, (bucket, amount)), Hold):
        total += amount
    return total


def drawn_patiently(fleets: list[Fleet], asked: Limit, expected: int) -> int:
    """Draws from all nodes until so much was drawn, then until all refuse."""
    total, until = 0, time.monotonic() + PATIENCE
    while total < expected and time.monotonic() < until:
        total += sum(drawn(fleet, fleet.prepare(asked)) for fleet in fleets)
        time.sleep(0.01)
    return total + sum(drawn(fleet, fleet.prepare(asked)) for fleet in fleets)
