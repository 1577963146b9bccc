"""`tidegate keys` as a user has it: what it prints, where, with which exit code, and what never appears."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_ledger import read_only
from tests.identify.making import make
from tidegate.cli.app import main
from tidegate.errors import KeyExpired
from tidegate.identify.caller import prove
from tidegate.identify.held import Keys
from tidegate.identify.keyfile import changing
from tidegate.identify.keys import Revoked, Rotated

SECRET = "sk-canary-0123456789abcdef0123"
ENGINE = Path(__file__).parents[2] / "engine"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TIDEGATE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")


def process(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """The exit code of a command as a process of its own, and what it printed."""
    command = [sys.executable, "-m", "tidegate", "keys", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ENGINE), **environ}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("output", ["/dev/full", None], ids=["a full disk", "nothing"])
def test_a_secret_that_nobody_has_seen_is_said_to_be_in_force(output: str | None) -> None:
    """It stands nowhere else; the key is there."""
    line = [sys.executable, "-m", "tidegate", "keys"]
    where = f"> {output}" if output else ">&-"
    made = [*line, "create", "--tenant", "acme"]
    shell = ["sh", "-c", f'exec "$@" {where}', "sh"]
    environment = {**os.environ, "PYTHONPATH": str(ENGINE)}
    ended = subprocess.run([*shell, *made], env=environment, capture_output=True, text=True, timeout=60)
    code, listed, _ = process("list", "--json")
    (key,) = json.loads(listed)
    assert (code, ended.returncode, ended.stdout) == (0, 2, "")
    said = ended.stderr
    assert said.startswith(f"tidegate: nobody has seen the secret of the key `{key['id']}`, which is in force (")
    assert f"tidegate keys revoke {key['id']}" in said
    assert "Exception" not in said
    rotated = [*line, "rotate", key["id"], "--overlap", "0s"]
    ended = subprocess.run([*shell, *rotated], env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (2, said)
    code, secret, _ = process("rotate", key["id"], "--overlap", "0s", "--quiet")
    assert (code, secret.startswith(key["id"])) == (0, True)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Command":
    return Command(monkeypatch, capsys)


class Command:
    """The same in this process: starting another one takes half a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["tidegate", "keys", *arguments])
        code = 0
        try:
            main()
        except SystemExit as exited:
            code = int(exited.code or 0)
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def made(self, *arguments: str) -> str:
        code, out, err = self("create", "--quiet", *arguments)
        assert (code, err) == (0, "")
        return out.removesuffix("\n")

    def listed(self) -> dict[str, dict[str, object]]:
        return {each["id"]: each for each in json.loads(self("list", "--json")[1])}


def proved(text: str) -> str:
    """The tenant of a key, as a gateway would say."""
    return prove(text.encode(), Keys(Path(".tidegate"), print)).made.tenant


def test_the_life_of_a_key_as_processes() -> None:
    code, text, errors = process("create", "--quiet", "--tenant", "acme")
    assert (code, errors, len(text)) == (0, "", 60)
    text = text.strip()
    assert proved(text) == "acme"
    code, out, errors = process("list")
    assert (code, errors) == (0, "")
    assert out.split("\n")[1].split()[:3] == [text[:15], "active", "acme"]
    code, fresh, errors = process("rotate", text[:15], "--quiet", "--overlap", "1h")
    assert (code, errors) == (0, "")
    assert (proved(fresh.strip()), proved(text)) == ("acme", "acme")
    assert process("revoke", text[:15]) == (0, f"{text[:15]} is revoked\n", "")
    code, out, errors = process("list", "--json")
    assert (code, errors, json.loads(out)[0]["state"]) == (0, "", "revoked")
    assert text[16:] not in out
    code, out, errors = process("rotate", text[:15])
    assert (code, out) == (2, "")
    assert (
        errors == f"tidegate: the key `{text[:15]}` was revoked, for ever: make another with `tidegate keys create`\n"
    )


