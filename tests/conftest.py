"""Skips must name what is absent. Where NO_SKIPS is set (in CI) only two kinds may be: of OPA's suite, which is not
beside a clone, and of what the machine forbids (mounting, tracing).
"""

import os
import shutil
from collections.abc import Iterator

import pytest

from tidegate.record.places import Places
from tidegate.serve.ledger import memory_place

ALLOWED = ("OPA's conformance suite", "not allowed here", "not permitted here", "cannot be mounted here")
SKIPPED: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not any(reason in str(report.longrepr) for reason in ALLOWED):
        SKIPPED.append(report.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    yield
    if SKIPPED and os.environ.get("NO_SKIPS") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if SKIPPED and os.environ.get("NO_SKIPS"):
        terminalreporter.write_line(f"NO_SKIPS: {len(SKIPPED)} tests were skipped, which fails this run", red=True)


@pytest.fixture(scope="session", autouse=True)
def nothing_stays_in_shared_memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is spent of a limit outlives its gateway or program there, and these have ended for good."""
    yield
    for said in tmp_path_factory.getbasetemp().rglob("ledger.json"):
        shutil.rmtree(memory_place(Places(said.parent), os.getuid()), ignore_errors=True)
