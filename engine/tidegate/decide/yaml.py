"""A base document from YAML, as far as that is JSON."""

from typing import Any

import yaml

from tidegate.decide.documents import problem
from tidegate.rego.errors import Problem
from tidegate.rego.source import Source
from tidegate.rego.values import of


class _Loader(yaml.SafeLoader):
    """YAML as far as it is JSON: a date is a string, a key is a string and stands once, and there are no aliases."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the class above declares it
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":merge"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases are not read", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str) or name in names:
                flaw = "stands twice in one object" if isinstance(name, str) else "is not a string"
                raise yaml.constructor.ConstructorError(None, None, f"the key `{name}` {flaw}", key.start_mark)
            names.add(name)
        return super().construct_mapping(node, deep)


def from_yaml(source: Source, problems: list[Problem]) -> Any:
    """The document of a YAML file; None, and a problem, where it is none."""
    try:
        return of(yaml.load(source.text, _Loader))  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        offset = error.problem_mark.index if error.problem_mark else 0
        problems.append(problem(source, offset, f"it is not YAML: {error.problem}"))
    except (yaml.YAMLError, ValueError) as error:
        problems.append(problem(source, 0, f"it is not YAML: {' '.join(str(error).split())}"))
    except RecursionError:
        problems.append(problem(source, 0, "it is nested too deeply"))
    return None
