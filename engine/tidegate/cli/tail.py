"""`tidegate tail`: what is decided, a line for each call as it ends.

A line is there when the call's record is durable: a tenth of a second or so after the call has ended, and longer where
the disk is slow. It is read from the workers' journals, and from the log what these have no more, so that nothing is
missed while workers come and go, or the gateway itself.
"""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from tidegate.cli.ledger import LedgerError, json_line, memory_of, plain
from tidegate.cli.naming import Names
from tidegate.errors import PolicyFailed, ResponseDenied
from tidegate.record.following import Follower, Wanted
from tidegate.record.layout import Layout
from tidegate.record.records import Aborted, Because, Outcome, Record, Refusals, Unknown

LOOK: Final = 0.1  # seconds between looks at the journals
APART: Final = 256  # entries by which those of different workers may be out of order in the log
WITHHELD: Final = (ResponseDenied.code, PolicyFailed.code)
FLAG: Final = "tidegate.response.flag"  # all else that is said of an answer ends it
STYLES: Final = {"allow": "green", "warn": "yellow", "throttle": "red", "block": "red", "none": "red"}


class Line(NamedTuple):
    """A line, and how a terminal shows its action."""

    before: str
    action: str
    after: str
    style: str

    def __str__(self) -> str:
        return f"{self.before}{self.action}{self.after}"


def wanted_are(blocked: bool, model: str | None, tenant: bytes | None) -> Wanted:
    """Which records are wanted. Those that say nothing of model and tenant only where everything is."""
    everything = not blocked and model is None and tenant is None

    def wanted(record: Record | Unknown) -> bool:
        if not isinstance(record, Outcome):
            return everything and isinstance(record, Aborted | Refusals)
        return (
            (not blocked or is_blocked(record))
            and (model is None or fnmatchcase(record.model, model))
            and (tenant is None or record.who.tenant == tenant)
        )

    return wanted


def is_blocked(record: Outcome) -> bool:
    """Whether the gateway refused the call, held its answer back, or ended it."""
    refused = bool(record.error) and not record.spans.sent
    stopped = record.error in WITHHELD or bool(getattr(record, "stopped", ""))
    return refused or stopped or record.decision.action in ("block", "throttle")


def tail(
    found: Layout, count: int, follow: bool, as_json: bool, blocked: bool, model: str | None, tenant: str | None
) -> Iterator[Line | str]:
    """The last calls that ended, at most so many, and those that end from now on. As strings where it is JSON."""
    names = Names(found)
    whose = names.pseudonym(tenant) if tenant is not None else None
    if tenant is not None and whose is None:
        raise LedgerError(f"the ledger knows no tenant `{tenant}`: it has said nothing of it, or it was erased")
    wanted = wanted_are(blocked, model, whose)
    follower = Follower(found, memory_of(found))
    try:
        past = sorted([*follower.past(count + APART, wanted), *filter(wanted, follower.new())], key=_time)
        for record in past[max(0, len(past) - count) :]:
            yield said(record, names, as_json)
        while follow:
            time.sleep(LOOK)
            follower.memory = memory_of(found)
            for record in sorted(filter(wanted, follower.new()), key=_time):
                yield said(record, names, as_json)
    finally:
        follower.close()


def _time(record: Record | Unknown) -> int:
    return record.time


def said(record: Record | Unknown, names: Names, as_json: bool) -> Line | str:
    """A record on one line."""
    if as_json:
        who = getattr(record, "who", None)
        name = {} if who is None else {"tenant": names.of(who.tenant), "key": names.of(who.key)}
        return json_line({**plain(record), **name})
    if isinstance(record, Outcome):
        return _outcome(record, names)
    when = moment(record.time)
    if isinstance(record, Aborted):
        drawn = f" charged {len(record.draws)} limits" if record.draws else ""
        return Line(f"{when} {record.run.hex()} ", "aborted", f" {record.reason}{drawn}", "magenta")
    counts = [f"{number} x {code}" for code, number in record.counts] if isinstance(record, Refusals) else []
    if isinstance(record, Refusals) and record.others:
        counts.append(f"{record.others} x others")
    return Line(f"{when} ", "refused", f" before a caller was known: {', '.join(counts)}", "red")


def _outcome(record: Outcome, names: Names) -> Line:
    codes = [reason.code + _limit(reason) for reason in (*record.decision.reasons, *record.flags)]
    words = [str(record.status), names.shown(record.who.tenant), record.endpoint, record.model or "-"]
    words += [",".join(codes)] if codes else []
    words += [each for each in endings(record) if each not in {code.partition("(")[0] for code in codes}]
    usage = record.used
    words += [f"{usage.input}+{usage.output} tokens ({usage.kind})"] if usage else []
    words += [dollars(record.cost)] if record.cost else []
    words += [span(record.spans.last_byte)]
    shadow = record.shadow
    if shadow is not None and shadow.action != _in_force(record):
        words += [f"shadow={shadow.action}"]
    action = record.decision.action
    start = f"{moment(record.time)} {record.run.hex()} "
    return Line(start, f"{action:<8}", " " + " ".join(words), STYLES.get(action, "red"))


def _in_force(record: Outcome) -> str:
    """What the policies in force did in the end, to hold against what their shadow would have done."""
    if record.stopped == "policy" or any(each.rule != FLAG for each in record.flags):
        return "block"
    return "warn" if record.flags and record.decision.action == "allow" else record.decision.action


def _limit(reason: Because) -> str:
    """The name of the limit that a reason is about, if it is about one."""
    found = re.fullmatch(r'tidegate\.admission\.limit\["(.*)"\]', reason.rule)
    return f"({found[1]})" if found else ""


def endings(record: Outcome) -> list[str]:
    """How a call ended, where it was not simply answered."""
    found = [f"stopped={why}" for why in [getattr(record, "stopped", "")] if why]
    found += [record.error] if record.error else []
    found += ["client_left"] if record.client_left else []
    return [*found, "overdraft"] if record.overdraft else found


def moment(ns: int) -> str:
    """A time, in UTC."""
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def span(ns: int) -> str:
    """How long something took."""
    return f"{ns / 1e9:.2f} s" if ns >= 1_000_000_000 else f"{ns / 1e6:.2f} ms"


def dollars(cost: int) -> str:
    """Micro-cents, as money."""
    return f"${cost / 1e8:.6f}"


def show(lines: Iterator[Line | str]) -> None:
    """Prints lines, in colours where a terminal shows them."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    for line in lines:
        if isinstance(line, str):
            print(line, flush=True)
        else:
            console.print(Text.assemble(line.before, (line.action, line.style), line.after))
