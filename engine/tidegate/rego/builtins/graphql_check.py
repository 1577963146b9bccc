"""Whether a schema can stand, and a query before it: gqlparser's rules.

They are looser for schemas than those of `graphql-core`: a schema may lack the type Query, and a type may be extended
that nobody defines. So schemas are checked here; for queries both have the same rules, and `graphql-core` applies them.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from graphql import GraphQLError, GraphQLSchema, build_ast_schema, validate
from graphql.validation import (
    ExecutableDefinitionsRule,
    MaxIntrospectionDepthRule,
    specified_rules,
)
from msgspec import Struct, structs

from tidegate.rego.builtins import graphql_tree as tree
from tidegate.rego.builtins.graphql_nodes import query_node, schema_node
from tidegate.rego.errors import BuiltinError
from tidegate.rego.evaluation import Evaluation

_SCALARS: Final = ("Int", "Float", "String", "Boolean", "ID")
_INTROSPECTION: Final = ("__Schema", "__Type", "__Field", "__InputValue", "__EnumValue", "__Directive")
_BUILT_IN: Final = {
    **{name: tree.Definition("SCALAR", name, built_in=True) for name in _SCALARS},
    **{name: tree.Definition("OBJECT", name, built_in=True) for name in _INTROSPECTION},
    **{name: tree.Definition("ENUM", name, built_in=True) for name in ("__TypeKind", "__DirectiveLocation")},
}
_EXECUTED: Final = ["FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"]
_BUILT_IN_DIRECTIVES: Final = {
    "include": _EXECUTED,
    "skip": _EXECUTED,
    "deprecated": ["FIELD_DEFINITION", "ARGUMENT_DEFINITION", "INPUT_FIELD_DEFINITION", "ENUM_VALUE"],
    "specifiedBy": ["SCALAR"],
}
_OUTPUTS: Final = ("SCALAR", "OBJECT", "INTERFACE", "UNION", "ENUM")
_INPUTS: Final = ("SCALAR", "ENUM", "INPUT_OBJECT")
_NO_ENUM_VALUES: Final = ("true", "false", "null")
_ROOTS: Final = ("query", "mutation", "subscription")
_RULES: Final = [rule for rule in specified_rules if rule not in (ExecutableDefinitionsRule, MaxIntrospectionDepthRule)]


class Schema(Struct, frozen=True):
    types: dict[str, tree.Definition]
    directives: dict[str, tree.DirectiveDefinition]
    roots: dict[str, str]  # the type that stands for each operation


def checked(evaluation: Evaluation, document: tree.SchemaDocument) -> Schema:
    """The schema with its extensions, if it can stand."""
    schema = Schema(_types(document), _directives(document), _roots(document))
    _implied_roots(document, schema)
    for _, definition in sorted(schema.types.items()):
        if not definition.built_in:
            # what each interface asks for is looked up among all that the type has
            evaluation.spend(
                (1 + len(definition.interfaces)) * (1 + len(definition.fields) + len(definition.interfaces))
            )
            _check_definition(schema, definition)
    for _, directive in sorted(schema.directives.items()):
        _check_name(directive.name)
        _check_arguments(schema, directive.arguments, directive.name)
    return schema


def check_query(evaluation: Evaluation, schema: Schema, document: tree.QueryDocument) -> None:
    evaluation.spend(_cost(document))
    try:
        found = validate(_built(schema), query_node(document), _RULES, max_errors=1, hide_suggestions=True)
    except (GraphQLError, TypeError, ValueError) as error:
        raise BuiltinError(f"the schema cannot be used: {error}") from None
    except RecursionError:
        raise BuiltinError("the query or the schema is nested too deeply") from None
    if found:
        where = found[0].locations
        place = f" in GraphQL string at location {where[0].line}:{where[0].column}" if where else ""
        raise BuiltinError(found[0].message.rstrip(".") + place)


def _cost(document: tree.QueryDocument) -> int:
    """Every two fields with one answer's name are compared, and every operation looks through every fragment."""
    names: Counter[str] = Counter()
    definitions = len(document.operations) + len(document.fragments)
    selections = [each for operation in document.operations for each in operation.selection_set]
    selections += [each for fragment in document.fragments for each in fragment.selection_set]
    while selections:
        selection = selections.pop()
        names[selection.alias or ""] += 1
        selections += selection.selection_set
    return sum(count * count for count in names.values()) + definitions * len(document.fragments)


