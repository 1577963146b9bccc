"""What `rego.metadata.rule()` and `rego.metadata.chain()` stand for: constants, known before a policy runs."""

from collections.abc import Iterable, Sequence
from typing import Any

from tidegate.rego import ast
from tidegate.rego.parser.metadata import FIELDS
from tidegate.rego.resolve.names import Path, constant_beginning

Document = dict[str, Any]


class Metadata:
    """The annotations of all modules."""

    def __init__(self, modules: Sequence[ast.Module]) -> None:
        self.packages: dict[tuple[str, Path], list[Document]] = {}  # by scope and path
        self.documents: dict[Path, list[Document]] = {}
        for module in modules:
            for annotation in module.annotations:
                self.packages.setdefault((annotation.scope, module.package), []).append(_shown(annotation))
            for rule in module.rules:
                if rule.annotations:
                    path = module.package + constant_beginning(rule.head.path)
                    self.documents.setdefault(path, []).extend(_of_scope(rule, "document"))

    def rule(self, rule: ast.Rule) -> Document:
        """The rule's own annotations, those nearest to it if there are several."""
        own = _of_scope(rule, "rule")
        return own[-1] if own else {}

    def chain(self, package: Path, rule: ast.Rule) -> list[Document]:
        """The rule with its own annotations, then whatever is said of what it is part of, outwards."""
        path = package + constant_beginning(rule.head.path)
        own = [_entry(path, document) for document in reversed(_of_scope(rule, "rule"))]
        found = own or [{"path": list(path[1:])}]
        found += [_entry(path, document) for document in self.documents.get(path, [])]
        found += [_entry(package, document) for document in self.packages.get(("package", package), [])]
        for length in range(len(package), 0, -1):
            above = package[:length]
            found += [_entry(above, document) for document in self.packages.get(("subpackages", above), [])]
        return found


def _of_scope(rule: ast.Rule, scope: str) -> list[Document]:
    return [_shown(annotation) for annotation in rule.annotations if annotation.scope == scope]


def _shown(annotation: ast.Annotation) -> Document:
    return {name: value for name, value in annotation.document.items() if name in FIELDS}


def _entry(path: Path, document: Document) -> Document:
    return {"path": list(path[1:]), "annotations": document}


def constant(value: object, node: ast.Node) -> ast.Term:
    """A value as a term in the place of a node."""
    start, end = node.start, node.end
    if isinstance(value, dict):
        pairs = [(ast.Scalar(name, start=start, end=end), constant(held, node)) for name, held in value.items()]
        return ast.Object(tuple(pairs), start=start, end=end)
    if isinstance(value, list):
        return ast.Array(_constants(value, node), start=start, end=end)
    return ast.Scalar(value, start=start, end=end)


def _constants(values: Iterable[object], node: ast.Node) -> tuple[ast.Term, ...]:
    return tuple([constant(value, node) for value in values])
