"""The plot of the README, drawn from a result of the gateway benchmark: `python -m bench.plot [RESULT]`.

Without a name the newest full result is taken. The numbers are ratios to nginx in the same rounds, with their 95 %
intervals; the file says which result they come from.
"""

import json
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from bench.report import RESULTS, ROOT

PLOT = ROOT / "docs" / "cost.svg"
BARS = (
    ("governed_request_c64", "Tidegate, everything on"),
    ("governed_async_request_c64", "the same, evidence `async`"),
    ("rolter_request_c64", "rolter (Rust): key, route"),
    ("ferrogw_request_c64", "ferrogw (Go): key, route"),
)
WIDTH, LEFT, ROW, TOP = 720, 220, 34, 58
INK, OURS, THEIRS = "#24292f", "#0969da", "#8c959f"


def newest() -> Path:
    """The newest full result."""
    found = sorted(RESULTS.glob("????-??-??-gateway.json"))
    if not found:
        sys.exit("there is no result yet: make bench-gateway")
    return found[-1]


def drawn(result: dict[str, object], name: str) -> str:
    """The picture."""
    lines = {line["name"]: line for line in result["lines"]}  # type: ignore[attr-defined]
    bars = [(label, lines[key]) for key, label in BARS if key in lines]
    most = max(line["interval"]["high"] for _, line in bars)
    scale = (WIDTH - LEFT - 70) / most
    height = TOP + ROW * (len(bars) + 1) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' font-family="sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="24" font-size="15" font-weight="bold">Worker CPU per request, nginx = 1</text>',
        '<text x="16" y="42">512 bytes of body, 64 in flight, one core; less is better</text>',
        _bar(0, "nginx, a plain reverse proxy", 1.0, None, scale, THEIRS),
    ]
    for number, (label, line) in enumerate(bars, 1):
        interval = line["interval"]["low"], line["interval"]["high"]
        colour = OURS if number < 3 else THEIRS
        parts.append(_bar(number, label, line["value"], interval, scale, colour))
    parts.append(f'<text x="16" y="{height - 12}" font-size="11">from bench/results/{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _bar(number: int, label: str, value: float, interval: tuple[float, float] | None, scale: float, colour: str) -> str:
    y = TOP + number * ROW
    width = value * scale
    text = [
        f'<text x="{LEFT - 10}" y="{y + 17}" text-anchor="end">{escape(label)}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="24" fill="{colour}"/>',
    ]
    end = LEFT + width
    if interval is not None:
        low, high = (LEFT + each * scale for each in interval)
        text.append(f'<path d="M{low:.1f} {y + 12}H{high:.1f}" stroke="{INK}" stroke-width="2"/>')
        end = high
    text.append(f'<text x="{end + 8:.1f}" y="{y + 17}">{value:.2g} x</text>')
    return "".join(text)


def main() -> None:
    """Draws it."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else newest()
    PLOT.write_text(drawn(json.loads(source.read_text()), source.name))
    print(f"wrote {PLOT.relative_to(ROOT)} from {source.name}")


if __name__ == "__main__":
    main()
