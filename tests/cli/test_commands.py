"""The commands as a user has them: exit codes, what goes where, and what never appears."""

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tidegate.cli.config import example

ENGINE = Path(__file__).parents[2] / "engine"
SECRET = "sk-canary-0123456789abcdef0123"
WRONG = "[serve]\nworkers = -1\nhang = 'x'\n"
PROBLEMS = """\
tidegate: 2 problems in the settings:
  t.toml:2: `serve.workers`: expected a whole number from 0 to 256, found `-1`
  t.toml:3: `serve.hang`: expected seconds, above 0, at most 86400, or a time such as `10s`, found `x`
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "OPENAI_"))}
    return {**inherited, "PYTHONPATH": str(ENGINE), "COLUMNS": "120", **variables}


def tidegate(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidegate", *arguments]
    return subprocess.run(command, env=environment(**variables), capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("words", ["config example", "version", "--help", "policy input", "prices show"])
def test_an_output_that_cannot_be_written_is_explained(words: str) -> None:
    command = [sys.executable, "-m", "tidegate", *words.split()]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert ended.returncode == 2
    assert ended.stderr == "tidegate: the output cannot be written: no space left on device\n"


def with_fault(fault: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of `main` in which loading the settings does something else."""
    program = f"""
import sys
from tidegate.cli import config, serve
def fault(*_):
    {fault}
serve.load = config.read = fault
from tidegate.cli.app import main
main()
"""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 0, "Usage: tidegate"),
        (("--help",), 0, "Usage: tidegate"),
        (("serve", "--help"), 0, "Usage: tidegate serve"),
        (("config", "--help"), 0, "Usage: tidegate config"),
        (("keys", "create", "-h"), 0, "Usage: tidegate keys create"),
        (("version",), 0, "msgspec "),
        (("--version",), 0, "msgspec "),
        (("nope",), 2, "No such command 'nope'"),
        (("serve", "--nope"), 2, "No such option"),
        (("serve", "--config"), 2, "requires an argument"),
        (("serve", "extra"), 2, "unexpected extra argument"),
        (("simulate", "--port", "70000"), 2, "--port"),
        (("config", "check", "none.toml"), 2, "tidegate: none.toml: cannot be read: no such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_help_and_usage(arguments: tuple[str, ...], code: int, said: str) -> None:
    ended = tidegate(*arguments)
    assert ended.returncode == code
    assert said in (ended.stderr if code else ended.stdout)
    assert (ended.stdout if code else ended.stderr) == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--config", "t.toml"),
        ("serve", "--config=t.toml"),
        ("config", "check", "t.toml"),
        ("config", "show", "t.toml"),
    ],
    ids=" ".join,
)
def test_every_command_tells_every_problem(arguments: tuple[str, ...]) -> None:
    Path("t.toml").write_text(WRONG)
    ended = tidegate(*arguments)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", PROBLEMS)


def test_serve_finds_the_file_by_itself() -> None:
    Path("t.toml").write_text(WRONG)
    assert tidegate("serve", TIDEGATE_CONFIG="t.toml").stderr == PROBLEMS
    Path("t.toml").rename("tidegate.toml")
    assert tidegate("serve").stderr == PROBLEMS.replace("t.toml", "tidegate.toml")