def _built(schema: Schema) -> GraphQLSchema:
    types = [definition for definition in schema.types.values() if not definition.built_in]
    directives = [directive for name, directive in schema.directives.items() if name not in _BUILT_IN_DIRECTIVES]
    for operation, name in schema.roots.items():
        if schema.types[name].kind != "OBJECT":
            raise BuiltinError(f"the type of each {operation} must be an object")
    return build_ast_schema(schema_node(schema.roots, types, directives), assume_valid=True, assume_valid_sdl=True)


def _types(document: tree.SchemaDocument) -> dict[str, tree.Definition]:
    types = dict(_BUILT_IN)
    for definition in document.definitions:
        if definition.name in types:
            raise BuiltinError(f"cannot redeclare type {definition.name}")
        types[definition.name] = definition
    for extension in document.extensions:
        base = types.get(extension.name) or tree.Definition(extension.kind, extension.name)
        if base.kind != extension.kind:
            raise BuiltinError(f"cannot extend type {extension.name}: it is a {base.kind}, not a {extension.kind}")
        types[extension.name] = structs.replace(
            base,
            directives=base.directives + extension.directives,
            interfaces=base.interfaces + extension.interfaces,
            fields=base.fields + extension.fields,
            types=base.types + extension.types,
            enum_values=base.enum_values + extension.enum_values,
        )
    return types


def _directives(document: tree.SchemaDocument) -> dict[str, tree.DirectiveDefinition]:
    directives = {name: tree.DirectiveDefinition(name, places) for name, places in _BUILT_IN_DIRECTIVES.items()}
    for directive in document.directives:
        if directive.name in _BUILT_IN_DIRECTIVES:
            continue  # a schema may define those as well
        if directive.name in directives:
            raise BuiltinError(f"cannot redeclare directive {directive.name}")
        directives[directive.name] = directive
    return directives


def _roots(document: tree.SchemaDocument) -> dict[str, str]:
    if len(document.schema) > 1:
        raise BuiltinError("cannot have multiple schema entry points, consider schema extensions instead")
    written = [root for part in (*document.schema, *document.schema_extension) for root in part.operation_types]
    return {root.operation: root.type for root in written}


def _implied_roots(document: tree.SchemaDocument, schema: Schema) -> None:
    for operation, name in schema.roots.items():
        if name not in schema.types:
            raise BuiltinError(f"schema root {operation} refers to a type {name} that does not exist")
    if not document.schema:
        for operation in _ROOTS:
            if operation.capitalize() in schema.types:
                schema.roots.setdefault(operation, operation.capitalize())


def _check_definition(schema: Schema, definition: tree.Definition) -> None:
    kind, name = definition.kind, definition.name
    for field in definition.fields:
        _check_field(schema, definition, field)
    for member in definition.types:
        if member not in schema.types or schema.types[member].kind != "OBJECT":
            raise BuiltinError(f"{kind} {name}: the type {member} is no OBJECT of this schema")
    for interface in definition.interfaces:
        _check_implements(schema, definition, interface)
    if kind in ("OBJECT", "INTERFACE", "INPUT_OBJECT") and not definition.fields:
        raise BuiltinError(f"{kind} {name}: must define one or more fields")
    if kind == "ENUM" and not definition.enum_values:
        raise BuiltinError(f"{kind} {name}: must define one or more unique enum values")
    for value in definition.enum_values:
        if value.name in _NO_ENUM_VALUES:
            raise BuiltinError(f"{kind} {name}: non-enum value {value.name}")
    if len({field.name for field in definition.fields}) < len(definition.fields):
        raise BuiltinError(f"{kind} {name}: a field can only be defined once")
    _check_name(name)
    _check_directives(schema, definition.directives, kind)


