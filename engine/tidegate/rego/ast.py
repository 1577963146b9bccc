"""What the parser makes of a module, and what the resolver leaves of it for the lowering.

Every node knows where it stands: `start` and `end` are offsets into the module's source.

Operators are calls of the builtins they stand for: `a + b` is plus, `a == b` equal, `a := b` assign, `a = b` eq,
`a in b` internal.member_2, `k, v in b` internal.member_3, `a & b` and.
"""

from __future__ import annotations

from typing import Literal as Choice
from typing import TypeAlias

from msgspec import Struct

from tidegate.rego.source import Source


class Node(Struct, frozen=True, kw_only=True, eq=False):
    start: int
    end: int


# terms


class Scalar(Node, frozen=True, eq=False):
    """null, a boolean, a number or a string: the value as `values.py` has it."""

    value: bool | int | float | object | None


class Var(Node, frozen=True, eq=False):
    """A name. `_` is a wildcard; after resolving, every variable of a rule has a name of its own."""

    name: str


class Ref(Node, frozen=True, eq=False):
    """`head.a[b]`: a term and what follows it. `.a` and `["a"]` are the same Scalar."""

    head: Term
    path: tuple[Term, ...]


class Call(Node, frozen=True, eq=False):
    """A call; the name is its parts as written, after resolving ("data", "pkg", "f") or the parts of a builtin's."""

    name: tuple[str, ...]
    args: tuple[Term, ...]
    name_end: int  # where the written name ends; an operator's name stands for itself


class Array(Node, frozen=True, eq=False):
    elements: tuple[Term, ...]


class Object(Node, frozen=True, eq=False):
    pairs: tuple[tuple[Term, Term], ...]


class Set(Node, frozen=True, eq=False):
    elements: tuple[Term, ...]


class ArrayComprehension(Node, frozen=True, eq=False):
    element: Term
    body: Body


class SetComprehension(Node, frozen=True, eq=False):
    element: Term
    body: Body


class ObjectComprehension(Node, frozen=True, eq=False):
    key: Term
    value: Term
    body: Body


class Template(Node, frozen=True, eq=False):
    """`$"a {x} b"`: strings as they are, and terms between them. A part that is undefined prints `<undefined>`.

    An Expression stands for a term with modifiers: `$"{x with input as y}"`.
    """

    parts: tuple[str | Term | Expression, ...]


Term: TypeAlias = (
    Scalar
    | Var
    | Ref
    | Call
    | Array
    | Object
    | Set
    | ArrayComprehension
    | SetComprehension
    | ObjectComprehension
    | Template
)

# bodies


class With(Node, frozen=True, eq=False):
    """`with target as value`: input, a part of input or data, or a function (then target is its name's parts)."""

    target: Ref | Var
    value: Term


class Expression(Node, frozen=True, eq=False):
    """A term that must be neither false nor undefined."""

    term: Term
    negated: bool = False
    modifiers: tuple[With, ...] = ()


class Some(Node, frozen=True, eq=False):
    """`some x, y`: declares, and does nothing. The resolver drops it."""

    names: tuple[Var, ...]


class SomeIn(Node, frozen=True, eq=False):
    """`some k, v in domain`: `key` is None in the short form; patterns are allowed in both places."""

    key: Term | None
    value: Term
    domain: Term
    modifiers: tuple[With, ...] = ()


class Every(Node, frozen=True, eq=False):
    """`every k, v in domain { body }`"""

    key: Var | None
    value: Var
    domain: Term
    body: Body
    modifiers: tuple[With, ...] = ()


Statement: TypeAlias = Expression | Some | SomeIn | Every
Body: TypeAlias = tuple[Statement, ...]

# modules


class Annotation(Node, frozen=True, eq=False):
    """A `# METADATA` block: its YAML as a value, with the scope it has or was given."""

    scope: Choice["rule", "document", "package", "subpackages"]
    document: dict[str, object]


class Head(Node, frozen=True, eq=False):
    """What a rule defines.

    `path` is the name as written: a Var, or a Ref of it (`p.q[x].r`); after resolving it is a Ref of `data`.
    kind    written as                 args   key    value
    value   p := v, p.q[x] := v, p     None   None   v (true where nothing is written)
    set     p contains k               None   k      None
    func    f(a, b) := v               a, b   None   v
    """

    kind: Choice["value", "set", "func"]
    path: Var | Ref
    args: tuple[Term, ...] | None = None
    key: Term | None = None
    value: Term | None = None


class Rule(Node, frozen=True, eq=False):
    """One rule. An `else` is a Rule whose head has the same path and args; `default` ones have an empty body."""

    head: Head
    body: Body  # () where there is no `if`
    otherwise: Rule | None = None
    default: bool = False
    annotations: tuple[Annotation, ...] = ()


class Import(Node, frozen=True, eq=False):
    """`import data.a.b as c`; the alias is the last part where none is written. `rego.v1` and `future.*` too."""

    path: tuple[str, ...]
    alias: str | None = None


class Module(Node, frozen=True, eq=False):
    source: Source
    package: tuple[str, ...]  # ("data", "a", "b")
    imports: tuple[Import, ...]
    rules: tuple[Rule, ...]
    annotations: tuple[Annotation, ...] = ()  # those of the package and its subpackages
    package_end: int = 0
