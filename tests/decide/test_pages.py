"""What docs/policies.md shows is tried: its policies, its program, and what the commands print."""

import re
from pathlib import Path
from typing import Any

import pytest

from tidegate.cli.policy import check, evaluate
from tidegate.decide.bundle import load
from tidegate.decide.contract import RULES
from tidegate.decide.policy import Policy

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policies.md").read_text()
POLICIES = re.findall(r"```rego\n(.*?)```", PAGE, re.S)
DATA = '{"drafts": ["draft-1"], "models": ["gpt-4o"]}'


@pytest.mark.parametrize("shown", POLICIES)
def test_the_policies_are_right(tmp_path: Path, shown: str) -> None:
    text = shown if shown.startswith("package") else f"package tidegate.admission\n\n{shown}"
    (tmp_path / "a.rego").write_text(text)
    (tmp_path / "data.json").write_text(DATA)
    told: dict[str, object] = {"request": {"model": "draft-1"}, "time": {"ns": 0}}
    if "package tidegate.response" in text:
        told |= {"phase": "response", "output": {"text": "of PROJECT-HALCYON"}}
    decision = Policy.load(tmp_path).decide(told)
    assert decision.reasons or decision.limits
    assert "policy_error" not in {reason.code for reason in decision.reasons}


def test_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    monkeypatch.chdir(tmp_path)
    Path("policies").symlink_to(ROOT / "policies")
    Path("next").symlink_to(ROOT / "policies")
    names: dict[str, Any] = {}
    exec(program, names)
    decision = names["decision"]
    assert (decision.action, decision.shadow.action) == ("allow", "allow")
    assert {limit.name for limit in decision.limits} == {"requests", "tokens", "concurrent", "budget"}


def test_the_commands_print_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text, code = check(Path("policies"), False, True)
    assert (f"$ tidegate policy check policies\n{text}\n" in PAGE, code) == (True, 0)
    shown = r"\$ echo '(.*)' >call.json\n\$ tidegate policy eval '(.*)' --policies policies --input call.json\n(.*)\n"
    [(call, query, result)] = re.findall(shown, PAGE)
    (tmp_path / "call.json").write_text(call)
    assert evaluate(query, Path("policies"), tmp_path / "call.json", None) == result


def test_every_rule_is_named() -> None:
    for phase, rules in RULES.items():
        assert f"`tidegate.{phase}`" in PAGE
        for name in rules:
            assert re.search(rf"`{name} (contains|:=) ", PAGE), name


def test_the_shipped_folder_is_a_bundle() -> None:
    assert load(ROOT / "policies").data.keys() == {"anonymous", "defaults", "limits", "tenants"}
