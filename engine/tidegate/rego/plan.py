"""OPA's intermediate representation: the seam between a front end and the code generation.

`read` takes the plan.json that `opa build -t plan` makes; the lowering makes the same from a checked module. Strings
and numbers stand in the statements themselves here, not in tables. An operand is a local variable (an int), a string
or a boolean; local 0 is the input and local 1 the data of every function and plan.

A block runs its statements in order. A statement that is undefined leaves its block, and the statement that holds
the block goes on behind it; `Break(n)` leaves the block it stands in and n more around it.
"""

import json
from typing import Any, TypeAlias

from msgspec import Struct

from tidegate.rego.errors import PolicyRefused, Problem
from tidegate.rego.values import Value, number

Operand: TypeAlias = int | str | bool
INPUT = 0
DATA = 1


class Statement(Struct, kw_only=True, eq=False):
    """Where it comes from: the number of a file, a line and a column; for reports only."""

    file: int = 0
    row: int = 0
    col: int = 0


Block: TypeAlias = list[Statement]


class Call(Statement):
    function: str  # the name of a Function or of a builtin
    args: list[Operand]
    result: int


class CallDynamic(Statement):
    """Calls the function whose path the operands give; undefined where there is none."""

    path: list[Operand]
    args: list[Operand]
    result: int


class Assign(Statement):
    source: Operand
    target: int


class AssignOnce(Statement):
    """A conflict where the target has another value already."""

    source: Operand
    target: int


class Make(Statement):
    """A number or null."""

    value: Value
    target: int


class MakeArray(Statement):
    target: int


class MakeObject(Statement):
    target: int


class MakeSet(Statement):
    target: int


class Append(Statement):
    value: Operand
    array: int


class Insert(Statement):
    key: Operand
    value: Operand
    object: int


class InsertOnce(Statement):
    """A conflict where the key has another value already."""

    key: Operand
    value: Operand
    object: int


class Add(Statement):
    value: Operand
    set: int


class Merge(Statement):
    """a and b as one object; where both have a key, a's value unless both are objects."""

    a: int
    b: int
    target: int


class Dot(Statement):
    source: Operand
    key: Operand
    target: int


class Len(Statement):
    source: Operand
    target: int


class Equal(Statement):
    a: Operand
    b: Operand


class NotEqual(Statement):
    a: Operand
    b: Operand


class IsArray(Statement):
    source: Operand


class IsObject(Statement):
    source: Operand


class IsSet(Statement):
    source: Operand


class IsDefined(Statement):
    source: int


class IsUndefined(Statement):
    source: int


class Reset(Statement):
    target: int


class Return(Statement):
    source: int


class ResultAdd(Statement):
    value: int


class Nop(Statement):
    pass


class Break(Statement):
    index: int


class Blocks(Statement):
    """Every block in turn."""

    blocks: list[Block]


class Scan(Statement):
    """The block once for every member; a scalar has none. Sets give each member as key and value."""

    source: int
    key: int
    value: int
    block: Block


class Not(Statement):
    """Undefined if the block's end is reached."""

    block: Block


class With(Statement):
    """The block with `local` (the input, or the data) changed at `path`; undefined where the block is."""

    local: int
    path: list[str]
    value: Operand
    block: Block


class Function(Struct, kw_only=True, eq=False):
    """A rule (two parameters: input and data) or a function of a policy."""

    name: str
    path: tuple[str, ...]  # ("g0", "pkg", "rule")
    params: list[int]
    result: int
    blocks: list[Block]


class Entry(Struct, kw_only=True, eq=False):
    """A query: its answers are what its ResultAdd statements saw."""

    name: str
    blocks: list[Block]


class Plan(Struct, kw_only=True, eq=False):
    entries: list[Entry]
    functions: list[Function]
    files: list[str]


# reading

_PLAIN: dict[str, Any] = {
    "ReturnLocalStmt": Return,
    "ResultSetAddStmt": ResultAdd,
    "AssignVarStmt": Assign,
    "AssignVarOnceStmt": AssignOnce,
    "MakeArrayStmt": MakeArray,
    "MakeObjectStmt": MakeObject,
    "MakeSetStmt": MakeSet,
    "ArrayAppendStmt": Append,
    "ObjectInsertStmt": Insert,
    "ObjectInsertOnceStmt": InsertOnce,
    "SetAddStmt": Add,
    "ObjectMergeStmt": Merge,
    "DotStmt": Dot,
    "LenStmt": Len,
    "EqualStmt": Equal,
    "NotEqualStmt": NotEqual,
    "IsArrayStmt": IsArray,
    "IsObjectStmt": IsObject,
    "IsSetStmt": IsSet,
    "IsDefinedStmt": IsDefined,
    "IsUndefinedStmt": IsUndefined,
    "ResetLocalStmt": Reset,
    "NopStmt": Nop,
    "BreakStmt": Break,
    "CallStmt": Call,
    "CallDynamicStmt": CallDynamic,
    "ScanStmt": Scan,
    "NotStmt": Not,
    "BlockStmt": Blocks,
    "WithStmt": With,
}
_WRITTEN = {"function": "func"}  # where the IR has another name than we