def test_a_key_is_printed_also_where_its_name_cannot_be() -> None:
    code, out, errors = process("create", "--name", "\N{SNOWMAN}", "--json", PYTHONIOENCODING="latin-1")
    assert (code, errors) == (0, "")
    told = json.loads(out)
    assert (proved(told["key"]), told["name"]) == ("default", "\N{SNOWMAN}")


def test_a_new_key_for_people(keys: Command) -> None:
    code, out, errors = keys("create", "--tenant", "acme")
    text, empty, once, about, end = out.split("\n")
    assert (code, errors, empty, end) == (0, "", "", "")
    assert proved(text) == "acme"
    assert "shown once" in once
    assert about == f"id {text[:15]}, tenant acme, expires never"


def test_all_that_can_be_said_of_a_key(keys: Command) -> None:
    Path("tidegate.toml").write_text("[integration.main]\nprovider = 'simulated'\n")
    said = ["--tenant", "acme", "--name", "the bot \u2603", "--user", "ann", "--role", "ops", "--role", "dev"]
    said += ["--tag", "team=x", "--integration", "main", "--expires", "90d"]
    code, out, _ = keys("create", "--json", *said)
    told = json.loads(out)
    text = told.pop("key")
    assert code == 0
    assert proved(text) == "acme"
    assert told == keys.listed()[text[:15]]
    created, expires = (time.strptime(told.pop(name), "%Y-%m-%dT%H:%M:%SZ") for name in ("created", "expires"))
    assert time.mktime(expires) - time.mktime(created) == 90 * 86400
    assert told == {
        "id": text[:15],
        "state": "active",
        "tenant": "acme",
        "name": "the bot \u2603",
        "user": "ann",
        "roles": ["ops", "dev"],
        "tags": ["team=x"],
        "integrations": ["main"],
        "rotated": None,
        "revoked": None,
        "overlap_until": None,
    }


def test_a_list_of_no_keys_and_of_one_tenant(keys: Command) -> None:
    assert keys("list") == (0, "no keys; `tidegate keys create` makes one\n", "")
    assert not Path(".tidegate").exists(), "to look makes nothing"
    one, other = keys.made("--tenant", "a"), keys.made("--tenant", "b")
    assert [line.split()[0] for line in keys("list")[1].split("\n")[1:-1]] == [one[:15], other[:15]]
    assert [each["id"] for each in json.loads(keys("list", "--json", "--tenant", "b")[1])] == [other[:15]]


def test_a_tenant_without_keys_is_told(keys: Command) -> None:
    keys.made("--tenant", "a")
    assert keys("list", "--tenant", "nobody") == (0, "no keys of tenant `nobody`; `tidegate keys list` has all\n", "")
    assert keys("list", "--tenant", "nobody", "--json") == (0, "[]\n", "")


def test_states(keys: Command) -> None:
    active, rotating, expired, revoked = (keys.made() for _ in range(4))
    soon = keys.made("--expires", "1s")
    assert keys("rotate", rotating[:15], "--quiet")[0] == 0
    assert keys("revoke", revoked[:15])[0] == 0
    time.sleep(1.1)
    states = {id: each["state"] for id, each in keys.listed().items()}
    names = {active: "active", rotating: "rotating", expired: "active", revoked: "revoked", soon: "expired"}
    assert states == {text[:15]: state for text, state in names.items()}
    code, _, errors = keys("rotate", soon[:15])
    assert (code, "has expired: say with --expires" in errors) == (2, True)
    code, fresh, _ = keys("rotate", soon[:15], "--expires", "1h", "--quiet")
    assert code == 0
    assert proved(fresh.strip()) == "default"
    with pytest.raises(KeyExpired, match="this secret of it has expired"):
        proved(soon)
    assert keys.listed()[soon[:15]]["state"] == "active"


