"""The laws of books.py find faults in a gateway: each is put into a copy of this tree, which then stands in a storm."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

import tidegate
from tests.faults.test_governed_laws import weathered

UNCOMPILED = ("pipeline", "run")  # modules that the faults are in; they run as Python just as well


class Fault(NamedTuple):
    """A fault: what stands in a file, and what stands there instead; and the law that finds it."""

    note: str
    file: str
    right: str
    wrong: str
    law: str


FAULTS = [
    Fault("none", "run.py", "held.use(tokens, cost)", "held.use(tokens, cost)", ""),
    Fault("a token less", "run.py", "held.use(tokens, cost)", "held.use(max(tokens - 1, 0), cost)", "charged"),
    Fault("for nothing when it left", "run.py", "if ended.reached:", "if not ended.client_left:", "charged"),
    Fault("no intent", "pipeline.py", "self._seq = self.leave(body, edits)", "self._seq = 0", "unrecorded"),
    Fault(
        "the dead pay nothing",
        "serve/limits.py",
        "return [Charge(*each) for each in unsettled(ending(folder, worker, epoch, memory), known)]",
        "return []",
        "charged",
    ),
    Fault(
        "more at once",
        "limit/limits.py",
        "units.whole(limit.measure, limit.max),",
        'units.whole(limit.measure, limit.max) + 3 * (limit.measure == "concurrent"),',
        "limit",
    ),
    Fault("no hold in advance", "run.py", "self.estimate.prompt_tokens + output, cost)", "0, 0)", "charged"),
]


def copied(folder: Path, fault: Fault) -> Path:
    """Where a gateway with the fault is found."""
    package = folder / "engine" / "tidegate"
    shutil.copytree(Path(tidegate.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "*.c"))
    for name in UNCOMPILED:
        for compiled in package.glob(f"{name}.*.so"):
            compiled.unlink()
    file = package / fault.file
    text = file.read_text()
    assert text.count(fault.right) == 1, fault.note
    file.write_text(text.replace(fault.right, fault.wrong))
    return package.parent


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.note for fault in FAULTS])
def test_a_fault_is_found(tmp_path: Path, fault: Fault) -> None:
    books = weathered(tmp_path, 6, 7, 2, env={"PYTHONPATH": str(copied(tmp_path, fault))})
    problems = books.problems()
    print(f"{fault.note}: {len(problems)} problems, such as {problems[:1]}")
    assert len(books.calls) > 50
    if fault.law:
        assert any(fault.law in problem.partition(":")[0] for problem in problems)
    else:
        assert not problems, problems[:10]
