"""What the embedded engine costs a program: `python -m bench.engine [--quick]`.

A call of half a kilobyte is begun and ended without a provider in between, with evidence `async`, four limits (a budget
of tokens, one of dollars, a rate, concurrency) and one `deny`. CPU time of the thread that calls, and of the whole
process, in which the journal and the log are written beside it; medians over rounds.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.report import Line, finish
from tidegate import Engine
from tidegate.settings import Record, Settings

RULES = """package tidegate.admission

deny contains {"code": "model_not_allowed", "message": "not on the list"} if not startswith(input.request.model, "gpt-")

limit contains {"name": "day", "key": [input.caller.tenant], "measure": "tokens", "max": 1e12, "per": "day"}

limit contains {"name": "month", "key": [input.caller.tenant], "measure": "usd", "max": 1e6, "per": "month"}

limit contains {"name": "pace", "key": [input.caller.user], "measure": "requests", "max": 1e6, "per": "1s"}

limit contains {"name": "calls", "key": [input.caller.tenant], "measure": "concurrent", "max": 1000}
"""
BODY = b'{"model":"gpt-4o-mini","max_tokens":64,"messages":[{"role":"system","content":"%b"},%b]}' % (
    b"You answer in one sentence. " * 13,
    b'{"role":"user","content":"How high is the tide at noon?"}',
)


def one_round(engine: Engine, calls: int) -> tuple[float, float]:
    """us of the thread, and of the process, for one call."""
    thread, process = time.thread_time(), time.process_time()
    for _ in range(calls):
        engine.begin("chat.completions", BODY, tenant="acme", user="ann", provider="openai").end()
    spent = time.thread_time() - thread, time.process_time() - process
    with engine.turns:
        engine._writer.journal.drain(10)  # a round measures calls, and not how fast the disk is
    return spent[0] / calls * 1e6, spent[1] / calls * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="does everything still work")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "policies").mkdir()
        (folder / "policies" / "rules.rego").write_text(RULES)
        settings = Settings(record=Record(evidence="async"))
        with Engine(
            folder / "policies", ledger=folder / "ledger", origin="localhost/bench", settings=settings
        ) as engine:
            one_round(engine, 300)
            rounds = [one_round(engine, 100 if quick else 400) for _ in range(3 if quick else 25)]
    thread, process = (list(side) for side in zip(*rounds, strict=True))
    lines = [
        Line(name=name, value=median(side), unit="us", details=(f"{min(side):.1f} to {max(side):.1f} us over rounds",))
        for name, side in (("engine_call_thread", thread), ("engine_call_process", process))
    ]
    return finish(lines, "engine", raw=rounds, facts={"options": {"quick": quick}, "body": len(BODY)})


if __name__ == "__main__":
    sys.exit(main())