def test_check_sums_up() -> None:
    Path("t.toml").write_text("[integration.b]\nprovider = 'openai'\n[integration.a]\nprovider = 'anthropic'")
    ended = tidegate("config", "check", "t.toml", TIDEGATE_SERVE_LISTEN="127.0.0.1:1,unix:/a")
    line = "t.toml: no problems; 2 integrations (a, b), listening on 127.0.0.1:1, unix:/a, admin on 127.0.0.1:8081\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, line, "")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('[record]\norigin = "a b"', "`a b` cannot be the origin of a log"),
        ('[policy]\npath = "odd"', "there is no policy here"),
        ('[prices]\nfile = "odd/file"', "odd/file: is not a price table"),
        ('[vocabulary.x]\npath = "odd/file"\nshape = "cl100k"\nmodels = ["x"]', "cannot use the vocabulary"),
        ('[serve.tls]\ncertificate = "odd/file"\nkey = "odd/file"', "make no TLS identity"),
    ],
    ids=["origin", "policy", "prices", "vocabulary", "tls"],
)
def test_check_reads_what_settings_name(settings: str, said: str) -> None:
    Path("odd").mkdir()
    Path("odd/file").write_text("odd")
    Path("t.toml").write_text(f"{settings}\n[integration.a]\nprovider = 'simulated'")
    ended = tidegate("config", "check", "t.toml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["odd", "t.toml"], "nothing is made"


def test_show_and_example_print_toml() -> None:
    shown = tidegate("config", "show", TIDEGATE_SERVE_WORKERS="3")
    assert tomllib.loads(shown.stdout)["serve"]["workers"] == 3
    assert "workers = 3  # TIDEGATE_SERVE_WORKERS\n" in shown.stdout
    assert 'provider = "simulated"  # default\n' in shown.stdout
    assert tidegate("config", "example").stdout == example() + "\n"


def test_version_names_what_matters() -> None:
    names = [line.split()[0] for line in tidegate("version").stdout.splitlines()]
    assert names == ["tidegate", "python", "uvloop", "httptools", "msgspec"]


@pytest.mark.parametrize("arguments", [("serve",), ("config", "check")], ids=" ".join)
def test_a_bug_is_one_line_without_its_text(arguments: tuple[str, ...]) -> None:
    ended = with_fault(f"raise ValueError({SECRET!r})", *arguments)
    assert ended.returncode == 70
    assert ended.stdout == ""
    assert ended.stderr == ("tidegate: ValueError at <string>:5: this is a bug in Tidegate, please report this line\n")


@pytest.mark.parametrize("arguments", [("serve",), ("config", "check")], ids=" ".join)
def test_an_interrupt_is_130(arguments: tuple[str, ...]) -> None:
    ended = with_fault("raise KeyboardInterrupt", *arguments)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_a_reader_that_left_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tidegate", "config", "example"]
    ended = subprocess.run(command, env=environment(), stdout=writer, stderr=subprocess.PIPE, timeout=30)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize("option", [(), ("--config", "t.toml")], ids=" ".join)
def test_serve_starts_without_typer(option: tuple[str, ...]) -> None:
    Path("t.toml").write_text(WRONG)
    command = [sys.executable, "-X", "importtime", "-m", "tidegate", "serve", *option]
    variables = environment(TIDEGATE_CONFIG="t.toml")
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=30)
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time")}
    assert "tidegate.configuration.reading" in imported
    assert not {name for name in imported if name.split(".")[0] in ("typer", "click", "rich")}


@pytest.mark.parametrize("option", [("--config", "t.toml"), ("--config=t.toml",)], ids=" ".join)
def test_serve_serves_until_told_to_stop(option: tuple[str, ...]) -> None:
    Path("t.toml").write_text("[serve]\nlisten = ['127.0.0.1:0']\nadmin = '127.0.0.1:0'\nworkers = 1")
    command = [sys.executable, "-m", "tidegate", "serve", *option]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as gateway:
        assert gateway.stdout
        said = []
        for line in gateway.stdout:
            said.append(line)
            if "listening" in line:
                break
        gateway.send_signal(signal.SIGTERM)
        said.append(gateway.stdout.read())
    assert gateway.returncode == 0, said


def test_simulate_serves_until_interrupted() -> None:
    command = [sys.executable, "-m", "tidegate", "simulate", "--port", "0", "--seed", "7", "--pace", "2.5"]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as provider:
        assert provider.stdout
        line = provider.stdout.readline()
        provider.send_signal(signal.SIGINT)
        rest = provider.stdout.read()
    assert "http://127.0.0.1:" in line
    assert "seed 7, pace 2.5 ms" in line
    assert (provider.returncode, rest) == (0, "")


@pytest.mark.parametrize(
    "file",
    [
        "[integration.a]\nprovider = 'openai'\ncredential = 'env://OPENAI_API_KEY'",
        "[integration.a]\nprovider = 'openai'\ncredential = 'env://OPENAI_API_KEY'\n[serve]\nworkers = -1",
        f"[integration.a]\nprovider = 'openai'\ncredential = '{SECRET}'",
        f"[integration.a]\nprovider = 'openai'\nbase_url = 'https://{SECRET}@host'",
        f"[integration.a]\nprovider = 'openai'\nkey = '{SECRET}'",
        f"[integration]\nopenai = '{SECRET}'",
        f"credential = {SECRET}",
    ],
)
@pytest.mark.parametrize("command", ["check", "show"])
def test_no_command_prints_a_secret(file: str, command: str) -> None:
    Path("t.toml").write_text(file)
    ended = tidegate("config", command, "t.toml", OPENAI_API_KEY=SECRET)
    assert ended.stdout + ended.stderr
    assert "canary" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