def test_a_secret_is_never_good_for_longer_than_it_was_to_be(keys: Command) -> None:
    """A later end is that of the new secret alone, a sooner one that of both."""
    text = keys.made("--expires", "1h")
    id, ends = text[:15], keys.listed()[text[:15]]["expires"]
    assert f"the secret before it is good until {ends}\n" in keys("rotate", id, "--expires", "90d")[1]
    assert keys.listed()[id]["overlap_until"] == ends
    assert keys("rotate", id, "--quiet", "--expires", "never", "--overlap", "30m")[0] == 0
    assert keys.listed()[id]["overlap_until"] < ends
    assert "the secret before it was good until 20" in keys("rotate", id, "--overlap", "0s")[1]
    assert keys("rotate", id, "--quiet", "--expires", "2h")[0] == 0
    assert keys.listed()[id]["overlap_until"] == keys.listed()[id]["expires"]


def test_a_rotated_key_ends_within_100_years_too(keys: Command) -> None:
    text = keys.made()
    code, out, errors = keys("rotate", text[:15], "--quiet", "--expires", "9999-12-31T23:59:59-12:00")
    assert (code, out, "more than 100 years away" in errors) == (2, "", True)
    assert keys.listed()[text[:15]]["rotated"] is None
    assert keys("rotate", text[:15], "--quiet", "--expires", "36600d")[0] == 0


def test_moments_later_than_any_calendar_are_listed(keys: Command) -> None:
    """A file may hold them: nobody is to lose sight of the other keys for that."""
    folder = Path(".tidegate")
    text = make(folder, expires=2**53)
    with changing(folder) as file:
        file.append([Rotated(text[:15], bytes(32), 2**53, 2**53, 2**53), Revoked(text[:15], 2**53)])
    told = keys.listed()[text[:15]]
    assert {told[name] for name in ("expires", "rotated", "overlap_until", "revoked")} == {"9999-12-31T23:59:59Z"}
    code, out, _ = keys("list")
    assert (code, text[:15] in out) == (0, True)
    assert keys("revoke", text[:15]) == (0, f"{text[:15]} was revoked before, 9999-12-31T23:59:59Z\n", "")


def test_revoking_many_is_all_or_nothing_and_can_be_said_twice(keys: Command) -> None:
    one, other = keys.made(), keys.made()
    code, out, errors = keys("revoke", one[:15], "tg_000000000000", other[:15])
    assert (code, out, "there is no key `tg_000000000000`" in errors) == (2, "", True)
    assert proved(one) == proved(other) == "default"
    assert keys("revoke", one[:15], other[:15], one[:15])[1] == f"{one[:15]} is revoked\n{other[:15]} is revoked\n"
    code, out, errors = keys("revoke", one[:15])
    assert (code, errors) == (0, "")
    assert out.startswith(f"{one[:15]} was revoked before, 20")


def test_a_name_that_is_not_utf8_is_told_by_a_process() -> None:
    code, out, errors = process("create", "--name", os.fsdecode(b"caf\xe9"))
    assert (code, out) == (2, "")
    assert errors.startswith("tidegate: --name: expected at most 256 characters of UTF-8")


def test_a_key_with_a_control_character_that_once_was_taken_is_still_good(keys: Command) -> None:
    text = make(Path(".tidegate"), name="a\x9bb", user="\x80")
    assert proved(text) == "acme"
    assert keys("list")[0] == 0
    assert keys.listed()[text[:15]]["name"] == "a\x9bb"


