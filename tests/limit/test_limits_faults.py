"""The tests of this folder see every fault that is put into the compiled limits: they run on builds with one each."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "engine" / "tidegate"
MODULES = ("_table", "_draw")
ALONE = "tests/limit/test_limits.py"
TOGETHER = "tests/limit/test_limits_processes.py"


class Fault(NamedTuple):
    """What is changed: a text that occurs once in a source, what stands there instead, and a test that sees it."""

    note: str
    source: str
    right: str
    wrong: str
    seen_by: str
    tries: int = 1  # a race that two processes run on a busy machine may go well a few times


FAULTS = (
    Fault(
        "a rate's word is stored in place of compared and swapped", "_words.h",
        "if (__atomic_compare_exchange_n(word, &time, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return 0;",
        "sched_yield(); *word = to; return 0;",
        f"{TOGETHER}::test_no_window_of_a_rate_admits_more_than_it_may",
    ),
    Fault(
        "a place is stored in place of compared and swapped", "_words.h",
        "return __atomic_compare_exchange_n(word, &old, new_, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);",
        "if (*word != old) return 0; sched_yield(); *word = new_; return 1;",
        f"{TOGETHER}::test_processes_that_claim_the_same_keys_share_their_places",
    ),
    Fault(
        "what is asked for is added after the look", "_words.h",
        "STORE(mine->held, sum(before, amount));\n    if (drawn_in(t, slot) <= max || force) return 1;",
        "int fits = sum(drawn_in(t, slot), amount) <= max; for (volatile int i = 0; i < 5000; i++);"
        "\n    STORE(mine->held, sum(before, amount));\n    if (fits || force) return 1;",
        f"{TOGETHER}::test_of_two_that_race_for_the_last_place_one_at_most_gets_it",
        tries=10,
    ),
    Fault(
        "a release is dropped", "_words.h",
        "STORE(mine->held, mine->held - amount);", "(void)mine; (void)amount;",
        f"{ALONE}::test_concurrency_is_held_until_the_call_ends",
    ),
    Fault(
        "a dead worker is not reaped", "_table.pyx",
        "        write_all(line, &self.view, slot * (self.view.count + 1) + worker, 0, settled, mark)", "        pass",
        f"{TOGETHER}::test_workers_and_supervisors_are_killed_at_random",
    ),
    Fault(
        "what a dead worker held is freed and not charged", "_table.pyx",
        "settled = sum(settled, amount)", "pass",
        f"{TOGETHER}::test_a_journal_says_what_a_dead_worker_s_holds_are_charged",
    ),
    Fault(
        "a crash between two words is left as it is", "_table.pyx",
        "finish_redo(&self.view, line)", "pass",
        f"{TOGETHER}::test_a_crash_between_two_words_is_healed",
    ),
    Fault(
        "a place does not say which records it has", "_words.h",
        "KEEP(t->cells[index].mark, mark);", "(void)mark;",
        f"{TOGETHER}::test_what_a_record_says_is_added_once_wherever_its_worker_and_its_reaper_died",
    ),
    Fault(
        "a record of another life is taken for one of this", "_words.h",
        "return (int64_t)((epoch & 0x3FFFFF) << 41 | (seq & 0x1FFFFFFFFFF));", "return (int64_t)(1ull << 41 | seq);",
        f"{TOGETHER}::test_what_a_record_says_is_added_once_wherever_its_worker_and_its_reaper_died",
    ),
    Fault(
        "places are freed before every worker passed a turn", "_table.pyx",
        "if load(self.view.workers[worker].turn) < load(self.view.header.turn):", "if False:",
        f"{ALONE}::test_nothing_is_freed_before_every_worker_passed_a_turn",
    ),
    Fault(
        "what was used beyond the hold is forgotten", "_draw.pyx",
        "self.turn_into(bucket, part, part.used, now, seq)",
        "self.turn_into(bucket, part, min(part.used, part.amount), now, seq)",
        f"{ALONE}::test_settling_is_never_clipped_and_blocks_the_next",
    ),
    Fault(
        "a refused draw keeps what it took from other buckets", "_draw.pyx",
        "made.release()\n                    return self.refuse(pairs, i)", "return self.refuse(pairs, i)",
        f"{ALONE}::test_all_or_nothing_and_every_limit_that_refuses_is_told",
    ),
)  # fmt: skip


def build(folder: Path, fault: Fault | None) -> Path:
    """A copy of the package with this fault; returns the folder to import it from."""
    package = folder / "tidegate"
    package.mkdir(parents=True)
    for each in PACKAGE.iterdir():
        if each.name != "limit":
            (package / each.name).symlink_to(each)
    limit = package / "limit"
    shutil.copytree(PACKAGE / "limit", limit, ignore=shutil.ignore_patterns("__pycache__"))
    if fault is not None:
        text = (limit / fault.source).read_text()
        assert text.count(fault.right) == 1, f"{fault.note}: the source has changed"
        (limit / fault.source).write_text(
            "#include <sched.h>\n" * fault.source.endswith(".h") + text.replace(fault.right, fault.wrong)
        )
    include, suffix = sysconfig.get_path("include"), sysconfig.get_config_var("EXT_SUFFIX")
    for module in MODULES:
        subprocess.run([sys.executable, "-m", "cython", "-3", f"tidegate/limit/{module}.pyx"], cwd=folder, check=True)
        command = [
            "cc",
            "-shared",
            "-fPIC",
            "-O1",
            "-w",
            f"-I{limit}",
            f"-I{include}",
            f"{module}.c",
            "-o",
            module + suffix,
        ]
        subprocess.run(command, cwd=limit, check=True)
    return folder


def passes(folder: Path, tests: list[str]) -> bool:
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    told = "import sys, tidegate.limit._draw as built; sys.exit(built.__file__.startswith(sys.argv[1]) is False)"
    subprocess.run([sys.executable, "-c", told, str(folder)], env=environ, cwd=ROOT, check=True)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return run.returncode == 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.note)
def test_a_fault_is_seen(fault: Fault, tmp_path: Path) -> None:
    folder = build(tmp_path / "engine", fault)
    assert any(not passes(folder, [fault.seen_by]) for _ in range(fault.tries))


def test_a_build_without_a_fault_passes(tmp_path: Path) -> None:
    assert passes(build(tmp_path / "engine", None), sorted({fault.seen_by for fault in FAULTS}))
