"""GraphQL documents as policies see them: the syntax tree of gqlparser, which OPA uses, without positions.

A field that is null or empty is left out of the object a policy sees, at any depth; a scalar never is.
"""

from typing import Any, Final, TypeAlias, TypeVar
from typing import Literal as Choice

import msgspec
from msgspec import Struct

from tidegate.rego.errors import BuiltinError
from tidegate.rego.values import Value, to_json

Kind: TypeAlias = Choice["SCALAR", "OBJECT", "INTERFACE", "UNION", "ENUM", "INPUT_OBJECT"]
OperationKind: TypeAlias = Choice["query", "mutation", "subscription"]
VARIABLE, INT, FLOAT, STRING, BLOCK, BOOLEAN, NULL, ENUM, LIST, OBJECT = range(10)  # kinds of values


class Tree(Struct, frozen=True, rename="pascal"):
    """One node; the names of its fields are gqlparser's."""


class Child(Tree, frozen=True):
    """A member of a list, or a field of an input object."""

    value: "Literal"
    name: str = ""


class Literal(Tree, frozen=True):
    kind: int
    raw: str = ""
    children: list[Child] = []
    expected_type_has_default: bool = False


class Argument(Tree, frozen=True):
    name: str
    value: Literal


class Directive(Tree, frozen=True):
    name: str
    arguments: list[Argument] = []
    location: str = ""


class Type(Tree, frozen=True):
    named_type: str = ""
    elem: "Type | None" = None
    non_null: bool = False

    @property
    def name(self) -> str:
        """The type that stands inside all lists."""
        return self.elem.name if self.elem is not None else self.named_type

    def __str__(self) -> str:
        return (f"[{self.elem}]" if self.elem is not None else self.named_type) + ("!" if self.non_null else "")


# what a query consists of


class Selection(Tree, frozen=True):
    """A field has an alias; an inline fragment has a type condition, perhaps an empty one; a spread has only a name."""

    alias: str | None = None
    name: str | None = None
    type_condition: str | None = None
    arguments: list[Argument] = []
    directives: list[Directive] = []
    selection_set: list["Selection"] = []


class Variable(Tree, frozen=True):
    variable: str
    type: Type
    default_value: Literal | None = None
    directives: list[Directive] = []
    used: bool = False


class Operation(Tree, frozen=True):
    operation: OperationKind
    name: str = ""
    variable_definitions: list[Variable] = []
    directives: list[Directive] = []
    selection_set: list[Selection] = []


class Fragment(Tree, frozen=True):
    name: str
    type_condition: str
    variable_definition: list[Variable] = []
    directives: list[Directive] = []
    selection_set: list[Selection] = []


class QueryDocument(Tree, frozen=True):
    operations: list[Operation] = []
    fragments: list[Fragment] = []


# what a schema consists of


class ArgumentDefinition(Tree, frozen=True):
    name: str
    type: Type
    description: str = ""
    default_value: Literal | None = None
    directives: list[Directive] = []


class FieldDefinition(Tree, frozen=True):
    name: str
    type: Type
    description: str = ""
    arguments: list[ArgumentDefinition] = []
    default_value: Literal | None = None
    directives: list[Directive] = []


class EnumValue(Tree, frozen=True):
    name: str
    description: str = ""
    directives: list[Directive] = []


class Definition(Tree, frozen=True):
    kind: Kind
    name: str
    description: str = ""
    directives: list[Directive] = []
    interfaces: list[str] = []
    fields: list[FieldDefinition] = []
    types: list[str] = []
    enum_values: list[EnumValue] = []
    built_in: bool = False


class DirectiveDefinition(Tree, frozen=True):
    name: str
    locations: list[str] = []
    description: str = ""
    arguments: list[ArgumentDefinition] = []
    is_repeatable: bool = False


class RootType(Tree, frozen=True):
    operation: OperationKind
    type: str


class SchemaDefinition(Tree, frozen=True):
    description: str = ""
    directives: list[Directive] = []
    operation_types: list[RootType] = []


class SchemaDocument(Tree, frozen=True):
    schema: list[SchemaDefinition] = []
    schema_extension: list[SchemaDefinition] = []
    directives: list[DirectiveDefinition] = []
    definitions: list[Definition] = []
    extensions: list[Definition] = []


Document = TypeVar("Document", QueryDocument, SchemaDocument)
_EMPTY: Final[tuple[Any, ...]] = (None, [], {})


def shown(document: QueryDocument | SchemaDocument) -> Value:
    """The object that a policy sees."""
    return _pruned(msgspec.to_builtins(document))


def read(value: Value, kind: type[Document]) -> Document:
    """The document that such an object stands for."""
    try:
        return msgspec.convert(_pruned(to_json(value)), kind)
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
        raise BuiltinError(f"the object is no GraphQL document: {error}") from None


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        below = {name: _pruned(held) for name, held in value.items()}
        return {name: held for name, held in below.items() if held not in _EMPTY}
    if isinstance(value, list):
        return [held for held in map(_pruned, value) if held not in _EMPTY]
    return value
