"""Warnings about what is written and does nothing: variables, imports, annotations."""

from typing import Any

from tidegate.rego import ast
from tidegate.rego.check.findings import Findings
from tidegate.rego.check.survey import Survey
from tidegate.rego.parser.metadata import FIELDS
from tidegate.rego.source import Source

CODE = "rego_compile_error"


def check_variables(found: Survey, source: Source, findings: Findings) -> None:
    """Names are unique in a rule, so that a variable that occurs where it is assigned only is not used."""
    for variable in found.assigned:
        if variable.name not in found.seen and not variable.name.startswith("_~"):
            name = variable.name.partition("~")[0]
            findings.warning(CODE, f"assigned var `{name}` unused", source, variable)


def check_imports_used(module: ast.Module, findings: Findings) -> None:
    """Looks at the module as it was written."""
    imported = {each.alias: each for each in module.imports if each.alias is not None}
    if not imported:
        return
    pending: list[Any] = list(module.rules)
    while pending and imported:
        node = pending.pop()
        if type(node) is ast.Var:
            imported.pop(node.name, None)
        elif type(node) is ast.Call:
            imported.pop(node.name[0], None)
            pending += node.args
        elif type(node) is tuple:
            pending += node
        elif isinstance(node, ast.Node) and type(node) is not ast.Scalar:
            pending += (getattr(node, field) for field in node.__struct_fields__)
    for each in imported.values():
        findings.warning(CODE, f"unused import: `{each.alias}`", module.source, each)


def check_annotations(module: ast.Module, findings: Findings) -> None:
    for annotation in (*module.annotations, *(each for rule in module.rules for each in rule.annotations)):
        for field in annotation.document:
            if field not in FIELDS:
                findings.warning(
                    CODE, f"METADATA has no field `{field}`", module.source, annotation, "put it in `custom`"
                )


def check_empty_braces(rule: ast.Rule, source: Source, findings: Findings) -> None:
    """`p if {}` has an empty object for its one condition, which holds always."""
    for statement in rule.body:
        if type(statement) is ast.Expression and type(statement.term) is ast.Object and not statement.term.pairs:
            findings.warning(CODE, "`{}` is an empty object, which always holds", source, statement)
