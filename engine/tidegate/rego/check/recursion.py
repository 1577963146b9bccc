"""Rules that need themselves: Rego has no recursion."""

from collections.abc import Iterable, Iterator, Mapping

from tidegate.rego.check.findings import Findings
from tidegate.rego.check.places import Place

Needs = Mapping[Place, Iterable[Place]]


def check_recursion(needs: Needs, findings: Findings) -> Iterable[Place]:
    """Reports every cycle once, at the first of its rules. A place needs those that its rules read.

    Gives the places in an order in which each comes after those that it needs.
    """
    done: dict[Place, None] = {}
    reported: set[Place] = set()
    for start in needs:
        if start not in done:
            for cycle in _cycles(start, needs, done):
                if reported.isdisjoint(cycle):
                    reported.update(cycle)
                    _report(cycle, findings)
    return done


def _cycles(start: Place, needs: Needs, done: dict[Place, None]) -> Iterator[list[Place]]:
    """Goes depth first without Python's stack, since rules may need each other in long chains."""
    path = [start]
    on_path = {start: 0}
    pending = [iter(needs[start])]
    while path:
        wanted = next(pending[-1], None)
        if wanted is None:
            done[path[-1]] = None
            del on_path[path.pop()]
            pending.pop()
        elif wanted in on_path:
            yield path[on_path[wanted] :]
        elif wanted not in done and wanted in needs:
            on_path[wanted] = len(path)
            path.append(wanted)
            pending.append(iter(needs[wanted]))


def _report(cycle: list[Place], findings: Findings) -> None:
    definitions = [place.definitions[0] for place in cycle]
    first = min(range(len(cycle)), key=lambda at: (definitions[at].module.source.name, definitions[at].rule.start))
    names = [place.name for place in (*cycle[first:], *cycle[:first], cycle[first])]
    definition = definitions[first]
    message = f"rule `{names[0]}` is recursive: {' -> '.join(names)}"
    findings.error("rego_recursion_error", message, definition.module.source, definition.rule.head)
