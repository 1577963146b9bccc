"""Skips must name what is absent. Where NO_SKIPS is set (in CI) only two kinds may be: of OPA's suite, which is not
beside a clone, and of what the machine forbids (mounting, tracing).
"""

import os
from collections.abc import Iterator

import pytest

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
