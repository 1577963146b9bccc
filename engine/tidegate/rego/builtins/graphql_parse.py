"""GraphQL text as a tree of gqlparser's making: `graphql-core` parses, and what gqlparser does not take is refused."""

from collections.abc import Iterable
from typing import Any, Final

from graphql import GraphQLError, Lexer, Source, TokenKind, parse
from graphql.language import (
    DefinitionNode,
    DirectiveDefinitionNode,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    InlineFragmentNode,
    ListTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    SchemaDefinitionNode,
    SchemaExtensionNode,
    SelectionSetNode,
    TypeDefinitionNode,
    TypeExtensionNode,
    TypeNode,
    ValueNode,
)

from tidegate.rego.builtins import graphql_tree as tree
from tidegate.rego.errors import BuiltinError

_KINDS: Final = {
    "variable": tree.VARIABLE,
    "int_value": tree.INT,
    "float_value": tree.FLOAT,
    "string_value": tree.STRING,
    "boolean_value": tree.BOOLEAN,
    "null_value": tree.NULL,
    "enum_value": tree.ENUM,
    "list_value": tree.LIST,
    "object_value": tree.OBJECT,
}
_DEFINITION_KINDS: Final[dict[str, tree.Kind]] = {
    "scalar": "SCALAR",
    "object": "OBJECT",
    "interface": "INTERFACE",
    "union": "UNION",
    "enum": "ENUM",
    "input_object": "INPUT_OBJECT",
}


def parse_query(text: str) -> tree.QueryDocument:
    operations: list[tree.Operation] = []
    fragments: list[tree.Fragment] = []
    for node in _definitions(text):
        if getattr(node, "description", None) is not None:
            raise _unexpected(node)
        if isinstance(node, OperationDefinitionNode):
            operations.append(_operation(node))
        elif isinstance(node, FragmentDefinitionNode):
            fragments.append(_fragment(node))
        else:
            raise _unexpected(node)
    return tree.QueryDocument(operations, fragments)


def parse_schema(text: str) -> tree.SchemaDocument:
    document = tree.SchemaDocument([], [], [], [], [])
    for node in _definitions(text):
        if isinstance(node, SchemaDefinitionNode):
            document.schema.append(_schema(node))
        elif isinstance(node, SchemaExtensionNode):
            document.schema_extension.append(_schema(node))
        elif isinstance(node, DirectiveDefinitionNode) and not node.directives:
            document.directives.append(_directive_definition(node))
        elif isinstance(node, TypeDefinitionNode):
            document.definitions.append(_definition(node))
        elif isinstance(node, TypeExtensionNode):
            document.extensions.append(_definition(node))
        else:
            raise _unexpected(node)
    return document


def _definitions(text: str) -> tuple[DefinitionNode, ...]:
    try:
        if Lexer(Source(text)).advance().kind is TokenKind.EOF:
            return ()  # nothing is a document to gqlparser
        found = parse(text, experimental_fragment_arguments=True, allow_empty_selection_sets=False)
    except GraphQLError as error:
        where = error.locations[0] if error.locations else None
        place = f" in GraphQL string at location {where.line}:{where.column}" if where else ""
        raise BuiltinError(error.message.removeprefix("Syntax Error: ").rstrip(".") + place) from None
    except RecursionError:
        raise BuiltinError("the GraphQL string is nested too deeply") from None
    return found.definitions


def _unexpected(node: DefinitionNode) -> BuiltinError:
    return BuiltinError(f"unexpected {node.kind} in GraphQL string")


def _name(node: Any) -> str:
    return node.name.value if node.name is not None else ""


def _names(nodes: Iterable[Any] | None) -> list[str]:
    return [_name(node) for node in nodes or ()]


def _description(node: Any) -> str:
    described = getattr(node, "description", None)
    return described.value if described is not None else ""


def _directives(nodes: Iterable[DirectiveNode] | None) -> list[tree.Directive]:
    return [tree.Directive(_name(node), _arguments(node.arguments)) for node in nodes or ()]


def _arguments(nodes: Iterable[Any] | None) -> list[tree.Argument]:
    return [tree.Argument(_name(node), _literal(node.value)) for node in nodes or ()]


def _optional(node: ValueNode | None) -> tree.Literal | None:
    return None if node is None else _literal(node)


