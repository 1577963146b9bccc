"""The checks see every fault that is put into the meter."""

from pathlib import Path
from types import ModuleType

import pytest

from tests.count import metered
from tests.count.faulty import METER_FAULTS, Fault, compiled, translated


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return translated(tmp_path_factory.mktemp("source"), "_meter")


def seen(module: ModuleType) -> bool:
    """Whether any check finds a difference."""
    return any(next(check(module.Meter), None) for check in metered.CHECKS)


@pytest.mark.parametrize("fault", METER_FAULTS, ids=lambda fault: fault.note)
def test_a_fault_is_seen(fault: Fault, source: Path, tmp_path: Path) -> None:
    assert seen(compiled(source, tmp_path / "faulty", fault))


def test_a_build_without_a_fault_passes(source: Path, tmp_path: Path) -> None:
    assert not seen(compiled(source, tmp_path / "right", None))


def test_a_build_for_other_processors_passes(source: Path, tmp_path: Path) -> None:
    assert not seen(compiled(source, tmp_path / "portable", None, "-U__SSE2__"))
