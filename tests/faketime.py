"""A wall clock that a test moves under running processes, while the monotonic one goes on as it does."""

import shutil
import subprocess
from pathlib import Path

import pytest


def movable_clock(folder: Path) -> tuple[Path, dict[str, str]]:
    """The file that says how far the clock is off, and the environment of the processes that go by it."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is absent")
    where = ["faketime", "-f", "+0s", "sh", "-c", "echo $LD_PRELOAD"]
    library = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    clock = folder / "clock"
    clock.write_text("+0")
    return clock, {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
