"""`input.limits`: how the declared limits stand for one call, looked up when a policy first asks."""

from typing import Any, Final

from tidegate.model import MICRO_CENTS
from tidegate.rego.generate.asking import at_path
from tidegate.rego.values import UNDEFINED, Value

SECOND: Final = 1e9


class Standing:
    """One limit, in units of its bucket, and the nanoseconds until all of it is there again."""

    def begin(self, name: str, usd: bool, used: int, remaining: int, reset: int) -> None:
        """Begins it."""
        self.name = name
        self.usd = usd  # whether those units are micro-cents
        self.used = used
        self.remaining = remaining
        self.reset = reset

    def field(self, name: str) -> Value:
        """A field of it, as policies see it; UNDEFINED where there is none of that name."""
        if name == "used":
            return self._amount(self.used)
        if name == "remaining":
            return self._amount(self.remaining)
        return self.reset / SECOND if name == "reset_s" else UNDEFINED

    def _amount(self, amount: int) -> int | float:
        return amount / MICRO_CENTS if self.usd else amount

    def told(self) -> dict[str, Any]:
        """All of it."""
        return {name: self.field(name) for name in ("used", "remaining", "reset_s")}


class Standings:
    """Those of one call. Whoever asks twice is told the same."""

    def __init__(self) -> None:
        self._all: list[Standing] | None = None

    def look(self) -> list[Standing]:
        """How they stand now."""
        raise NotImplementedError

    def at(self, path: tuple[str, ...]) -> Value:
        """What stands at a path in the document of them, which is not made where one field is wanted."""
        if len(path) != 2:
            return at_path(self.told(), path)
        for standing in self._looked():
            if standing.name == path[0]:
                return standing.field(path[1])
        return UNDEFINED

    def told(self) -> dict[str, dict[str, Any]]:
        """The document of them."""
        return {standing.name: standing.told() for standing in self._looked()}

    def __call__(self) -> dict[str, dict[str, Any]]:
        return self.told()

    def _looked(self) -> list[Standing]:
        if self._all is None:
            self._all = self.look()
        return self._all
