"""A syntax tree in one line, for tests to compare.

Var x            `x`             Ref       `x["a"][y]`, parts in brackets
Scalar           as JSON         Call      `plus(x, 1)`, `count(x)`
Array            `[a, b]`        Object    `{k: v}`, the empty one `{}`
Set              `<a, b>`        comprehensions `[x | ...]`, `<x | ...>`, `{k: v | ...}`
Template         `$("text", x)`  statements are joined by `; `
"""

from typing import Any

from tidegate.rego import ast, values

# a module with most of what the syntax has
MIXED = """\
package a.b

import data.c as d

# METADATA
# title: first
p.q["x"] := count(y) + 2 * (z - 1) if {
    some k, v in input.xs with input.a as 1
    not ["a", -1, `r`][k] == { "m": f(v) }   # comment
    every e in [t | t := {1, 2}[_]] { e; $"{e} {x with input as e}" }
} else := $`{k}` if g

s contains (x in y) if x
f(a, _) if { a } { b }
default h := { 1 }
"""


def shown(node: Any) -> str:
    """A node, or the statements of a body."""
    if isinstance(node, tuple):
        return "; ".join(map(shown, node))
    return str(FORMS[type(node)](node))


def listed(nodes: tuple[Any, ...]) -> str:
    return ", ".join(map(shown, nodes))


def reference(node: ast.Ref) -> str:
    return shown(node.head) + "".join(f"[{shown(step)}]" for step in node.path)


def template(node: ast.Template) -> str:
    return "$(" + ", ".join(values.json_text(part) if type(part) is str else shown(part) for part in node.parts) + ")"


def modified(node: Any) -> str:
    return "".join(f" with {shown(each.target)} as {shown(each.value)}" for each in node.modifiers)


def some_in(node: ast.SomeIn) -> str:
    key = "" if node.key is None else f"{shown(node.key)}, "
    return f"some {key}{shown(node.value)} in {shown(node.domain)}{modified(node)}"


def every(node: ast.Every) -> str:
    key = "" if node.key is None else f"{shown(node.key)}, "
    return f"every {key}{shown(node.value)} in {shown(node.domain)} {{{shown(node.body)}}}{modified(node)}"


def head(node: ast.Head) -> str:
    args = "" if node.args is None else f"({listed(node.args)})"
    given = f" contains {shown(node.key)}" if node.key is not None else f" := {shown(node.value)}"
    return f"{node.kind} {shown(node.path)}{args}{given}"


def rule(node: ast.Rule) -> str:
    default = "default " if node.default else ""
    body = f" if {{{shown(node.body)}}}" if node.body else ""
    otherwise = f" else {shown(node.otherwise)}" if node.otherwise is not None else ""
    return f"{default}{shown(node.head)}{body}{otherwise}"


FORMS = {
    ast.Scalar: lambda node: values.json_text(node.value),
    ast.Var: lambda node: node.name,
    ast.Ref: reference,
    ast.Call: lambda node: f"{'.'.join(node.name)}({listed(node.args)})",
    ast.Array: lambda node: f"[{listed(node.elements)}]",
    ast.Set: lambda node: f"<{listed(node.elements)}>",
    ast.Object: lambda node: "{" + ", ".join(f"{shown(key)}: {shown(value)}" for key, value in node.pairs) + "}",
    ast.ArrayComprehension: lambda node: f"[{shown(node.element)} | {shown(node.body)}]",
    ast.SetComprehension: lambda node: f"<{shown(node.element)} | {shown(node.body)}>",
    ast.ObjectComprehension: lambda node: f"{{{shown(node.key)}: {shown(node.value)} | {shown(node.body)}}}",
    ast.Template: template,
    ast.Expression: lambda node: f"{'not ' if node.negated else ''}{shown(node.term)}{modified(node)}",
    ast.Some: lambda node: f"some {listed(node.names)}",
    ast.SomeIn: some_in,
    ast.Every: every,
    ast.Head: head,
    ast.Rule: rule,
}
