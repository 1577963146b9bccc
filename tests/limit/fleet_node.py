"""A node of a fleet as a process of its own: draws from one limit as fast as it can, and tells what it got.

    python -m tests.limit.fleet_node '{"url": .., "nodes": .., "limit": {..}, "amount": .., "folder": ..}'

It says `ready`, begins when there is a file `go` in the folder, and ends when there is a file `stop`. One line
`monotonic_ns amount shared` for every draw that passed, written at once, so that nothing is lost by a kill. For a limit
of concurrent calls a line `+` when a place was taken and `-` before it is given back.
"""

import json
import os
import random
import sys
import time
from pathlib import Path

from tidegate.limit.fleet import Fleet, Hold, Waiting
from tidegate.model import Limit


def main() -> None:
    order = json.loads(sys.argv[1])
    fleet = Fleet(order["url"], nodes=order["nodes"], timeout=0.2, silence=1.0)
    limit = Limit(**order["limit"])
    bucket = fleet.prepare(limit)
    draw = place if limit.measure == "concurrent" else spend
    folder = Path(order["folder"])
    tell("ready")
    while not (folder / "go").exists():
        time.sleep(0.01)
    while not (folder / "stop").exists():
        taken = fleet.acquire([(bucket, order["amount"])])
        if isinstance(taken, Hold):
            draw(taken, order["amount"])
        elif isinstance(taken, Waiting):
            fleet.wait(taken, 1.0)
        else:
            time.sleep(0.002)
    fleet.close()


def spend(hold: Hold, amount: int) -> None:
    """Uses all of it, now and then a little less."""
    used = amount if random.random() < 0.8 else random.randrange(amount + 1)
    hold.settle([used])
    tell(f"{time.monotonic_ns()} {used} {int(hold.shared)}")


def place(hold: Hold, amount: int) -> None:
    """A short call."""
    tell(f"{time.monotonic_ns()} +{amount} {int(hold.shared)}")
    time.sleep(random.random() / 100)
    tell(f"{time.monotonic_ns()} -{amount} {int(hold.shared)}")
    hold.release()


def tell(line: str) -> None:
    os.write(1, line.encode() + b"\n")


main()
