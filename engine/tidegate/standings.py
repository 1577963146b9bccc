"""What policies are told of limits about one call: the buckets as they stand, and on record that they were told."""

from tidegate.decide.declared import Declared
from tidegate.decide.standings import Standing, Standings
from tidegate.limit._stands import stands
from tidegate.limit.hold import Holder
from tidegate.model import Call, Caller
from tidegate.record.account import Account
from tidegate.record.records import Seen


class Told(Standings):
    """Of one call."""

    def begin(
        self, declared: dict[str, Declared], call: Call, caller: Caller, holder: Holder, account: Account
    ) -> None:
        """Begins it; nothing is looked up."""
        self._declared = declared
        self._call = call
        self._caller = caller
        self._holder = holder
        self._account = account

    def look(self) -> list[Standing]:
        """How they stand now, which is recorded."""
        found, seen = [], []
        for name, declared in self._declared.items():
            drawn = declared.of(self._call, self._caller)
            if drawn.holder is not self._holder:
                drawn.holder = self._holder
                drawn.bucket = self._holder.bucket(drawn.limit, self._caller.tenant)
            used, left, reset = stands(drawn.bucket)
            standing = Standing.__new__(Standing)  # once a call: made without the arguments' way through Python
            standing.begin(name, drawn.usd, used, left, reset)
            found.append(standing)
            seen.append(Seen(name, used, left, reset))
        self._account.seen(tuple(seen))
        return found
