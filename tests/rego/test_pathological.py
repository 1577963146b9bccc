"""Policies and inputs made to eat time or memory end soon, in one of our errors, within bounded memory.

Each runs in a process of its own, whose memory is limited: what is not bounded dies there, and the test with it.
"""

import json
import subprocess
import sys
from itertools import pairwise

import pytest

MEMORY = 768 * 1024 * 1024  # bytes of address space
SECONDS = 30  # far above what any of them needs, far below what the worst of them would take
ERRORS = ("BudgetExhausted", "BuiltinError", "OperandError", "EvaluationError")
BUDGET = 1_000_000  # a tenth of what a decision has, so that the suite stays quick

PROGRAM = """
import json, resource, sys
from tidegate.rego import values
from tidegate.rego.compile import compile_modules
from tidegate.rego.errors import RegoError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.source import Source

memory, budget, rules, document = json.loads(sys.stdin.read())
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
try:
    sources, entries = [Source("policy.rego", rules)], {"p": ("data", "test", "p")}
    program = compile_modules(sources, {}, entries=entries, strict=True)
    answers = program.evaluate("p", values.from_json(document), Evaluation(strict=True, budget=budget))
    print("answered", len(answers))
except RegoError as error:
    print(type(error).__name__, error)
"""


def run(rules: str, document: str = "null", budget: int = BUDGET) -> str:
    """How a policy ends: the class of its error and the message, or that it has answered."""
    given = json.dumps([MEMORY, budget, f"package test\n\n{rules}\n", document])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=given, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"
    return done.stdout.strip()


def doubled(step: str, first: str, times: int = 60) -> str:
    """Rules of which each has the last one twice."""
    rules = [f"x0 := {first}"]
    rules += [f"x{number + 1} := {step.format(x=f'x{number}')}" for number in range(times)]
    return "\n\n".join(rules) + f"\n\nlast := x{times}\n\n"


LETTERS = "abcdefghijklmnopqrstuvw"
ALIASES = "a: &a [x]\n" + "\n".join(f"{b}: &{b} [*{a}, *{a}]" for a, b in pairwise(LETTERS))
GRAPH = json.dumps({str(node): [str(other) for other in range(14) if other != node] for node in range(14)})
CALLS = [f"f{n + 1}(x) := f{n}([x, 1]) if {{ f{n}([x, 2]); f{n}([x, 3]) }}" for n in range(60)]
COUNT = "p := count(last)"
SHARED = doubled("[{x}, {x}]", "[1]")  # small in memory, beyond all bounds when written out
IN_A_SET = "p := count({last})"
COPY = '[{{"op": "copy", "from": "/0", "path": "/-"}}]'
TWIN = SHARED.replace("x", "z").replace("last", "other")

# What is done, and the rules; with them the input where it matters.
STOPPED: dict[str, str | tuple[str, str]] = {
    "loops within loops": "r := numbers.range(1, 20000)\n\np if { some a in r; some b in r; a + b < 0 }",
    "loops within every": "r := numbers.range(1, 20000)\n\np if every a in r { every b in r { a + b > 0 } }",
    "a set of all pairs": "r := numbers.range(1, 20000)\n\np := {[a, b] | some a in r; some b in r}",
    "an object of all pairs": "r := numbers.range(1, 20000)\n\np[a][b] := 1 if { some a in r; some b in r }",
    "functions calling functions": "f0(x) := x\n\n" + "\n\n".join(CALLS) + "\n\np := f60(1)",
    "a comprehension doubled": doubled("[y | some i in [1, 2]; some y in {x}]", "[1]") + COUNT,
    "an array doubled": doubled("array.concat({x}, {x})", "[1]") + COUNT,
    "a text doubled by concat": doubled('concat("", [{x}, {x}])', '"ab"') + COUNT,
    "a text doubled by sprintf": doubled('sprintf("%s%s", [{x}, {x}])', '"ab"') + COUNT,
    "a text doubled by replace": doubled('replace({x}, "a", "aa")', '"a"') + COUNT,
    "a text doubled by a pattern": doubled('regex.replace({x}, "a", "aa")', '"a"') + COUNT,
    "a text doubled by replacements": doubled('strings.replace_n({{"a": "aa"}}, {x})', '"a"') + COUNT,
    "a text doubled in a template": doubled('$"{{{x}}}{{{x}}}"', '"ab"') + COUNT,
    "a text doubled in a rendering": doubled('strings.render_template("{{{{.a}}}}{{{{.a}}}}", {{"a": {x}}})', '"ab"')
    + COUNT,
    "a text doubled by marshalling": doubled("json.marshal({x})", '"\\""', 200) + COUNT,
    "a text encoded again and again": doubled("base64.encode({x})", '"abc"', 200) + COUNT,
    "a set doubled": doubled("{x} | {{[1, y] | some y in {x}}} | {{[2, y] | some y in {x}}}", "{1}") + COUNT,
    "a number squared": (doubled("{x} * {x}", "input") + "p := last > 0", "12345678901"),
    "a product of everything": "p := product(numbers.range(1, 400000)) > 0",
    "a shift": "p := bits.lsh(1, 4000000000) > 0",
    "a range of everything": "p := count(numbers.range(1, 1000000000000))",
    "a range in small steps": "p := count(numbers.range_step(0, 1000000000000, 3))",
    "every address of a network": 'p := count(net.cidr_expand("10.0.0.0/8"))',
    "every address there is": 'p := count(net.cidr_expand("::/0"))',
    "a document of aliases": ("p := count(json.marshal(yaml.unmarshal(input)))", json.dumps(ALIASES)),
    "every path of a deep document": (
        "p := count({path | walk(input, [path, _])})",
        "[" * 900 + "1," * 20_000 + "1" + "]" * 900,
    ),
    "a pattern too large": 'p if regex.match("((((a{1000}){1000}){1000}){1000})", "a")',
    "sharing written out": SHARED + "p := count(json.marshal(last))",
    "sharing formatted": SHARED + 'p := count(sprintf("%v", [last]))',
    "sharing walked": SHARED + "p := count([path | walk(last, [path, _])])",
}

