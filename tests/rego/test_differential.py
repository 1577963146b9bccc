"""Generated policies and inputs: where regopy accepts a policy, our answer is regopy's.

regopy is wrong about some things, and the generator keeps away from those:

* it keeps sets in any order, so that no list is made from a set, and lists are compared in any order;
* it finds the empty text in any, so that something is always looked for;
* it puts types in another order, and 10 before 2, so that only values of one type are compared, and with `<`;
* it knows 64-bit numbers and floats, so that numbers stay small and whole;
* a builtin that gets a wrong operand is sometimes false, so that operands have the right type or are undefined;
* it does not read `if every` and `if not .. with` without braces, nor every domain, so that bodies have braces and
  `every` goes over what has a name;
* a variable of an inner body hides one of the same name wrongly, so that all names differ;
* a pattern in an inner body is undefined where it takes a variable of the outer one, so that only outer bodies take
  values apart (regorus gives such bodies the value that we give them);
* its sprintf spoils texts that another builtin made, so that there is none;
* it takes the process down now and then, so that it has one of its own.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from subprocess import DEVNULL, PIPE
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.rego import values
from tidegate.rego.compile import compile_modules
from tidegate.rego.errors import EvaluationError, PolicyRefused
from tidegate.rego.parser import parse_body
from tidegate.rego.source import Source

QUERY = parse_body(Source("query", "data.test = x"))
WORDS = ("a", "b", "ab", "ba", "gpt", "gpt-4", "eu", "")
words = st.sampled_from(WORDS)
numbers = st.integers(-3, 12)
item = st.fixed_dictionaries(
    {},
    optional={"name": words, "size": numbers, "tags": st.lists(words, max_size=3), "live": st.booleans()},
)
inputs = st.fixed_dictionaries(
    {},
    optional={
        "n": numbers,
        "s": words,
        "flag": st.booleans(),
        "numbers": st.lists(numbers, max_size=4),
        "words": st.lists(words, max_size=4),
        "sizes": st.dictionaries(words, numbers, max_size=3),
        "items": st.lists(item, max_size=4),
    },
)


class Policy:
    """A policy in the making: what has been defined and bound so far, by type.

    The types are number, string, boolean, numbers, strings (collections of those), sizes (an object from strings to
    numbers), items (a collection of objects) and item.
    """

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rules: list[str] = []
        self.known: dict[str, list[str]] = {
            "number": ["input.n"],
            "string": ["input.s"],
            "boolean": ["input.flag"],
            "numbers": ["input.numbers"],
            "strings": ["input.words"],
            "sizes": ["input.sizes"],
            "items": ["input.items"],
        }
        self.functions: list[str] = []  # from a number to a number
        self.names = 0
        self.depth = 0
        self.inner = 0  # bodies of comprehensions around what is made

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def term(self, kind: str) -> str:
        """A term of a type, without regard to whether it is defined."""
        known = self.known.get(kind, [])
        if known and (self.depth > 3 or self.pick(True, True, False)):
            return self.pick(*known)
        self.depth += 1
        made = getattr(self, f"make_{kind}")()
        self.depth -= 1
        return made

    def make_number(self) -> str:
        if self.depth > 2:
            return str(self.draw(numbers))
        match self.pick("literal", "sum", "count", "call", "length", "item", "lookup", "total", "position", "default"):
            case "sum":
                return f"({self.term('number')} {self.pick('+', '-')} {self.term('number')})"
            case "count":
                return f"count({self.term(self.pick('numbers', 'strings', 'sizes', 'items'))})"
            case "call" if self.functions:
                return f"{self.pick(*self.functions)}({self.term('number')})"
            case "length":
                return f"count({self.term('string')})"
            case "item" if self.known.get("item"):
                return f"{self.pick(*self.known['item'])}.size"
            case "lookup":
                return f"{self.term('sizes')}[{self.term('string')}]"
            case "total":
                return f"sum({self.term('numbers')})"
            case "position":
                return f'indexof({self.term("string")}, "a")'
            case "default":
                return f"object.get({self.term('sizes')}, {self.term('string')}, {self.term('number')})"
        return str(self.draw(numbers))

    def make_string(self) -> str:
        match self.pick("literal", "upper", "concat", "item", "replace", "trim"):
            case "upper" if self.depth < 3:
                return f"upper({self.term('string')})"
            case "concat" if self.depth < 3:
                return f'concat("-", [{self.term("string")}, {self.term("string")}])'
            case "item" if self.known.get("item"):
                return f"{self.pick(*self.known['item'])}.name"
            case "replace" if self.depth < 3:
                return f'replace({self.term("string")}, "a", {self.term("string")})'
            case "trim" if self.depth < 3:
                return f'trim({self.term("string")}, "ab")'
        return json.dumps(self.draw(words))

    def make_boolean(self) -> str:
        match self.pick("literal", "compare", "member", "item", "search"):
            case "compare" if self.depth < 3:
                return f"({self.comparison()})"
            case "member" if self.depth < 3:
                return f"({self.membership()})"
            case "item" if self.known.get("item"):
                return f"{self.pick(*self.known['item'])}.live"
            case "search" if self.depth < 3:
                name = self.pick("startswith", "endswith", "contains")
                return f"{name}({self.term('string')}, {self.term('string')})"
        return self.pick("true", "false")

    def make_numbers(self) -> str:
        return self.collection("number")

    def make_strings(self) -> str:
        return self.collection("string")

    def make_items(self) -> str:
        return f'[{{"name": {self.term("string")}, "size": {self.term("number")}, "live": true}}]'

    def make_sizes(self) -> str:
        if self.depth > 2 or self.pick(True, False):
            return f"{{{self.term('string')}: {self.term('number')}}}"

        def made() -> str:
            key, size = self.name("k"), self.name("n")
            return f"{{{key}: {size} | some {key} in {self.term('strings')}; {size} := {self.term('number')}}}"

        return self.scoped(made)

    def collection(self, kind: str) -> str:
        """An array or a set as written, a comprehension, or an operation on sets."""
        if self.depth > 2 or self.pick(True, False):
            elements = [self.term(kind) for _ in range(self.pick(1, 2))]
            return f"{{{', '.join(elements)}}}" if self.pick(True, False) else f"[{', '.join(elements)}]"
        if self.pick(True, False):
            one, other = self.comprehension(kind), self.comprehension(kind)
            return f"{self.pick('union', 'intersection')}({{{one}, {other}}})"
        return self.comprehension(kind)

    def comprehension(self, kind: str) -> str:
        def made() -> str:
            self.inner += 1
            body = self.body(self.pick(1, 2))
            self.inner -= 1
            element = self.name("e")
            return f"{{{element} | {'; '.join(body)}; {element} := {self.term(kind)}}}"

        return self.scoped(made)

    def scoped(self, make: Any) -> Any:
        """What is bound inside is not seen outside."""
        before = {kind: list(terms) for kind, terms in self.known.items()}
        made = make()
        self.known = before
        return made

    def comparison(self) -> str:
        kind = self.pick("number", "string")
        operator = self.pick("==", "!=", "<", "<=", ">", ">=")
        return f"{self.term(kind)} {operator} {self.term(kind)}"

    def membership(self) -> str:
        kind = self.pick("number", "string")
        return f"{self.term(kind)} in {self.term(kind + 's')}"

    def body(self, length: int) -> list[str]:
        """Statements, each of which may use what those before it bound."""
        return [self.statement() for _ in range(length)]

    def statement(self) -> str:
        kinds = ["some", "some", "items", "compare", "member", "assign", "not", "pairs", "truth", "anywhere"]
        if not self.inner:
            kinds.append("apart")
        if self.depth < 2:
            kinds += ["every", "with"]
        match self.pick(*kinds):
            case "some":
                kind = self.pick("number", "string")
                domain, variable = self.term(kind + "s"), self.name("v")
                self.known[kind].append(variable)
                return f"some {variable} in {domain}"
            case "items":
                domain, variable = self.term("items"), self.name("item")
                self.known.setdefault("item", []).append(variable)
                return f"some {variable} in {domain}"
            case "pairs":
                domain, name, size = self.term("sizes"), self.name("k"), self.name("v")
                self.known["string"].append(name)
                self.known["number"].append(size)
                return f"some {name}, {size} in {domain}"
            case "apart":
                return self.apart()
            case "anywhere":
                return f"input.items[_].{self.pick('name', 'tags[_]')} == {self.term('string')}"
            case "assign":
                kind = self.pick("number", "string", "boolean", "numbers")
                value, variable = self.term(kind), self.name("v")
                self.known[kind].append(variable)
                return f"{variable} := {value}"
            case "not":
                return f"not {self.pick(self.comparison, self.membership, lambda: self.term('boolean'))()}"
            case "member":
                return self.membership()
            case "truth":
                return self.term("boolean")
            case "every":
                return self.every()
            case "with":
                return self.replaced()
        return self.comparison()

    def apart(self) -> str:
        """A value taken apart, in one of several ways; the pattern may not fit."""
        number, string = self.name("v"), self.name("v")
        of_numbers, of_strings = self.term("number"), self.term("string")
        self.known["number"].append(number)
        self.known["string"].append(string)
        return self.pick(
            f"[{number}, {string}] := [{of_numbers}, {of_strings}]",
            f"[{number}, [{string}, 1]] = [{of_numbers}, [{of_strings}, {self.pick('1', 'input.n')}]]",
            f'{{"size": {number}, "name": {string}}} = {{"name": {of_strings}, "size": {of_numbers}}}',
            f'input.items[_] = {{"size": {number}, "name": {string}}}',
            f"input.sizes[{string}] = {number}",
        )

    def every(self) -> str:
        kind = self.pick("number", "string")
        domain = self.pick(*self.known[kind + "s"])

        def made() -> str:
            variable = self.name("v")
            self.known[kind].append(variable)
            return f"every {variable} in {domain} {{ {self.comparison()} }}"

        self.depth += 1
        text = self.scoped(made)
        self.depth -= 1
        return str(text)

    def replaced(self) -> str:
        rules = [rule for rule in self.known["number"] if rule.startswith("rule")]
        if not rules:
            return self.comparison()
        variable = self.name("v")
        target, value = self.pick(("input", json.dumps({"n": 5, "words": ["a"]})), ("input.n", "7"), ("input.s", '"b"'))
        text = f"{variable} := {self.pick(*rules)} with {target} as {value}"
        self.known["number"].append(variable)
        return text

    def define(self) -> None:
        """One more rule, in one or two definitions; later ones may use it."""
        name = self.name("rule")
        kind = self.pick("complete", "complete", "set", "object", "function", "else", "default")
        if kind == "set":
            element = self.pick("number", "string")
            for _ in range(self.pick(1, 2)):
                self.scoped(lambda: self.add(f"{name} contains {{}}", element))
            self.known[element + "s"].append(name)
        elif kind == "object":
            self.scoped(lambda: self.add_object(name))
            self.known["sizes"].append(name)
        elif kind == "function":
            self.scoped(lambda: self.add_function(name))
            self.functions.append(name)
        else:
            self.define_value(name, kind)

    def define_value(self, name: str, kind: str) -> None:
        value = self.pick("number", "string", "boolean")
        if kind == "default":
            constant = {"number": "0", "string": '"none"', "boolean": "false"}[value]
            self.rules.append(f"default {name} := {constant}")
        self.scoped(lambda: self.add(f"{name} := {{}}", value))
        if kind == "else":
            body = self.scoped(lambda: (self.body(1)[0], self.term(value)))
            self.rules[-1] += f" else := {body[1]} if {{ {body[0]} }}"
        self.known[value].append(name)

    def add(self, head: str, kind: str) -> None:
        body = self.body(self.pick(1, 2, 3))
        self.rules.append(f"{head.format(self.term(kind))} if {{ {'; '.join(body)} }}")

    def add_object(self, name: str) -> None:
        body = self.body(self.pick(1, 2))
        self.rules.append(f"{name}[{self.term('string')}] := {self.term('number')} if {{ {'; '.join(body)} }}")

    def add_function(self, name: str) -> None:
        operand = self.name("x")
        self.known["number"].append(operand)
        body = self.body(self.pick(1, 2))
        self.rules.append(f"{name}({operand}) := {self.term('number')} if {{ {'; '.join(body)} }}")


@st.composite
def policies(draw: st.DrawFn) -> str:
    policy = Policy(draw)
    for _ in range(draw(st.integers(2, 6))):
        policy.define()
    return "package test\n\n" + "\n\n".join(policy.rules) + "\n"


def in_any_order(value: Any) -> Any:
    """A document whose lists are in one order, and numbers in one form."""
    if isinstance(value, dict):
        return {name: in_any_order(held) for name, held in value.items()}
    if isinstance(value, list):
        return sorted((in_any_order(held) for held in value), key=lambda held: json.dumps(held, sort_keys=True))
    return value


def ours(policy: str, document: Any) -> Any:
    """The package's document, the word `error`, or None where a type that can be known beforehand is wrong."""
    try:
        program = compile_modules([Source("test.rego", policy)], {}, entries={"eval": QUERY})
    except PolicyRefused as refused:
        if all(problem.code == "rego_type_error" for problem in refused.problems):
            return None
        raise
    try:
        answers = program.evaluate("eval", values.of(document))
    except EvaluationError:
        return "error"
    return values.to_json(answers[0])["x"] if answers else "undefined"