class _Reader:
    def __init__(self, document: dict[str, Any]) -> None:
        static = document.get("static") or {}
        self.strings = [entry["value"] for entry in static.get("strings") or []]
        self.files = [entry["value"] for entry in static.get("files") or []]

    def block(self, block: dict[str, Any] | None) -> Block:
        return [self.statement(one["type"], one["stmt"]) for one in (block or {}).get("stmts") or []]

    def statement(self, kind: str, fields: dict[str, Any]) -> Statement:
        where = {name: fields.get(name, 0) for name in ("file", "row", "col")}
        if kind == "MakeNumberRefStmt":
            return Make(value=number(self.strings[fields["Index"]]), target=fields["target"], **where)
        if kind in ("MakeNumberIntStmt", "AssignIntStmt"):
            return Make(value=fields["value"], target=fields["target"], **where)
        if kind == "MakeNullStmt":
            return Make(value=None, target=fields["target"], **where)
        made: type[Statement] = _PLAIN[kind]
        return made(**{name: self.field(name, fields.get(_WRITTEN.get(name, name))) for name in made.__struct_fields__})

    def field(self, name: str, written: Any) -> Any:
        if isinstance(written, dict) and "type" in written:
            return self.strings[written["value"]] if written["type"] == "string_index" else written["value"]
        if name == "block":
            return self.block(written)
        if name == "blocks":
            return [self.block(block) for block in written or []]
        if name == "path":  # of a WithStmt: numbers of strings; of a CallDynamicStmt: operands
            return [self.strings[part] if type(part) is int else self.field("", part) for part in written or []]
        if name == "args":
            return [self.field("", argument) for argument in written or []]
        return 0 if written is None else written


def read(text: bytes | str) -> Plan:
    """The plan of a plan.json; PolicyRefused where it is none."""
    try:
        made = from_document(json.loads(text))
        _check(made)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError, RecursionError) as error:
        said = str(error) if type(error) is ValueError else type(error).__name__
        raise PolicyRefused([Problem("rego_plan_error", f"this is not a plan of OPA's IR: {said}")]) from None
    return made


# checking: what the code generation relies upon, in a plan that somebody else made

_LOCALS = 1 << 20  # in one function; more is no plan but an attempt
_OPERANDS = frozenset(("source", "key", "value", "a", "b"))


def _check(made: Plan) -> None:
    params = {function.name: len(function.params) for function in made.functions}
    for function in made.functions:
        if len(function.params) < 2 or function.params[:2] != [INPUT, DATA]:
            raise ValueError(f"function `{function.name}` does not take the input and the data")
        for local in (*function.params, function.result):
            _check_local(local)
        for block in function.blocks:
            _check_block(block, 0, params)
    for entry in made.entries:
        for block in entry.blocks:
            _check_block(block, 0, params)


def _check_block(block: Block, depth: int, params: dict[str, int]) -> None:
    for statement in block:
        for name in statement.__struct_fields__:
            value = getattr(statement, name)
            if name in ("target", "result", "array", "object", "set", "local"):
                _check_local(value)
            elif name in _OPERANDS and type(statement) is not Make:
                _check_operand(value)
            elif name in ("args", "path") and type(statement) in (Call, CallDynamic):
                for operand in value:
                    _check_operand(operand)
        if type(statement) is With and statement.local not in (INPUT, DATA):
            raise ValueError("a `with` changes neither the input nor the data")
        if type(statement) is Break and not 0 <= statement.index <= depth:
            raise ValueError(f"a break leaves {statement.index} blocks where there are {depth}")
        if type(statement) is Call and params.get(statement.function, len(statement.args)) != len(statement.args):
            raise ValueError(f"`{statement.function}` is called with {len(statement.args)} operands")
        inner = getattr(statement, "blocks", None) or [getattr(statement, "block", [])]
        for held in inner:
            _check_block(held, depth + 1, params)


def _check_local(value: object) -> None:
    if type(value) is not int or not 0 <= value < _LOCALS:
        raise ValueError(f"{value!r} is not a local variable")


def _check_operand(value: object) -> None:
    if type(value) is not str and type(value) is not bool:
        _check_local(value)


def from_document(document: dict[str, Any]) -> Plan:
    """The plan of a decoded plan.json."""
    reader = _Reader(document)
    entries = [
        Entry(name=one["name"], blocks=[reader.block(block) for block in one["blocks"]])
        for one in (document.get("plans") or {}).get("plans") or []
    ]
    functions = [
        Function(
            name=one["name"],
            path=tuple(one.get("path") or ()),
            params=one["params"],
            result=one["return"],
            blocks=[reader.block(block) for block in one["blocks"]],
        )
        for one in (document.get("funcs") or {}).get("funcs") or []
    ]
    return Plan(entries=entries, functions=functions, files=reader.files)
