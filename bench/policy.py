"""What a decision costs: `python -m bench.policy [--rounds N] [--quick]`.

Every policy is decided in turn by Tidegate and regorus (its Engine) in this process and by regopy in another, all of
them within every round; a ratio is taken inside a round. Each gets a new input every time, in the form that it takes
fastest: a plain document, JSON text, and a dict. Before anything is measured all must have given the same decision.

Then the typed entry against the plain one on the shipped policies, and what loading costs: fifty modules of thirty
rules from source and as they were kept, and whether a thousand reloads keep memory.

Exit codes: 0 every gate holds, 1 a gate is missed, 2 the run is void (two engines disagree).
"""

import argparse
import gc
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import regorus

from bench.regopy import Regopy
from bench.report import Line, finish, ratio_line
from bench.rig import rss
from bench.subjects import Subject, modules, subjects
from tidegate.decide.admission import TYPED, Admission
from tidegate.decide.bundle import load as load_bundle
from tidegate.decide.compiled import by_document, compile_bundle
from tidegate.decide.contract import EVERYTHING, decision
from tidegate.decide.reading import document, no_limits
from tidegate.model import Call, Caller, Estimate
from tidegate.rego import values
from tidegate.rego.compile import compile_modules
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.generate import Program
from tidegate.rego.source import Source
from tidegate.wire import openai
from tidegate.wire.reader import Reader

SHIPPED = Path(__file__).parent.parent / "policies"
ESTIMATE = Estimate(11, "exact")
MB = 1_000_000
RELOADS = 1_000
SETTLED = 100  # reloads after which memory must have stopped to grow
WINDOW = 0.02  # s that each engine gets in a round
QUICK_WINDOW = 0.005

Timed = Callable[[int], float]  # us a decision, of so many
Times = dict[str, list[float]]  # us a decision, one for each round


class Disagreement(Exception):
    """Two engines decide differently: nothing can be compared."""


def compiled(subject: Subject) -> Program:
    """A policy from source to functions, as loading a bundle does it."""
    source = Source(f"{subject.name}.rego", subject.source)
    return compile_modules([source], values.of(subject.documents), entries={subject.entry: subject.path})


def load(subject: Subject, regopy: Regopy) -> dict[str, Timed]:
    """Loads a policy into every engine, after all have agreed on the decision."""
    ours, decision = with_tidegate(subject)
    theirs, other = with_regorus(subject)
    decisions = {"tidegate": decision, "regorus": other}
    engines = {"ours": ours, "regorus": theirs}
    if not subject.unknown_to_regopy:
        decisions["regopy"] = regopy.load(subject)
        engines["regopy"] = regopy.timed
    if any(comparable(one) != comparable(decision) for one in decisions.values()):
        raise Disagreement(f"{subject.name}: {json.dumps(decisions, indent=1)}")
    return engines


def comparable(decision: Any) -> Any:
    """A decision in which the order of lists is no matter: regopy gives sets in any order."""
    if isinstance(decision, dict):
        return {name: comparable(held) for name, held in decision.items()}
    if isinstance(decision, list):
        return sorted((comparable(held) for held in decision), key=lambda held: json.dumps(held, sort_keys=True))
    return decision


def with_tidegate(subject: Subject) -> tuple[Timed, Any]:
    """How long we take, and the decision."""
    program = compiled(subject)
    entry, document = subject.entry, subject.input

    def decide() -> Any:
        return program.evaluate(entry, document)

    return partial(timed, decide), values.to_json(decide()[0]["result"])


def with_regorus(subject: Subject) -> tuple[Timed, Any]:
    """How long regorus takes, and the decision."""
    engine = regorus.Engine()
    engine.add_policy(subject.name, subject.source)
    engine.add_data_json(json.dumps(subject.documents))
    rule, document = ".".join(subject.path), json.dumps(subject.input)

    def decide() -> Any:
        engine.set_input_json(document)
        return engine.eval_rule(rule)

    engine.set_input_json(document)
    return partial(timed, decide), json.loads(engine.eval_rule_as_json(rule))


def timed(work: Callable[[], object], repeats: int) -> float:
    """Microseconds that one takes of so many."""
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats * 1e6


def measure(engines: dict[str, Timed], rounds: int, window: float) -> Times:
    """Rounds in which each engine has its turn; who goes first alternates."""
    repeats = {name: max(1, int(window * 1e6 / engine(3))) for name, engine in engines.items()}
    times: Times = {name: [] for name in engines}
    gc.disable()  # a collection would fall on whose turn it happens to be
    for number in range(rounds):
        for name in list(engines) if number % 2 else reversed(list(engines)):
            times[name].append(engines[name](repeats[name]))
        gc.collect()
    gc.enable()
    return times


def ratio_lines(results: dict[str, Times]) -> Iterator[Line]:
    """Each policy against each of the others, then the median of all policies."""
    for other, each_gate, goal, gate in (("regorus", 1 / 3, 1 / 10, 1 / 6), ("regopy", None, 1 / 50, 1 / 30)):
        lines = [
            ratio_line(
                f"policy_{name}_to_{other}", list(zip(times["ours"], times[other], strict=True)), gate=each_gate
            )
            for name, times in results.items()
            if other in times
        ]  # fmt: skip
        yield from lines
        middle = median(line.value for line in lines)
        yield Line(name=f"policies_to_{other}", value=middle, unit="x", goal=goal, gate=gate,
                   details=(f"median of {len(lines)} policies",))  # fmt: skip


