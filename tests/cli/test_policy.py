"""`tidegate policy` as a user has it: what it prints, where, and with which exit code."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tidegate.cli.app import main
from tidegate.cli.reference import markdown
from tidegate.decide.input import policy_schema

SHIPPED = Path(__file__).parents[2] / "policies"
DENY = 'package tidegate.admission\n\ndeny contains {"code": "a", "message": "b"} if input.caller.tenant == "x"\n'
UNUSED = "package app\n\nimport data.tidegate.admission\n\nx := 1\n"
WRONG = """\
p/a.rego:3:1: tidegate_contract_error: `denny` has no effect in package `tidegate.admission`
  denny contains "no"
  ^^^^^
  did you mean `deny`?
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(files: dict[str, str]) -> None:
    for name, content in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)


def ended(*arguments: str, given: str = "") -> tuple[int, str, str]:
    """The exit code of a command, and what it printed; in this process, as starting another one takes a second."""
    out, errors, exit_code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(errors):
        patch.setattr(sys, "argv", ["tidegate", "policy", *arguments])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        patch.setenv("COLUMNS", "120")
        try:
            main()
        except SystemExit as exited:
            exit_code = int(exited.code or 0)
    return exit_code, out.getvalue(), errors.getvalue()


def test_as_a_process_of_its_own() -> None:
    write({"policies/a.rego": DENY})
    for arguments, code in ((["check"], 0), (["check", "none"], 2)):
        command = [sys.executable, "-m", "tidegate", "policy", *arguments]
        assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == code


# check


def test_policies_without_a_problem() -> None:
    write({"policies/a.rego": DENY, "policies/b/b.rego": "package b\n\nx := 1\n"})
    assert ended("check") == (0, "policies: 2 modules, no problems\n", "")


def test_a_problem_is_shown_where_it_stands() -> None:
    write({"p/a.rego": 'package tidegate.admission\n\ndenny contains "no"\n'})
    assert ended("check", "p") == (1, WRONG + "p: 1 module, 1 error, 0 warnings\n", "")


def test_problems_of_every_stage_are_shown_in_one_run() -> None:
    write(
        {
            "p/data.json": "{",
            "p/a.rego": "package a\n\nx := \n",
            "p/b.rego": "package b\n\nx := y\n",
            "p/c.rego": 'package tidegate.admission\n\ndeny contains "no"\n',
            "p/c_test.rego": "package c_test\n\ntest_x if unheard_of(1)\n",
        }
    )
    code, told, _ = ended("check", "p")
    assert code == 1
    assert [line.split(":")[0] for line in told.splitlines() if line.startswith("p/")] == [
        "p/a.rego",
        "p/b.rego",
        "p/c.rego",
        "p/c_test.rego",
        "p/data.json",
    ]
    assert told.endswith("p: 4 modules, 5 errors, 0 warnings\n")


def test_a_warning_is_an_error_only_where_that_is_asked_for() -> None:
    write({"p/a.rego": DENY, "p/b.rego": UNUSED})
    code, told, _ = ended("check", "p")
    assert code == 0
    assert told.startswith("p/b.rego:3:1: warning: ")
    assert told.endswith("p: 2 modules, 0 errors, 1 warning\n")
    assert ended("check", "p", "--strict") == (1, told, "")


def test_policies_without_admission_are_warned_about() -> None:
    write({"p/a.rego": "package app\n\nx := 1\n"})
    code, told, _ = ended("check", "p")
    assert code == 0
    assert "p: there is no package `tidegate.admission`; a gateway refuses such policies" in told


NOT_YET = ('capture := "full"', 'capture := "redacted"', 'redact contains {"detector": "d", "with": "x"}')
GUARD = 'guard contains {"detector": "d", "action": "stop", "window": 9}'


@pytest.mark.parametrize("rule", [*NOT_YET, GUARD])
def test_what_a_gateway_does_not_carry_out_is_refused(rule: str) -> None:
    write({"p/a.rego": f"package tidegate.admission\n\n{rule}\n"})
    code, told, _ = ended("check", "p")
    assert code == 1
    assert told.startswith("p/a.rego:3:")
    assert f"`{rule.split()[0]}` cannot be carried out here" in told


def test_problems_for_programs() -> None:
    write(
        {"p/a.rego": 'package tidegate.admission\n\ndenny contains "no"\n', "p/data.json": "{}", "p/x/data.yaml": "["}
    )
    code, told, errors = ended("check", "p", "--format", "json")
    report = json.loads(told)
    assert (code, errors, report["errors"], report["warnings"]) == (1, "", 2, 0)
    assert report["problems"][0] == {
        "file": "p/a.rego",
        "line": 3,
        "column": 1,
        "end_line": 3,
        "end_column": 6,
        "severity": "error",
        "code": "tidegate_contract_error",
        "message": "`denny` has no effect in package `tidegate.admission`",
        "hint": "did you mean `deny`?",
    }
    write({"p/x/data.yaml": "", "p/a.rego": DENY})
    assert json.loads(ended("check", "p", "--format", "json")[1]) == {"errors": 0, "warnings": 0, "problems": []}


