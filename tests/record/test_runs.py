"""Run ids: their form, unique across makers and threads, strictly rising within one maker whatever the clock does.

What setting the wall clock back does is tested with libfaketime, which moves it under a running process; what it would
do to the kernel's own clock cannot be tested without being root of a machine of one's own.
"""

import itertools
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.faketime import movable_clock
from tidegate.record._runs import RunIds

FORM = re.compile(rb"[0-9a-f]{26}").fullmatch


def milliseconds(run: bytes) -> int:
    return int(run[:12], 16)


def test_an_id_is_26_lower_case_hexadecimal_digits_that_begin_with_the_time() -> None:
    makers = RunIds()
    before = time.time_ns() // 1_000_000
    run = makers.new()
    after = time.time_ns() // 1_000_000
    assert type(run) is bytes
    assert FORM(run)
    assert before <= milliseconds(run) <= after


@given(st.integers(0, 2**32 - 1))
def test_the_tag_is_its_end(tag: int) -> None:
    maker = RunIds(tag)
    assert {maker.new()[18:] for _ in range(3)} == {b"%08x" % tag}


def test_a_tag_is_drawn_where_none_is_given() -> None:
    assert len({RunIds().new()[18:] for _ in range(1000)}) == 1000


def test_ids_of_one_maker_rise_strictly_and_sort_by_time() -> None:
    maker = RunIds()
    made = [maker.new() for _ in range(300_000)]  # many to a millisecond, over many milliseconds
    assert all(map(FORM, made))
    assert all(sooner < later for sooner, later in itertools.pairwise(made))
    assert len({milliseconds(run) for run in made}) > 3
    assert max(int(run[12:18], 16) for run in made) > 3


def test_the_time_in_it_follows_the_clock() -> None:
    maker = RunIds()
    for _ in range(20):
        before = time.time_ns() // 1_000_000
        assert milliseconds(maker.new()) >= before
        time.sleep(0.003)


def test_ids_are_unique_across_makers_of_the_same_instant() -> None:
    makers = [RunIds() for _ in range(200)]
    made = [maker.new() for _ in range(100) for maker in makers]
    assert len(set(made)) == len(made)


def test_ids_are_unique_across_threads_that_share_a_maker() -> None:
    maker = RunIds()
    start = threading.Barrier(8)

    def make() -> list[bytes]:
        start.wait()
        return [maker.new() for _ in range(20_000)]

    with ThreadPoolExecutor(8) as threads:
        made = [run for future in [threads.submit(make) for _ in range(8)] for run in future.result()]
    assert len(set(made)) == len(made)


FORKED = """
import os, sys
from tidegate.record._runs import RunIds
for _ in range(8):
    if os.fork() == 0:
        maker = RunIds()
        os.write(1, b"".join(maker.new() + b"\\n" for _ in range(100)))
        os._exit(0)
for _ in range(8):
    os.wait()
"""


def test_ids_are_unique_across_processes_that_were_forked_from_one() -> None:
    """Each worker makes its maker after the fork."""
    made = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, check=True).stdout.split()
    assert len(made) == 800
    assert len(set(made)) == 800


SET_BACK = """
import sys, time
from tidegate.record._runs import RunIds
maker = RunIds()
for to in ("+0", "-3600", "+10", "-86400", "+3600", "-10"):
    with open(sys.argv[1], "w") as clock:
        clock.write(to)
    for _ in range(2000):
        print(int(time.time()), maker.new().decode())
"""


def test_ids_rise_strictly_also_when_the_clock_is_set_back(tmp_path: Path) -> None:
    clock, moved = movable_clock(tmp_path)
    env = {k: v for k, v in os.environ.items() if not k.startswith("FAKETIME")} | moved
    command = [sys.executable, "-c", SET_BACK, str(clock)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, env=env, timeout=60).stdout.split()
    seen, made = [int(second) for second in lines[::2]], lines[1::2]
    assert max(seen) - min(seen) > 80_000, "the clock was not moved"
    assert any(later < sooner - 1000 for sooner, later in itertools.pairwise(seen))
    assert len(made) == 12_000
    assert all(sooner < later for sooner, later in itertools.pairwise(made))
