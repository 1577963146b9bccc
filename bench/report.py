"""What a benchmark says: one line a number, a verdict against its gate, and a dated file with everything behind it.

Every number is a cost: less is better. The `goal` is where the project wants to be; the `gate` is what may not be
exceeded, and the only thing that makes a benchmark fail. A ratio is judged by the upper end of its interval, so that a
lucky median does not pass.
"""

import json
import math
import platform
import random
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
RESAMPLES = 5_000


@dataclass(frozen=True)
class Interval:
    """A median and the 95 % interval around it."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One number of a benchmark; `interval` decides in its place where there is one."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    gate: float | None = None
    interval: Interval | None = None
    broken: str = ""  # why the number does not count, though it was measured: its gate is missed whatever it is
    details: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Is the gate kept? A number without a gate always holds."""
        if self.gate is None:
            return True
        return not self.broken and (self.interval.high if self.interval else self.value) <= self.gate

    def __str__(self) -> str:
        verdict = "ok" if self.holds else "short"
        return f"{self.name} {self.value:.4g} {self.unit} goal={_bound(self.goal)} gate={_bound(self.gate)} {verdict}"


def _bound(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def ratio_interval(pairs: Sequence[tuple[float, float]]) -> Interval:
    """The median of ours / theirs over paired rounds, with a bootstrap interval.

    Both halves of a pair were measured within seconds of one another, so that what the machine did to one it did to the
    other; rounds are resampled whole.
    """
    ratios = [ours / theirs for ours, theirs in pairs]
    source = random.Random(len(ratios))  # the same rounds always give the same interval
    medians = sorted(median(source.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    tail = RESAMPLES // 40
    return Interval(median(ratios), medians[tail], medians[-tail - 1])


def ratio_line(
    name: str, pairs: Sequence[tuple[float, float]], *, goal: float | None = None, gate: float | None = None,
    unit: str = "us", broken: str = "",
) -> Line:  # fmt: skip
    """A ratio to the yardstick as a line; its details carry the two absolute medians."""
    interval = ratio_interval(pairs)
    ours, theirs = (median(side) for side in zip(*pairs, strict=True))
    details = [f"{interval} over {len(pairs)} rounds; {ours:.4g} {unit} against {theirs:.4g} {unit}"]
    if broken:
        details.append(broken)
    return Line(
        name=name, value=interval.median, unit="x", goal=goal, gate=gate, interval=interval, broken=broken,
        details=tuple(details),
    )  # fmt: skip


def finish(lines: Sequence[Line], benchmark: str, *, raw: object, facts: Mapping[str, object]) -> int:
    """Print the lines, write the result file, and return the exit code: 1 when a gate is missed."""
    for line in lines:
        print(line, *(f"  {detail}" for detail in line.details), sep="\n")
    now = datetime.now(UTC)
    result = {
        "benchmark": benchmark,
        "date": now.isoformat(timespec="seconds"),
        "machine": machine(),
        **facts,
        "lines": [{**asdict(line), "ok": line.holds} for line in lines],
        "raw": raw,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now.date()}-{benchmark}.json"
    path.write_text(json.dumps(_plain(result), indent=1) + "\n")
    print(f"wrote {path.relative_to(ROOT)}", file=sys.stderr)
    return 0 if all(line.holds for line in lines) else 1


def _plain(value: object) -> object:
    """Objects become tables; JSON has no infinity and no not-a-number, so they become null."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def machine() -> dict[str, object]:
    """Where and on what the numbers were taken."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return {
        "cpu": models[0].partition(": ")[2] if models else platform.processor(),
        "cores": len(models),
        "kernel": platform.release(),
        "congestion_control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "python": platform.python_version(),
        "python_optimised": "--enable-optimizations" in arguments,  # PGO: worth 10 to 20 % here
        "python_build": arguments,
        "nginx": output("nginx", "-v"),
        "commit": output("git", "rev-parse", "HEAD"),
        "uncommitted": bool(output("git", "status", "--porcelain")),
    }


def output(*command: str) -> str:
    """What a program says, or nothing where it cannot be run."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return (done.stdout or done.stderr).strip()
