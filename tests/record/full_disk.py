"""Fills a disk under a log, and under its store, and makes room again; run in a mount namespace of its own."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.record.logs import NOW, Place, entries, make, public
from tidegate.record.log import Log, LogError
from tidegate.record.verify import verify_log


def main(folder: Path, small: str) -> None:
    there = folder / small
    there.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", there], check=True)
    place = make(folder, [300])
    rest = os.statvfs(there)
    (there / "ballast").write_bytes(bytes(rest.f_bavail * rest.f_bsize))
    for _ in range(3):
        fails(place)
    (there / "ballast").unlink()
    with place.open() as log:
        assert log.size == 300
        log.append(entries(300, 700))
        log.checkpoint(NOW)
    report = verify_log(place.log, public(), store=place.store)
    assert report.ok, report.faults
    assert report.checkpoint
    assert report.checkpoint.size == 700
    assert not report.warnings, "they are on two disks"


def grow(log: Log) -> None:
    log.append(entries(300, 700))
    log.checkpoint(NOW)


def fails(place: Place) -> None:
    with place.open() as log, pytest.raises(LogError, match=os.strerror(errno.ENOSPC)):
        grow(log)
    assert verify_log(place.log, public(), store=place.store).ok


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
