"""Runs a folder of conformance cases: `python -m tests.conformance.rego DIR [--only CATEGORY] [--way plan|source]`.

Prints what does not pass, by category, and ends with `N passed, N failed, N skipped`. Skipped cases ask for something
that is refused by design; they count as not passed. Exit code 1 where less than 97 % pass, or an answer is wrong.
"""

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path

from tests.conformance.rego.case import Case, read
from tests.conformance.rego.ways import Outcome, Verdict, run, ways_of, worst

GATE = 0.97


def main() -> int:
    """Run, print, and say whether the gate holds."""
    arguments = argparse.ArgumentParser(prog="python -m tests.conformance.rego", description="Conformance to OPA.")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--only", metavar="CATEGORY", help="one category")
    arguments.add_argument("--way", choices=("plan", "source", "both"), default="both")
    arguments.add_argument("-v", "--verbose", action="store_true", help="name the cases that pass, too")
    options = arguments.parse_args()
    cases = [case for case in read(options.folder) if options.only in (None, case.category)]
    if not cases:
        arguments.error(f"no cases in {options.folder}" + (f" for {options.only}" if options.only else ""))

    verdicts: Counter[Verdict] = Counter()
    findings: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        ways = [way for way in ways_of(case) if options.way in ("both", way)]
        if not ways:
            continue
        outcomes = {way: run(case, way) for way in ways}
        verdict = worst(list(outcomes.values())).verdict
        verdicts[verdict] += 1
        if verdict is not Verdict.PASSED or options.verbose:
            findings[case.category] += describe(case, outcomes)
    return report(verdicts, findings)


def describe(case: Case, outcomes: dict[str, Outcome]) -> list[str]:
    """A line a way that did not pass."""
    lines = [
        f"  {case.note} ({way}): {outcome.verdict.value}: {outcome.explanation}"
        for way, outcome in outcomes.items()
        if outcome.verdict is not Verdict.PASSED
    ]
    return lines or [f"  {case.note}: passed"]


def report(verdicts: Counter[Verdict], findings: dict[str, list[str]]) -> int:
    """Everything by category, then the counts."""
    for category, lines in sorted(findings.items()):
        print(category, *lines, sep="\n")
    total = verdicts.total()
    passed, skipped, wrong = (verdicts[verdict] for verdict in (Verdict.PASSED, Verdict.SKIPPED, Verdict.WRONG))
    kinds = ", ".join(f"{verdicts[kind]} {kind.value}" for kind in (Verdict.WRONG, Verdict.REFUSED, Verdict.CRASHED))
    print(f"{passed / total:.1%} of {total}; not passed: {kinds}")
    print(f"{passed} passed, {total - passed - skipped} failed, {skipped} skipped")
    return 0 if passed >= GATE * total and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
