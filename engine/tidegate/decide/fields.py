"""One field of the `input` document, read from the gateway's own values without a line of Python."""

from collections.abc import Callable
from typing import Any, Final

from tidegate.decide.reading import NAMES, PARAMETERS, Limits, no_limits
from tidegate.decide.standings import Standings
from tidegate.model import MICRO_CENTS, Call, Caller, Estimate
from tidegate.rego.generate.asking import at_path

NUMBERS: Final = {  # of the expressions in `reading` that are read here; Python evaluates any other
    text: number
    for number, text in enumerate(
        (
            "caller.tenant",
            "caller.key",
            "caller.mode",
            "caller.user",
            "caller.ip",
            "caller.session",
            "caller.parent",
            "integration",
            "(call.model or None)",
            "call.route.endpoint",
            "call.route.dialect.name",
            "call.stream",
            "call.most",
            "call.n",
            "len(call.body)",
            "estimate.prompt_tokens",
            "estimate.prompt_kind",
            "estimate.output_tokens",
            f"(None if estimate.cost is None else estimate.cost / {MICRO_CENTS})",
            "limits()",
            "ns",
        )
    )
}
_LIMITS = NUMBERS["limits()"]


class Field:
    """A field, by the expression that `reading` has for it, or what stands at a path in it."""

    def __init__(self, text: str, path: tuple[str, ...] = ()) -> None:
        self._path = path
        self._number = NUMBERS.get(text, -1)
        self._evaluated: Callable[..., Any] | None = None
        if self._number < 0:
            self._evaluated = eval(f"lambda {', '.join(PARAMETERS)}: {text}", dict(NAMES))  # noqa: S307 - our own table

    def of_call(self, call: Call, caller: Caller) -> Any:
        """The value of one that only these two have to do with."""
        return self._of(call, caller, None, 0, None, no_limits)

    def of(
        self, call: Call, caller: Caller, estimate: Estimate, ns: int, integration: str | None, limits: Limits
    ) -> Any:
        """Its value; UNDEFINED where nothing stands at the path."""
        if not self._path:
            return self._of(call, caller, estimate, ns, integration, limits)
        if self._number == _LIMITS and isinstance(limits, Standings):
            standings = limits
            return standings.at(self._path)
        return at_path(self._of(call, caller, estimate, ns, integration, limits), self._path)

    def _of(self, call: Call, caller: Caller, estimate: Any, ns: int, integration: str | None, limits: Limits) -> Any:
        number = self._number
        if number == 0:
            return caller.tenant
        if number == 1:
            return caller.key
        if number == 2:
            return caller.mode
        if number == 3:
            return caller.user
        if number == 4:
            return caller.ip
        if number == 5:
            return caller.session
        if number == 6:
            return caller.parent
        if number == 7:
            return integration
        if number == 8:
            return call.model or None
        if number == 9:
            return call.route.endpoint
        if number == 10:
            return call.route.dialect.name
        if number == 11:
            return call.stream
        if number == 12:
            return call.most
        if number == 13:
            return call.n
        if number == 14:
            return len(call.body)
        if number == 15:
            return estimate.prompt_tokens
        if number == 16:
            return estimate.prompt_kind
        if number == 17:
            return estimate.output_tokens
        if number == 18:
            cost = estimate.cost
            return None if cost is None else cost / MICRO_CENTS
        if number == _LIMITS:
            return limits()
        if number == 20:
            return ns
        assert self._evaluated is not None
        return self._evaluated(call, caller, estimate, ns, integration, limits)