REGOPY = """
import json, os, sys
from regopy import Input, Interpreter

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # it writes its complaints where the answers belong
for line in sys.stdin:
    policy, document = json.loads(line)
    try:
        interpreter = Interpreter()
        interpreter.add_module("test.rego", policy)
        interpreter.set_input(Input(document))
        answer = str(interpreter.query("data.test = x"))
        print(answer.replace(chr(10), " ") if answer[:1] == "{" else '"error"', file=answers, flush=True)
    except Exception:
        print("", file=answers, flush=True)
"""


class Regopy:
    """regopy in a process of its own, which is started again when it has fallen."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", REGOPY], stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True
        )  # fmt: skip

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()

    def answer(self, policy: str, document: Any) -> Any:
        """The package's document, the word `error`, or None where it does not accept the policy."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([policy, document]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            self.start()
        if not line.strip():
            return None
        answer = json.loads(line)
        return answer if answer == "error" else answer["bindings"]["x"]


@pytest.fixture(scope="module")
def regopy() -> Iterator[Regopy]:
    process = Regopy()
    yield process
    process.stop()


def agree(regopy: Regopy, policy: str, document: Any) -> None:
    answer, other = ours(policy, document), regopy.answer(policy, document)
    if answer is not None and other is not None:
        assert in_any_order(answer) == in_any_order(other), policy


@given(policies(), inputs)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_regopy_gives_the_same_answer(regopy: Regopy, policy: str, document: Any) -> None:
    agree(regopy, policy, document)


@pytest.mark.long
@given(policies(), inputs)
@settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_regopy_gives_the_same_answer_to_many_more(regopy: Regopy, policy: str, document: Any) -> None:
    agree(regopy, policy, document)
