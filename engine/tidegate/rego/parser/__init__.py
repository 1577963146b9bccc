"""From text to syntax tree: modules, and the queries and terms that are given without one.

All problems are found in one run: after one the parser goes on with the next rule.
"""

from tidegate.rego.ast import Body, Module, Term
from tidegate.rego.parser.bodies import Bodies
from tidegate.rego.parser.modules import Modules
from tidegate.rego.source import Source

__all__ = ["parse", "parse_body", "parse_term"]


def parse(source: Source) -> Module:
    """A file's module. Raises PolicyRefused with all its problems."""
    return Modules(source).module()


def parse_body(source: Source) -> Body:
    """A query: statements on lines of their own or with `;` between them. Raises PolicyRefused."""
    parser = Bodies(source)
    return parser.whole(lambda: parser.statements_before("end"))


def parse_term(source: Source) -> Term:
    """One term, such as a value with sets in it. Raises PolicyRefused."""
    parser = Bodies(source)
    return parser.whole(parser.expression)
