"""The checks see every fault that is put into the counter."""

from pathlib import Path
from types import ModuleType

import pytest

from tests.count import agreement
from tests.count.faulty import FAULTS, Fault, compiled, translated


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return translated(tmp_path_factory.mktemp("source"))


def seen(module: ModuleType) -> bool:
    """Whether any check finds a difference; a vocabulary that can no longer be built is one."""
    for shape in ("o200k", "cl100k"):
        try:
            build = agreement.trained(module, shape)
        except ValueError:
            return True
        if any(next(check(build), None) for check in agreement.CHECKS):
            return True
    return False


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.note)
def test_a_fault_is_seen(fault: Fault, source: Path, tmp_path: Path) -> None:
    assert seen(compiled(source, tmp_path / "faulty", fault))


def test_a_build_without_a_fault_passes(source: Path, tmp_path: Path) -> None:
    assert not seen(compiled(source, tmp_path / "right", None))