def _check_field(schema: Schema, definition: tree.Definition, field: tree.FieldDefinition) -> None:
    _check_name(field.name)
    allowed = _INPUTS if definition.kind == "INPUT_OBJECT" else _OUTPUTS
    if _type_named(schema, field.type.name).kind not in allowed:
        raise BuiltinError(f"{definition.kind} {definition.name}: field must be one of {', '.join(allowed)}")
    _check_arguments(schema, field.arguments)
    place = "INPUT_FIELD_DEFINITION" if definition.kind == "INPUT_OBJECT" else "FIELD_DEFINITION"
    _check_directives(schema, field.directives, place)


def _check_name(name: str) -> None:
    if name.startswith("__"):
        raise BuiltinError(f'name "{name}" must not begin with "__", which is reserved by GraphQL introspection')


def _type_named(schema: Schema, name: str) -> tree.Definition:
    if name not in schema.types:
        raise BuiltinError(f"undefined type {name}")
    return schema.types[name]


def _check_arguments(schema: Schema, arguments: Iterable[tree.ArgumentDefinition], directive: str = "") -> None:
    """`directive` is the one whose arguments these are: it cannot refer to itself."""
    for argument in arguments:
        _check_name(argument.name)
        kind = _type_named(schema, argument.type.name).kind
        if kind not in _INPUTS:
            raise BuiltinError(f"cannot use {argument.type} as argument {argument.name}: {kind} is no input type")
        if any(each.name == directive for each in argument.directives):
            raise BuiltinError(f"directive {directive} cannot refer to itself")
        _check_directives(schema, argument.directives, "ARGUMENT_DEFINITION")


def _check_directives(schema: Schema, directives: Iterable[tree.Directive], place: str) -> None:
    for directive in directives:
        _check_name(directive.name)
        if directive.name not in schema.directives:
            raise BuiltinError(f"undefined directive {directive.name}")
        if place not in schema.directives[directive.name].locations:
            raise BuiltinError(f"directive {directive.name} is not applicable on {place}")


def _check_implements(schema: Schema, definition: tree.Definition, name: str) -> None:
    interface = _type_named(schema, name)
    if interface.kind != "INTERFACE":
        raise BuiltinError(f"{name} is a non interface type {interface.kind}")
    fields = {field.name: field for field in definition.fields}
    for required in interface.fields:
        if required.name not in fields:
            raise BuiltinError(f"for {definition.name} to implement {name} it must have a field {required.name}")
        if not _is_covariant(schema, required.type, fields[required.name].type):
            raise BuiltinError(f"for {definition.name} to implement {name} {required.name} must be {required.type}")
        _check_same_arguments(definition.name, required, fields[required.name])
    for above in interface.interfaces:
        if above not in definition.interfaces:
            raise BuiltinError(f"type {definition.name} must implement {above} because {name} does")


def _check_same_arguments(owner: str, required: tree.FieldDefinition, found: tree.FieldDefinition) -> None:
    given = {argument.name: argument for argument in found.arguments}
    for argument in required.arguments:
        if argument.name not in given or not _is_compatible(argument.type, given[argument.name].type):
            raise BuiltinError(f"{owner}.{found.name} must have the argument {argument.name}: {argument.type}")
    known = {argument.name for argument in required.arguments}
    for name, argument in given.items():
        if name not in known and argument.type.non_null and argument.default_value is None:
            raise BuiltinError(f"{owner}.{found.name}: the additional argument {name} must be optional")


def _is_covariant(schema: Schema, required: tree.Type, found: tree.Type) -> bool:
    if required.non_null and not found.non_null:
        return False
    if required.elem is not None:
        return found.elem is not None and _is_covariant(schema, required.elem, found.elem)
    wanted, given = required.named_type, found.named_type
    return wanted == given or _is_possible(schema, wanted, given)


def _is_possible(schema: Schema, abstract: str, name: str) -> bool:
    """Whether the type is one that an interface or a union can be."""
    given = schema.types.get(name)
    return given is not None and (abstract in given.interfaces or name in schema.types[abstract].types)


def _is_compatible(wanted: tree.Type, given: tree.Type) -> bool:
    if wanted.named_type != given.named_type or (wanted.non_null and not given.non_null):
        return False
    if wanted.elem is None or given.elem is None:
        return wanted.elem is given.elem
    return _is_compatible(wanted.elem, given.elem)