def test_a_problem_of_no_place_has_none() -> None:
    Path("p").mkdir()
    code, told, _ = ended("check", "p", "--format", "json")
    [problem] = json.loads(told)["problems"]
    assert (code, problem["file"], problem["line"], problem["end_line"]) == (1, None, None, None)
    assert problem["message"] == "p: there is no policy here, not one `.rego` file"


def test_a_path_that_leads_nowhere_is_wrong_usage() -> None:
    assert ended("check", "none") == (2, "", "tidegate: none: there is no such file or folder\n")


def test_a_file_that_cannot_be_read_is_told() -> None:
    write({"p/a.rego": DENY})
    Path("p/b.rego").symlink_to("nowhere")
    code, told, _ = ended("check", "p")
    assert (code, "p/b.rego: cannot be read: no such file or directory" in told) == (1, True)


def test_the_shipped_policies_have_no_problem() -> None:
    code, told, errors = ended("check", str(SHIPPED), "--strict")
    assert (code, errors) == (0, ""), told
    assert told.endswith(" modules, no problems\n")


# eval


EVALUATIONS = [
    (("1 + 2",), "", '{"result":3}'),
    (("input.a",), "", "{}"),
    (("input.a", "--input", "-"), '{"a": [1, 2.50, {"b": null}]}', '{"result":[1,2.5,{"b":null}]}'),
    (("input.a", "--input", "input.json"), "", '{"result":1}'),
    (("data.app.x", "--policies", "p"), "", '{"result":["a","b"]}'),
    (("data.app", "--policies", "p", "--data", "more.yaml"), "", '{"result":{"more":5,"x":["a","b"]}}'),
    (("data.app.y", "--policies", "p"), "", "{}"),
    (("123456789012345678901234567890 * 10",), "", '{"result":1234567890123456789012345678900}'),
]


@pytest.mark.parametrize(("arguments", "given", "told"), EVALUATIONS, ids=[" ".join(each[0]) for each in EVALUATIONS])
def test_evaluations(arguments: tuple[str, ...], given: str, told: str) -> None:
    write(
        {
            "p/a.rego": 'package app\n\nx contains letter if some letter in ["b", "a"]\n\ny if input.y\n',
            "input.json": '{"a": 1}',
            "more.yaml": "app:\n  more: 5\n",
        }
    )
    assert ended("eval", *arguments, given=given) == (0, told + "\n", "")


MISTAKES = [
    (("data.",), "tidegate: query:1:"),
    (("nothing",), "tidegate: query:1:1: rego_unsafe_var_error: var `nothing` is unsafe"),
    (("1", "--policies", "none"), "tidegate: tidegate_bundle_error: none: cannot be read: no such file or directory"),
    (("1", "--policies", "bad"), "tidegate: bad/a.rego:1:1: "),
    (("1", "--input", "none.json"), "tidegate: none.json: cannot be read: no such file or directory"),
    (("1", "--input", "-"), "tidegate: standard input:1:1: tidegate_bundle_error: it is not JSON: expecting value"),
    (("1", "--data", "none.json"), "tidegate: none.json: cannot be read: no such file or directory"),
    (("numbers.range(1, 1e12)",), "tidegate: eval_budget_error: the policy did more work than one evaluation may"),
]


@pytest.mark.parametrize(("arguments", "told"), MISTAKES, ids=[" ".join(each[0]) for each in MISTAKES])
def test_mistakes_are_wrong_usage(arguments: tuple[str, ...], told: str) -> None:
    write({"bad/a.rego": "nonsense"})
    code, out, errors = ended("eval", *arguments)
    assert (code, out) == (2, "")
    assert errors.startswith(told)
    assert "Traceback" not in errors


# input


def test_the_input_is_printed() -> None:
    assert ended("input") == (0, markdown() + "\n", "")
    assert json.loads(ended("input", "--schema")[1]) == policy_schema()


def test_help() -> None:
    for arguments in ((), ("--help",)):
        assert "check" in ended(*arguments)[1] + ended(*arguments)[2]
    assert "bundle.tar.gz" in ended("check", "--help")[1]
    assert "data.tidegate.admission.deny" in ended("eval", "--help")[1]
    assert ended("check", "--format", "xml")[0] == 2