def loading_lines(rounds: int) -> Iterator[Line]:
    """Fifty modules of thirty rules: from source, each time from nothing, and from what was compiled before."""
    sources = modules()
    documents = {"settings": {f"team{number}": {} for number in range(len(sources))}}
    entries = {f"team{number}": ("data", f"team{number}", "admission") for number in range(len(sources))}

    def cold() -> Program:
        read = [Source(f"team{number}.rego", text) for number, text in enumerate(sources)]
        return compile_modules(read, documents, entries=entries)

    program = cold()
    kept = program.dump()
    assert Program.load(kept).evaluate("team7", {}) == program.evaluate("team7", {})
    ways = {"cold": (cold, 1.5), "cached": (lambda: Program.load(kept), 0.2)}
    for name, (way, gate) in ways.items():
        seconds = [timed(way, 1) / 1e6 for _ in range(rounds)]
        seen = " ".join(f"{value:.3g}" for value in seconds)
        yield Line(name=f"load_50x30_{name}", value=median(seconds), unit="s", goal=gate, gate=gate,
                   details=(f"seen {seen}",))  # fmt: skip


def typed_lines(rounds: int, window: float) -> Iterator[Line]:
    """The shipped policies on a call as the gateway has it, against the same policies on its document."""
    bundle = load_bundle(SHIPPED)
    program = compile_bundle(bundle, EVERYTHING, TYPED)
    by_call, by_documents = Admission(program, bundle.digest), by_document(bundle, program)
    caller, ns, call = Caller("default", "key"), time.time_ns(), a_call()
    asked = (call, caller, ESTIMATE, ns, None, no_limits)
    told = document(*asked)
    again = program.again
    assert again is not None
    every = frozenset(range(len(TYPED.rules)))

    def plainly() -> Any:
        return decision("admission", by_documents.said("admission", told, Evaluation(True, ns)), bundle.digest)

    if msgspec.json.encode(plainly()) != msgspec.json.encode(by_call.decide(*asked)):
        raise Disagreement("the typed and the plain decision differ")
    ways = {
        "rules": (lambda: again(*asked, (), every), lambda: program.evaluate("admission", told), 1 / 8, 1 / 3),
        "decision": (lambda: by_call.decide(*asked), plainly, None, None),
    }
    for name, (typed_way, plain_way, goal, gate) in ways.items():
        times = measure({"typed": partial(timed, typed_way), "plain": partial(timed, plain_way)}, rounds, window)
        pairs = list(zip(times["typed"], times["plain"], strict=True))
        yield ratio_line(f"typed_{name}_to_plain", pairs, goal=goal, gate=gate)


def a_call() -> Call:
    """A chat as accept reads it."""
    body = json.dumps(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}
    ).encode()
    route = next(route for route in openai.ROUTES if route.body is openai.Chat)
    return Call(b"0" * 26, route, {}, b"", body, Reader(openai.Chat, 64).read(body))


def reload_growth(reloads: int) -> float:
    """Bytes that a fresh process grows by between its first reloads and its last."""
    subject = next(subject for subject in subjects() if subject.name == "tools")
    before = 0
    for number in range(reloads):
        if number == reloads * SETTLED // RELOADS:
            before = settled_rss()
        compiled(subject).evaluate(subject.entry, subject.input)
    return float(settled_rss() - before)


def settled_rss() -> int:
    """This process's memory once what is unused is gone."""
    gc.collect()
    return rss(multiprocessing.current_process().pid or 0)


def reload_lines(reloads: int) -> Iterator[Line]:
    """Memory over many reloads, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        growth = fresh.apply(reload_growth, (reloads,))
    yield Line(name="reloads_growth", value=growth / MB, unit="MB", goal=0.5, gate=2, details=(f"{reloads} reloads",))


def main() -> int:
    """Run, print, write the result file."""
    parser = argparse.ArgumentParser(prog="python -m bench.policy", description="What a decision costs.")
    parser.add_argument("--rounds", type=int, help="rounds for each policy (15)")
    parser.add_argument("--quick", action="store_true", help="3 short rounds: does it work at all")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 15)

    window = QUICK_WINDOW if options.quick else WINDOW
    results: dict[str, Times] = {}
    regopy = Regopy()
    try:
        for subject in subjects():
            print(time.strftime("%H:%M:%S"), subject.name, file=sys.stderr, flush=True)
            results[subject.name] = measure(load(subject, regopy), rounds, window)
        typed = list(typed_lines(rounds, window))
    except Disagreement as disagreement:
        print(f"void: the engines disagree on {disagreement}", file=sys.stderr)
        return 2
    finally:
        regopy.stop()

    reloads = RELOADS // 10 if options.quick else RELOADS
    lines = [*ratio_lines(results), *typed, *loading_lines(1 if options.quick else 5), *reload_lines(reloads)]
    facts = {"options": vars(options), "engines": versions()}
    return finish(lines, "policy-quick" if options.quick else "policy", raw=results, facts=facts)


def versions() -> dict[str, str]:
    """Against which releases of the others the ratios were taken."""
    return {name: version(name) for name in ("gordon-to-regorus", "regopy")}


if __name__ == "__main__":
    sys.exit(main())
