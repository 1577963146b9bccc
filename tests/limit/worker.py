"""A process that draws from shared limits as fast as it can, until it is killed. Run as a program.

It tells a pipe what it did, in whole lines that reach the reader also when it is killed: before it settles or releases
something, because what was spent may be known too early but never too late; after it drew something, because a draw may
be lost with its worker.
"""

import os
import random
import sys

from tidegate import Limit, Limits
from tidegate.limit._draw import Bucket, Hold
from tidegate.limit.limits import LimitsFull

RATE = Limit(name="rate", measure="tokens", max=200_000, per="1s", burst=50)
BUDGET = Limit(name="budget", measure="tokens", max=1_000_000_000, per="total")  # for as long as it takes
SMALL = Limit(name="small", measure="usd", max=0.00003, per="total")  # 3000, soon used up
DAILY = Limit(name="daily", measure="tokens", max=20_000, per="day", exceed="throttle")
CALLS = Limit(name="calls", measure="concurrent", max=5)
EVERY = (RATE, BUDGET, SMALL, CALLS, DAILY)
NUMBERS = {"workers": 3, "slots": 256, "quota": 64}


def work(path: str, place: int, pipe: int, seed: int, slots: int) -> None:
    """Draws, grows, settles and releases at random; the names that it draws from come and go."""
    limits = Limits(path, worker=place, **{**NUMBERS, "slots": slots})
    rate, budget, small, calls, daily = (limits.prepare(each) for each in EVERY)
    chance = random.Random(seed)
    open_: list[tuple[Hold, list[Bucket]]] = []
    os.write(pipe, b"began\n")
    while True:
        choice = chance.random()
        if choice < 0.5 or not open_:
            passing = Limit(name="passing", key=(chance.randint(0, 150),), measure="concurrent", max=2)
            amount = chance.randint(0, 9)
            pairs = [(budget, amount), (calls, 1), (rate, 1)]
            pairs += [(small, amount)] * (chance.random() < 0.5)
            pairs += [(limits.prepare(passing, "t"), 1)] * (chance.random() < 0.2)
            pairs += [(daily, amount)] * (chance.random() < 0.2)
            try:
                got = limits.acquire(pairs)
            except LimitsFull:
                continue
            if isinstance(got, Hold):
                open_.append((got, [bucket for bucket, _ in pairs]))
        elif choice < 0.6:
            hold, _ = chance.choice(open_)
            hold.grow([n + 3 for n in hold.amounts])
        else:
            hold, buckets = open_.pop(chance.randrange(len(open_)))
            if choice < 0.7:
                hold.release()
            else:
                actual = [chance.randint(0, n) for n in hold.amounts]
                spent = dict(zip(buckets, actual, strict=True))
                os.write(pipe, b"%d %d\n" % (spent[budget], spent.get(small, 0)))
                hold.settle(actual)
        if chance.random() < 0.05:
            limits.turn()
            os.sched_yield()


if __name__ == "__main__":
    work(sys.argv[1], *map(int, sys.argv[2:]))