# What is odd and yet harmless, with or without an answer.
BORNE: dict[str, str | tuple[str, str]] = {
    "a pattern that others choke on": ('p if regex.match("^(a+)+$", input)', json.dumps("a" * 20000 + "b")),
    "many optional parts": (f'p if regex.match("{"a?" * 40}{"a" * 40}", input)', json.dumps("a" * 40)),
    "a glob of many stars": (f'p if glob.match("{"*a" * 60}", [], input)', json.dumps("a" * 3000 + "b")),
    "a glob of many choices": (f'p if glob.match("{"{a,b}" * 60}", [], input)', json.dumps("a" * 60)),
    "patterns that may have a text in common": f'p if regex.globs_match("{"a*" * 12}", "{"a*b*" * 6}")',
    "every path through a graph in which all meet": ('p := count(graph.reachable_paths(input, ["0"]))', GRAPH),
    "a width beyond reason": 'p := count(sprintf("%999999999d", [1]))',
    "digits beyond reason": 'p := count(sprintf("%.999999999f", [1.5]))',
    "sharing given back": SHARED + "p := last",
    "sharing compared": SHARED + TWIN + "p if last == other",
    "sharing in a set": SHARED + IN_A_SET,
    "sharing made by array.concat": doubled("array.concat([{x}], [{x}])", "[1]") + IN_A_SET,
    "sharing made by object.union": doubled('object.union({{"a": {x}}}, {{"b": {x}}})', "[1]") + IN_A_SET,
    "sharing made by json.patch": doubled(f"json.patch([{{x}}], {COPY})", "[1]") + IN_A_SET,
    "sharing as a key": SHARED + "p := count({last: 1})",
    "sharing sorted": SHARED + "p := count(sort([last, x59, last]))",
    "sharing in the operand of a function": "f(x) := [x]\n\n" + SHARED + "p := count(f(last))",
    "a huge number rounded": ("p := round(input)", "1e999999999"),
    "a huge number formatted": ('p := count(sprintf("%d", [input]))', "1e999999999"),
    "a huge number in another base": ("p := count(format_int(input, 2))", "1e999999999"),
    "a huge number added to": ("p := input + 1 > 0", "1e999999999"),
    "a huge number multiplied": ("p := input * input > 0", "1e999999999"),
    "a huge number compared": ("p := input > 10", "1e999999999"),
    "the remainder of a huge number": ("p := input % 7", "1e999999999"),
    "a huge position": ("p := [1, 2][input]", "1e999999999"),
    "a huge shift": ("p := bits.rsh(input, 1)", "1e999999999"),
    "a huge offset": ('p := substring("abc", 0, input)', "1e999999999"),
    "a huge slice": ("p := array.slice([1, 2], 0, input)", "1e999999999"),
    "a range to a huge number": ("p := count(numbers.range(1, input))", "1e999999999"),
    "a huge number as a key": ('p := {input: 1, "a": 2}.a', "1e999999999"),
    "a huge number marshalled": ("p := count(json.marshal(input))", "1e999999999"),
    "a huge number in a text": ("p := to_number(input)", '"1e999999999"'),
    "a huge number of bytes": ("p := units.parse_bytes(input)", '"1e999999999"'),
    "a huge number of seconds": ("p := time.date(input)", "1e999999999"),
    "a tiny number": ("p := [input + 1, round(input), input * input, 1 / input]", "1e-999999999"),
    "a number of many digits": ("p := input * 3", "9" * 4000),
}

# What is done with a document that nests deeper than Python's stack.
DEEPLY = {
    "marshalled": "p := count(json.marshal(d))",
    "formatted": 'p := count(sprintf("%v", [d]))',
    "compared": "p if d == [d]",
    "in a set": "p := count({d})",
    "walked": "p := count([1 | walk(d, _)])",
    "sorted": "p := count(sort([d, [d]]))",
    "given back": "p := d",
}


def run_case(case: str | tuple[str, str], budget: int = BUDGET) -> str:
    return run(case, budget=budget) if isinstance(case, str) else run(*case, budget=budget)


@pytest.mark.parametrize("what", STOPPED)
def test_stops_with_an_error_of_ours(what: str) -> None:
    ended = run_case(STOPPED[what])
    assert ended.split()[0] in ERRORS, ended


@pytest.mark.parametrize("what", BORNE)
def test_ends_soon(what: str) -> None:
    ended = run_case(BORNE[what])
    assert ended.split()[0] in ("answered", *ERRORS), ended


@pytest.mark.parametrize("what", DEEPLY)
@pytest.mark.parametrize("depth", [300, 900, pytest.param(5_000, marks=pytest.mark.long)])
def test_depth(what: str, depth: int) -> None:
    """Depth made by the policy itself: JSON readers refuse it before it comes here."""
    nested = "".join(f"x{number + 1} := [x{number}]\n\n" for number in range(depth))
    ended = run(f"x0 := 1\n\n{nested}\n\nd := x{depth}\n\n{DEEPLY[what]}")
    assert ended.split()[0] in ("answered", "PolicyRefused", *ERRORS), ended


@pytest.mark.long
@pytest.mark.parametrize("what", STOPPED)
def test_stops_within_the_whole_budget(what: str) -> None:
    ended = run_case(STOPPED[what], budget=10_000_000)
    assert ended.split()[0] in ERRORS, ended