MISTAKES = [
    (("create", "--tenant", "a b"), "--tenant: expected at most 64 letters"),
    (("create", "--tenant", ""), "--tenant: expected"),
    (("create", "--name", "a\nb"), "--name: expected"),
    (("create", "--name", "a\x9b31m"), "--name: expected at most 256 characters of UTF-8, none of them a control"),
    (("create", "--name", "caf\udce9"), "--name: expected at most 256 characters of UTF-8"),
    (("create", "--user", "a" * 257), "--user: expected"),
    (("create", "--user", "a\x80"), "--user: expected"),
    (("create", "--user", "a\x9f"), "--user: expected"),
    (("create", "--user", "\udcff"), "--user: expected"),
    (("create", "--role", "a b"), "--role: expected at most 16, each of at most 64"),
    (("create", *["--role", "a"] * 17), "--role: expected"),
    (("create", "--tag", "a,b"), "--tag: expected"),
    (("create", "--integration", "simulatd"), "there is no integration `simulatd`; did you mean `simulated`?"),
    (("create", "--expires", "soon"), "--expires: expected `90d`"),
    (("create", "--expires", "2027-01-31T00:00:00"), "--expires: expected `90d`"),
    (("create", "--expires", "2020-01-31T00:00:00Z"), "--expires: the moment is past"),
    (("create", "--expires", "0001-01-01T00:00:00+14:00"), "--expires: the moment is past"),
    (("create", "--expires", "0s"), "--expires: the moment is past"),
    (("create", "--expires", "9999-12-31T23:59:59-12:00"), "--expires: the moment is more than 100 years away"),
    (("create", "--expires", "2199-01-01T00:00:00Z"), "--expires: the moment is more than 100 years away"),
    (("create", "--expires", "999999999d"), "--expires: expected a time"),
    (("rotate", "tg_000000000000", "--overlap", "-1h"), "--overlap: expected a time"),
    (("rotate", "tg_000000000000"), "there is no key `tg_000000000000`"),
    (("revoke", SECRET), "expected the id of a key, which is its first 15 characters"),
    (("revoke", "tg_000000000000_" + "S" * 43), "expected the id of a key, which is its first 15 characters"),
    (("list", "--tenant", "a\udcff"), "--tenant: expected at most 64 letters"),
    (("list", "--config", "none.toml"), "none.toml: cannot be read"),
]


@pytest.mark.parametrize(("arguments", "told"), MISTAKES, ids=[" ".join(case[0])[:60] for case in MISTAKES])
def test_mistakes_are_told_and_change_nothing(keys: Command, arguments: tuple[str, ...], told: str) -> None:
    code, out, errors = keys(*arguments)
    assert (code, out) == (2, "")
    assert told in errors
    assert "Traceback" not in errors
    assert SECRET not in errors
    assert "SSS" not in errors
    assert not Path(".tidegate/keys.jsonl").exists()


def test_keys_can_be_revoked_where_a_gateway_could_not_run(keys: Command) -> None:
    """A credential that this shell does not have, and an address that may not be listened on without keys."""
    Path("tidegate.toml").write_text(
        "data = 'elsewhere'\n[serve]\nlisten = ['0.0.0.0:80']\n"
        "[integration.a]\nprovider = 'openai'\ncredential = 'env://NOT_HERE'\n"
    )
    text = keys.made("--integration", "a")
    assert Path("elsewhere/keys.jsonl").exists()
    assert keys("revoke", text[:15])[0] == 0
    assert keys("revoke", text[:15], "--config", "tidegate.toml")[0] == 0


def test_a_folder_that_cannot_be_written_is_told(keys: Command) -> None:
    Path(".tidegate").write_text("a file")
    code, out, errors = keys("create")
    assert (code, out) == (2, "")
    assert ".tidegate: cannot be changed: file exists" in errors
    code, out, errors = keys("list")
    assert (code, out) == (2, "")
    assert "Traceback" not in errors
    assert "bug" not in errors


def test_keys_are_listed_where_nothing_can_be_written_and_nothing_is_made(keys: Command, tmp_path: Path) -> None:
    assert keys("list") == (0, "no keys; `tidegate keys create` makes one\n", "")
    assert list(tmp_path.iterdir()) == []
    id = keys.made()[:15]
    with read_only(tmp_path / ".tidegate"):
        code, out, _ = keys("list")
        assert (code, id in out) == (0, True)
        assert "read-only" in keys("create")[2] or os.geteuid()
    (tmp_path / ".tidegate" / "keys.jsonl").write_bytes(b"")  # an older copy
    assert "bytes that were written are not there" in keys("list")[2]


def test_help(keys: Command) -> None:
    assert "revoke" in keys("--help")[1]
    assert "--overlap" in keys("rotate", "--help")[1]
