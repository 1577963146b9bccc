"""Threads that ask for short turns: nothing else about them changes."""

import ctypes
import os
import platform
import struct
import threading
from collections.abc import Callable

import pytest

from tidegate.record._turns import take_turns

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
ATTRIBUTES = struct.Struct("<IIQiIQQQ")  # size, policy, flags, nice, priority, runtime, deadline, period


def of_this_thread() -> tuple[int, ...]:
    """What the kernel says of it."""
    said = ctypes.create_string_buffer(ATTRIBUTES.size)
    assert ctypes.CDLL(None).syscall(SCHED_GETATTR[platform.machine()], 0, said, len(said), 0) == 0
    return ATTRIBUTES.unpack(said.raw)


def in_a_thread(prepare: Callable[[], object]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What it says of a thread before and after it asked for turns of 0.7 ms."""
    found: list[tuple[int, ...]] = []

    def run() -> None:
        prepare()
        found.append(of_this_thread())
        take_turns(0.0007)
        found.append(of_this_thread())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0], found[1]


@pytest.mark.skipif(platform.machine() not in SCHED_GETATTR, reason="the number of the system call is not known here")
@pytest.mark.parametrize(
    "prepare",
    [lambda: None, lambda: os.nice(3), lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))],
    ids=["as it is", "nicer", "in batches"],
)
def test_only_the_length_of_its_turns_is_another(prepare: Callable[[], object]) -> None:
    before, after = in_a_thread(prepare)
    assert after[:5] == before[:5]
    if tuple(map(int, platform.release().split(".")[:2])) >= (6, 12):
        assert after[5] == 700_000
