"""Trees of gqlparser's making as nodes of `graphql-core`, so that its rules can judge a query by a schema."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from graphql import OperationType, language

from tidegate.rego.builtins import graphql_tree as tree

_TYPES: Final[dict[str, Callable[..., language.TypeDefinitionNode]]] = {
    "SCALAR": language.ScalarTypeDefinitionNode,
    "OBJECT": language.ObjectTypeDefinitionNode,
    "INTERFACE": language.InterfaceTypeDefinitionNode,
    "UNION": language.UnionTypeDefinitionNode,
    "ENUM": language.EnumTypeDefinitionNode,
    "INPUT_OBJECT": language.InputObjectTypeDefinitionNode,
}
_WITH_FIELDS: Final = ("OBJECT", "INTERFACE")


def query_node(document: tree.QueryDocument) -> language.DocumentNode:
    definitions: list[Any] = [
        language.OperationDefinitionNode(
            operation=OperationType(operation.operation),
            name=_name(operation.name) if operation.name else None,
            variable_definitions=_variables(operation.variable_definitions),
            directives=_directives(operation.directives),
            selection_set=_selections(operation.selection_set),
        )
        for operation in document.operations
    ]
    for fragment in document.fragments:
        node = language.FragmentDefinitionNode(
            name=_name(fragment.name),
            variable_definitions=_variables(fragment.variable_definition) or None,
            type_condition=_named(fragment.type_condition),
            directives=_directives(fragment.directives),
            selection_set=_selections(fragment.selection_set),
        )
        definitions.append(node)
    return language.DocumentNode(definitions=tuple(definitions))


def schema_node(
    roots: dict[str, str], types: Iterable[tree.Definition], directives: Iterable[tree.DirectiveDefinition]
) -> language.DocumentNode:
    definitions: list[Any] = [*map(_definition, types), *map(_directive_definition, directives)]
    if roots:
        operation_types = tuple(
            language.OperationTypeDefinitionNode(operation=OperationType(operation), type=_named(name))
            for operation, name in roots.items()
        )
        definitions.append(language.SchemaDefinitionNode(operation_types=operation_types))
    return language.DocumentNode(definitions=tuple(definitions))


def _name(text: str) -> language.NameNode:
    return language.NameNode(value=text)


def _named(text: str) -> language.NamedTypeNode:
    return language.NamedTypeNode(name=_name(text))


def _directives(directives: Iterable[tree.Directive]) -> tuple[Any, ...]:
    return tuple(
        language.DirectiveNode(name=_name(directive.name), arguments=_arguments(directive.arguments))
        for directive in directives
    )


def _arguments(arguments: Iterable[tree.Argument]) -> tuple[language.ArgumentNode, ...]:
    return tuple(
        language.ArgumentNode(name=_name(argument.name), value=_value(argument.value)) for argument in arguments
    )


def _optional(literal: tree.Literal | None) -> Any:
    return None if literal is None else _value(literal)


def _value(literal: tree.Literal) -> Any:
    match literal.kind:
        case tree.VARIABLE:
            return language.VariableNode(name=_name(literal.raw))
        case tree.INT:
            return language.IntValueNode(value=literal.raw)
        case tree.FLOAT:
            return language.FloatValueNode(value=literal.raw)
        case tree.STRING | tree.BLOCK:
            return language.StringValueNode(value=literal.raw, block=literal.kind == tree.BLOCK)
        case tree.BOOLEAN:
            return language.BooleanValueNode(value=literal.raw == "true")
        case tree.NULL:
            return language.NullValueNode()
        case tree.LIST:
            return language.ListValueNode(values=tuple(_value(child.value) for child in literal.children))
        case tree.OBJECT:
            fields = (
                language.ObjectFieldNode(name=_name(child.name), value=_value(child.value))
                for child in literal.children
            )
            return language.ObjectValueNode(fields=tuple(fields))
    return language.EnumValueNode(value=literal.raw)


def _type(written: tree.Type) -> Any:
    bare = language.ListTypeNode(type=_type(written.elem)) if written.elem is not None else _named(written.named_type)
    return language.NonNullTypeNode(type=bare) if written.non_null else bare


def _variables(variables: Iterable[tree.Variable]) -> tuple[language.VariableDefinitionNode, ...]:
    return tuple(
        language.VariableDefinitionNode(
            variable=language.VariableNode(name=_name(variable.variable)),
            type=_type(variable.type),
            default_value=_optional(variable.default_value),
            directives=_directives(variable.directives),
        )
        for variable in variables
    )


def _selections(selections: Iterable[tree.Selection]) -> language.SelectionSetNode:
    return language.SelectionSetNode(selections=tuple(map(_selection, selections)))


def _selection(selection: tree.Selection) -> Any:
    directives = _directives(selection.directives)
    if selection.alias is not None:
        name = selection.name or ""
        return language.FieldNode(
            alias=_name(selection.alias) if selection.alias != name else None,
            name=_name(name),
            arguments=_arguments(selection.arguments),
            directives=directives,
            selection_set=_selections(selection.selection_set) if selection.selection_set else None,
        )
    if selection.name is not None:
        return language.FragmentSpreadNode(name=_name(selection.name), directives=directives)
    return language.InlineFragmentNode(
        type_condition=_named(selection.type_condition) if selection.type_condition else None,
        directives=directives,
        selection_set=_selections(selection.selection_set),
    )


def _definition(definition: tree.Definition) -> language.TypeDefinitionNode:
    parts: dict[str, Any] = {"name": _name(definition.name), "directives": _directives(definition.directives)}
    kind = definition.kind
    if kind in _WITH_FIELDS:
        parts["interfaces"] = tuple(map(_named, definition.interfaces))
        parts["fields"] = tuple(map(_field, definition.fields))
    elif kind == "INPUT_OBJECT":
        parts["fields"] = tuple(map(_input, definition.fields))
    elif kind == "UNION":
        parts["types"] = tuple(map(_named, definition.types))
    elif kind == "ENUM":
        parts["values"] = tuple(
            language.EnumValueDefinitionNode(name=_name(value.name), directives=_directives(value.directives))
            for value in definition.enum_values
        )
    return _TYPES[kind](**parts)


def _field(field: tree.FieldDefinition) -> language.FieldDefinitionNode:
    return language.FieldDefinitionNode(
        name=_name(field.name),
        type=_type(field.type),
        arguments=tuple(map(_input, field.arguments)),
        directives=_directives(field.directives),
    )


def _input(argument: tree.ArgumentDefinition | tree.FieldDefinition) -> language.InputValueDefinitionNode:
    return language.InputValueDefinitionNode(
        name=_name(argument.name),
        type=_type(argument.type),
        default_value=_optional(argument.default_value),
        directives=_directives(argument.directives),
    )


def _directive_definition(directive: tree.DirectiveDefinition) -> language.DirectiveDefinitionNode:
    return language.DirectiveDefinitionNode(
        name=_name(directive.name),
        locations=tuple(map(_name, directive.locations)),
        arguments=tuple(map(_input, directive.arguments)),
        repeatable=directive.is_repeatable,
    )
