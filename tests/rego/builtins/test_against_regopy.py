"""Our answers to calls with usual operands are regopy's, for the builtins that it has right.

It keeps sets in any order, knows 64-bit numbers only, writes negative numbers as unsigned ones, has no widths, orders
versions as text, encodes blanks of a query otherwise, and removes a number that a path leads through: none of that
occurs here. A query can end its process, so that it has one of its own, which is given every query at once.
"""

import json
import subprocess
import sys
from itertools import product
from typing import Any

from tests.rego.builtins.calls import call
from tidegate.rego.builtins.text import rego_text
from tidegate.rego.errors import BuiltinError
from tidegate.rego.values import UNDEFINED, to_json

WORDS = ("", "a", "aXb", "abcabc", "a/b/c", " x ", "1.5", "hello wörld")
SMALL = (0, 1, 2, 5)
ARRAYS = ([], [1], ["a", "b"], [1, [2, 3], "x"])
OBJECTS = ({}, {"a": 1}, {"a": {"b": 2}, "c": [1, {"d": 3}]})
AMOUNTS = ("1", "1.5", "100m", "2K", "3Mi", "0.5G", "1e3")
BITS = (0, 1, 12, 255, -7)

CALLS: dict[str, tuple[tuple[Any, ...], ...]] = {
    "contains": (WORDS, WORDS),
    "startswith": (WORDS, WORDS),
    "endswith": (WORDS, WORDS),
    "split": (WORDS, ("/", "a", "bc")),
    "replace": (WORDS, ("a", "bc"), ("", "yy")),
    "trim": (WORDS, (" ", "ac")),
    "trim_left": (WORDS, (" ", "ac")),
    "trim_right": (WORDS, (" ", "ac")),
    "trim_prefix": (WORDS, ("a", "abc")),
    "trim_suffix": (WORDS, ("c", "abc")),
    "indexof": (WORDS, ("a", "bc")),
    "indexof_n": (WORDS, ("a", "bc")),
    "substring": (WORDS, SMALL, (-1, 0, 2)),
    "strings.count": (WORDS, ("a", "bc")),
    "strings.reverse": (WORDS,),
    "concat": ((",", ""), ([], ["a"], ["a", "b"])),
    "sprintf": (("%v", "<%v>"), (["a"], [1], [1.5], [[1, "a", None, {"k": True}]])),
    "format_int": ((1, 7, 255), (8, 10, 16)),
    "numbers.range": ((-2, 0, 3), (-1, 4)),
    "bits.and": (BITS, BITS),
    "bits.or": (BITS, BITS),
    "bits.xor": (BITS, BITS),
    "rem": ((-7, 0, 7), (-3, 2)),
    "round": ((1.4, 1.5, -1.5, 2, -2.4),),
    "sum": (([], [1, 2], [1.5, 0.5]),),
    "product": (([], [2, 3], [1.5, 2]),),
    "array.concat": (ARRAYS, ARRAYS),
    "array.reverse": (ARRAYS,),
    "array.slice": (ARRAYS, (0, 1), (1, 2, 9)),
    "object.get": (OBJECTS, ("a", ["a", "b"], ["c", 1, "d"], []), ("none",)),
    "object.remove": (OBJECTS, (["a"], ["c", "x"])),
    "object.filter": (OBJECTS, (["a"], ["c", "x"])),
    "object.union": (OBJECTS, OBJECTS),
    "json.filter": (OBJECTS, (["a/b"], ["c/1", "x"], [["a"]])),
    "json.remove": (OBJECTS, (["c/0", "x"], [["a"]])),
    "json.marshal": ((*OBJECTS, *ARRAYS),),
    "type_name": ((None, True, 1, "a", [], {}),),
    "units.parse": (AMOUNTS,),
    "units.parse_bytes": (("1", "2KB", "3MiB", "0.5G"),),
    "regex.match": (("a", "^a+$", "[bc]{2}", r"\s"), WORDS),
    "regex.split": (("[/X]",), WORDS[1:]),
    "regex.find_n": (("[a-c]+",), WORDS, (-1, 1)),
    "regex.replace": (WORDS, ("[ac]",), ("-", "")),
    "glob.match": (("a*", "*b*", "a?b", "[a-b]*", "{a,aXb}"), ([],), WORDS),
    "time.date": ((0, 1_517_832_000_000_000_000),),
    "time.clock": ((0, 1_517_832_000_000_000_000),),
}

ANSWERS = """
import json, sys, regopy
interpreter = regopy.Interpreter()
for query in json.load(sys.stdin):
    print(json.dumps(json.loads(str(interpreter.query(query)))["bindings"]["x"]))
"""


def defined(name: str) -> list[tuple[str, Any]]:
    """The calls that have a result, as Rego writes them, and our results."""
    pairs = []
    for operands in product(*CALLS[name]):
        try:
            result = call(name, *operands)
        except BuiltinError:
            continue
        if result is not UNDEFINED:
            pairs.append((f"{name}({', '.join(map(rego_text, operands))})", to_json(result)))
    return pairs


def test_regopy_answers_the_same() -> None:
    ours = {name: defined(name) for name in CALLS}
    queries = [f"x := [{', '.join(text for text, _ in pairs)}]" for pairs in ours.values()]
    done = subprocess.run(
        [sys.executable, "-c", ANSWERS], input=json.dumps(queries), capture_output=True, text=True, check=True
    )
    theirs = [json.loads(line) for line in done.stdout.splitlines()]
    differing = [
        (text, mine, other)
        for pairs, answers in zip(ours.values(), theirs, strict=True)
        for (text, mine), other in zip(pairs, answers, strict=True)
        if mine != other
    ]
    assert not differing
    assert sum(map(len, ours.values())) > 700
