"""The runs that are open, beside a dict that says the same."""

import gc
import sys

from hypothesis import given
from hypothesis import strategies as st

from tidegate.record._open import Begun, OpenRuns

RUNS = 8
steps = st.lists(st.tuples(st.booleans(), st.integers(0, RUNS - 1)), max_size=60)


@given(steps)
def test_the_oldest_is_the_one_whose_last_intent_is(told: list[tuple[bool, int]]) -> None:
    runs, open_runs, expected = [Begun() for _ in range(RUNS)], OpenRuns(), dict[int, int]()
    for seq, (begins, which) in enumerate(told, 1):
        expected.pop(which, None)
        if begins:
            expected[which] = seq
            open_runs.begin(runs[which], seq)
        else:
            open_runs.end(runs[which])
        assert open_runs.first == next(iter(expected.values()), 0)


def test_what_never_began_may_end() -> None:
    open_runs = OpenRuns()
    open_runs.end(None)
    open_runs.end(Begun())
    assert open_runs.first == 0


def test_a_run_is_kept_until_it_ends_and_no_longer() -> None:
    open_runs, ended, lost = OpenRuns(), Begun(), Begun()
    before = sys.getrefcount(ended)
    open_runs.begin(ended, 1)
    open_runs.begin(ended, 2)
    open_runs.begin(lost, 3)
    assert sys.getrefcount(ended) == sys.getrefcount(lost) == before + 1
    open_runs.end(ended)
    assert (sys.getrefcount(ended), open_runs.first) == (before, 3)
    del open_runs
    gc.collect()
    assert sys.getrefcount(lost) == before
