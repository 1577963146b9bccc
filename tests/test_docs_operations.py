"""The table of metrics in docs/operations.md is the one of the code."""

import re
from pathlib import Path

from tidegate.serve.metrics import METRICS

TEXT = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()


def test_every_metric_is_in_the_table_and_nothing_else() -> None:
    rows = re.findall(r"^\| `tidegate_(\w+)` \| (\w+) \|(.*?)\| (.*) \|$", TEXT, re.M)
    said = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), about) for name, kind, labels, about in rows}
    assert said == {name: (each.kind, each.labels, each.about) for name, each in METRICS.items()}
    assert len(rows) == len(said)


def test_every_metric_that_the_text_names_exists() -> None:
    assert {name.removeprefix("tidegate_") for name in re.findall(r"\btidegate_\w+", TEXT)} <= METRICS.keys()