def _literal(node: Any) -> tree.Literal:
    kind = _KINDS[node.kind]
    if kind == tree.LIST:
        return tree.Literal(kind, children=[tree.Child(_literal(each)) for each in node.values])
    if kind == tree.OBJECT:
        return tree.Literal(kind, children=[tree.Child(_literal(each.value), _name(each)) for each in node.fields])
    if kind == tree.VARIABLE:
        return tree.Literal(kind, _name(node))
    if kind == tree.BOOLEAN:
        return tree.Literal(kind, "true" if node.value else "false")
    if kind == tree.NULL:
        return tree.Literal(kind, "null")
    return tree.Literal(tree.BLOCK if kind == tree.STRING and node.block else kind, node.value)


def _type(node: TypeNode, non_null: bool = False) -> tree.Type:
    if isinstance(node, NonNullTypeNode):
        return _type(node.type, non_null=True)
    if isinstance(node, ListTypeNode):
        return tree.Type(elem=_type(node.type), non_null=non_null)
    return tree.Type(_name(node), non_null=non_null)


def _operation(node: OperationDefinitionNode) -> tree.Operation:
    return tree.Operation(
        node.operation.value,
        _name(node),
        _variables(node.variable_definitions),
        _directives(node.directives),
        _selections(node.selection_set),
    )


def _fragment(node: FragmentDefinitionNode) -> tree.Fragment:
    return tree.Fragment(
        _name(node),
        _name(node.type_condition),
        _variables(node.variable_definitions),
        _directives(node.directives),
        _selections(node.selection_set),
    )


def _variables(nodes: Iterable[Any] | None) -> list[tree.Variable]:
    return [
        tree.Variable(
            _name(node.variable), _type(node.type), _optional(node.default_value), _directives(node.directives)
        )
        for node in nodes or ()
    ]


def _selections(node: SelectionSetNode | None) -> list[tree.Selection]:
    return [_selection(each) for each in node.selections] if node is not None else []


def _selection(node: Any) -> tree.Selection:
    directives = _directives(node.directives)
    if isinstance(node, FieldNode):
        alias = _name(node) if node.alias is None else node.alias.value
        below = _selections(node.selection_set)
        return tree.Selection(alias, _name(node), None, _arguments(node.arguments), directives, below)
    if isinstance(node, InlineFragmentNode):
        condition = "" if node.type_condition is None else _name(node.type_condition)
        below = _selections(node.selection_set)
        return tree.Selection(type_condition=condition, directives=directives, selection_set=below)
    if node.arguments:
        raise BuiltinError("unexpected arguments of a fragment in GraphQL string")
    return tree.Selection(name=_name(node), directives=directives)


def _schema(node: SchemaDefinitionNode | SchemaExtensionNode) -> tree.SchemaDefinition:
    roots = [tree.RootType(each.operation.value, _name(each.type)) for each in node.operation_types or ()]
    return tree.SchemaDefinition(_description(node), _directives(node.directives), roots)


def _directive_definition(node: DirectiveDefinitionNode) -> tree.DirectiveDefinition:
    places = [place.value for place in node.locations]
    arguments = _argument_definitions(node.arguments)
    return tree.DirectiveDefinition(_name(node), places, _description(node), arguments, node.repeatable)


def _argument_definitions(nodes: Iterable[Any] | None) -> list[tree.ArgumentDefinition]:
    return [
        tree.ArgumentDefinition(
            _name(node),
            _type(node.type),
            _description(node),
            _optional(node.default_value),
            _directives(node.directives),
        )
        for node in nodes or ()
    ]


def _definition(node: Any) -> tree.Definition:
    """A definition of a type, or an extension of one."""
    kind = node.kind.removesuffix("_type_definition").removesuffix("_type_extension")
    return tree.Definition(
        _DEFINITION_KINDS[kind.removesuffix("_definition").removesuffix("_extension")],
        _name(node),
        _description(node),
        _directives(node.directives),
        _names(getattr(node, "interfaces", None)),
        [_field(each) for each in getattr(node, "fields", None) or ()],
        _names(getattr(node, "types", None)),
        [
            tree.EnumValue(_name(each), _description(each), _directives(each.directives))
            for each in getattr(node, "values", None) or ()
        ],
    )


def _field(node: Any) -> tree.FieldDefinition:
    """A field of an object, or of an input object, where it may have a default and has no arguments."""
    return tree.FieldDefinition(
        _name(node),
        _type(node.type),
        _description(node),
        _argument_definitions(getattr(node, "arguments", None)),
        _optional(getattr(node, "default_value", None)),
        _directives(node.directives),
    )
