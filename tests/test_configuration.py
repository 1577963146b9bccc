"""The file and the environment become settings; whatever is wrong with them is told, all of it, at its place."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import inspect, structs

from tidegate.cli.config import example, show, summary
from tidegate.configuration import address, credential, is_local, load, read
from tidegate.configuration.keys import keys, variable
from tidegate.errors import SettingsError
from tidegate.settings import Integration, Settings

SECRET = "sk-canary-0123456789abcdef0123"
SIZE = "expected a whole number of bytes from 1 to 1073741824, or a size such as `32 MiB`"
SECONDS = "expected seconds, above 0, at most 86400, or a time such as `10s`"
PROVIDERS = "expected one of `anthropic`, `openai`, `simulated`"
NAMES = "expected a name of at most 63 of `a-z`, `0-9`, `-` and `_` that begins with a letter"
ADDRESSES = "expected `host:port`, `[v6]:port` or `unix:/path`"
UNTIL_KEYS = (
    "which is refused until virtual keys exist; bind a loopback address, or set identify.anonymous = false and remove"
    " the credential"
)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(text: str, environ: Mapping[str, str] | None = None) -> Settings:
    Path("t.toml").write_text(text)
    return load(Path("t.toml"), environ or {})


def told(text: str | None, environ: Mapping[str, str] | None = None) -> list[str]:
    """The problems of a configuration, one a line."""
    with pytest.raises(SettingsError) as caught:
        if text is None:
            load(None, environ or {})
        else:
            loaded(text, environ)
    first, *rest = caught.value.message.split("\n")
    if not rest:
        return [first]
    assert first == f"{len(rest)} problems in the settings:"
    assert all(line.startswith("  ") for line in rest)
    return [line[2:] for line in rest]


# a note, the file, its problems
WRONG_FILES = [
    ("key, near", "[accept]\nheader_timeot = 5", ["2: `accept.header_timeot`: there is no such key; did you mean `header_timeout`?"]),
    ("key, near none", "[accept]\nzzz = 5", ["2: `accept.zzz`: there is no such key"]),
    ("key of another section", "\n[accept]\nworkers = 5", ["3: `accept.workers`: there is no such key; did you mean `serve.workers`?"]),
    ("key of two others", "[serve]\nidle_timeout = 5", ["2: `serve.idle_timeout`: there is no such key; did you mean `accept.idle_timeout` or `forward.idle_timeout`?"]),
    ("section", "[acept]\nline = 1", ["1: `acept`: there is no such section; did you mean `accept`?"]),
    ("section within", "[serve.tsl]\nkey = 'a'", ["1: `serve.tsl`: there is no such section; did you mean `tls`?"]),
    ("section moved", "[tls]\nkey = 'a'", ["1: `tls`: there is no such section; did you mean `serve.tls`?"]),
    ("a line cannot forge a message", '"a\\n\\u001b[31mb" = 1', [": `a\\n\\x1b[31mb`: there is no such key"]),
    ("size too small", "[accept]\nbody = 0", [f"2: `accept.body`: {SIZE}, found `0`"]),
    ("size too large", "[accept]\nbody = 1073741825", [f"2: `accept.body`: {SIZE}, found `1073741825`"]),
    ("size too large, by unit", "[accept]\nbody = '2 GiB'", [f"2: `accept.body`: {SIZE}, found `2 GiB`"]),
    ("decimal unit", "[accept]\nbody = '1 MB'", [f"2: `accept.body`: {SIZE}, found `1 MB`"]),
    ("fraction of a size", "[accept]\nbody = '1.5 MiB'", [f"2: `accept.body`: {SIZE}, found `1.5 MiB`"]),
    ("size as float", "[accept]\nbody = 1.0", [f"2: `accept.body`: {SIZE}, found `1.0`"]),
    ("size as bool", "[accept]\nbody = true", [f"2: `accept.body`: {SIZE}, found `true`"]),
    ("size as date", "[accept]\nbody = 2026-01-01", [f"2: `accept.body`: {SIZE}, found a date or time"]),
    ("size as list", "[accept]\nbody = [1]", [f"2: `accept.body`: {SIZE}, found a list with `1` in it"]),
    ("time zero", "[serve]\ndrain = 0", [f"2: `serve.drain`: {SECONDS}, found `0`"]),
    ("time too long, by unit", "[serve]\ndrain = '25h'", [f"2: `serve.drain`: {SECONDS}, found `25h`"]),
    ("time without meaning", "[serve]\ndrain = nan", [f"2: `serve.drain`: {SECONDS}, found `nan`"]),
    ("time in days", "[serve]\ndrain = '1d'", [f"2: `serve.drain`: {SECONDS}, found `1d`"]),
    ("time from 0", "[forward]\ncomment = -1", ["2: `forward.comment`: expected seconds, 0 or more, at most 3600, or a time such as `10s`, found `-1`"]),
    ("count", "[serve]\nworkers = 257", ["2: `serve.workers`: expected a whole number from 0 to 256, found `257`"]),
    ("a count is no size", "[serve]\nworkers = '2'", ["2: `serve.workers`: expected a whole number from 0 to 256, found `2`"]),
    ("count beyond 64 bits", f"[serve]\nworkers = {10**30}", [f"2: `serve.workers`: expected a whole number from 0 to 256, found `{10**30}`"]),
    ("word", "[forward]\ndisconnect = 'cancle'", ["2: `forward.disconnect`: expected one of `cancel`, `drain`, found `cancle`"]),
    ("bool", "[identify]\nanonymous = 'yes'", ["2: `identify.anonymous`: expected `true` or `false`, found `yes`"]),
    ("string", "data = 5", ["1: `data`: expected a string, found `5`"]),
    ("no string", "data = ''", ["1: `data`: expected the path of a folder"]),
    ("list", "[serve]\nlisten = 'x:1'", ["2: `serve.listen`: expected a list of strings, found a string"]),
    ("section as string", "serve = 'x'", ["1: `serve`: expected a table, found a string"]),
    ("optional section as string", "[serve]\ntls = 'x'", ["2: `serve.tls`: expected a table, found a string"]),
    ("integrations as list", "integration = []", ["1: `integration`: expected a table, found a list"]),
    ("integration as string", "[integration]\nopenai = 'x'", ["2: `integration.openai`: expected a table, found a string"]),
    ("integration's name", "[integration.Mine]\nprovider = 'openai'", [f"1: `integration.Mine`: {NAMES}"]),
    ("integration's key", "[integration.a]\nprovider = 'openai'\nbase_ulr = 'x'", ["3: `integration.a.base_ulr`: there is no such key; did you mean `base_url`?"]),
    ("required key", "[integration.a]\nprivate = true", [f"1: `integration.a.provider`: is missing: {PROVIDERS}"]),
    ("required keys of an empty section", "[serve]\n[serve.tls]", ["2: `serve.tls.certificate`: is missing: expected a string", "2: `serve.tls.key`: is missing: expected a string"]),
    ("provider", "[integration.a]\nprovider = 'opnai'", [f"2: `integration.a.provider`: {PROVIDERS}, found `opnai`"]),
    ("line of an inline table", "\n[serve]\ntls = { certificate = 5, key = 5 }", ["3: `serve.tls.certificate`: expected a string, found `5`", "3: `serve.tls.key`: expected a string, found `5`"]),
    ("line of a dotted key", "\nserve.workers = -1", ["2: `serve.workers`: expected a whole number from 0 to 256, found `-1`"]),
    ("syntax", "[serve]\nworkers = = 1", ["2:11: invalid value"]),
    ("syntax at the end", "[serve", ["1:7: expected ']' at the end of a table declaration"]),
    ("key twice", "data = 'a'\ndata = 'b'", ["2:11: cannot overwrite a value"]),
    ("address", "[serve]\nlisten = ['8080']", [f"2: `serve.listen`: {ADDRESSES}, found `8080`"]),
    ("addresses, each", "[serve]\nlisten = ['a', 'b']", [f"2: `serve.listen`: {ADDRESSES}, found `a`", f"2: `serve.listen`: {ADDRESSES}, found `b`"]),
    ("no address", "[serve]\nlisten = []", ["2: `serve.listen`: expected at least one address"]),
    ("address twice", "[serve]\nlisten = ['[::1]:80', '[0:0::1]:80']", ["2: `serve.listen`: `[0:0::1]:80` is listed already"]),
    ("address of admin", "[serve]\nlisten = ['127.0.0.1:8081']", ["1: `serve.admin`: `127.0.0.1:8081` is listed already"]),
    ("admin outside", "[serve]\nadmin = '0.0.0.0:81'", ["2: `serve.admin`: expected a loopback address and a port, found `0.0.0.0:81`"]),
    ("admin on a socket", "[serve]\nadmin = 'unix:/a'", ["2: `serve.admin`: expected a loopback address and a port, found `unix:/a`"]),
    ("credential", f"[integration.a]\nprovider = 'openai'\ncredential = '{SECRET}'", ["3: `integration.a.credential`: expected `env://NAME`, the name of a variable that holds the credential"]),
    ("credential not set", "[integration.a]\nprovider = 'openai'\ncredential = 'env://KEY'", ["3: `integration.a.credential`: the variable `KEY` is not set"]),
    ("models", "[integration.a]\nprovider = 'openai'\nmodels = ['gpt-4o', 'gpt-*-mini', 'o*', '', '*']", ["3: `integration.a.models`: expected model names, or beginnings that end in `*`, found `gpt-*-mini`, ``"]),
    ("aliases", "[integration.a]\nprovider = 'openai'\n[integration.a.aliases]\nx = 'gpt-*'\n'a b' = 'c'", ["3: `integration.a.aliases`: expected model names on both sides, found `gpt-*`, `a b`"]),
    ("alias to a number", "[integration.a]\nprovider = 'openai'\naliases = { x = 4 }", ["3: `integration.a.aliases`: expected a table of strings, found a table with `4` in it"]),
    ("no certificate", "[serve.tls]\ncertificate = '/none/c.pem'\nkey = '/none/k.pem'", ["2: `serve.tls.certificate`: there is no file `/none/c.pem`", "3: `serve.tls.key`: there is no file `/none/k.pem`"]),
    ("public and anonymous", "[serve]\nlisten = ['0.0.0.0:80']", [f"2: `serve.listen`: `0.0.0.0:80` can be reached from outside while `identify.anonymous` is true, {UNTIL_KEYS}"]),
    ("a wrong key is not judged again", "[serve]\nlisten = ['0.0.0.0:80']\n[identify]\nanonymous = 1", ["4: `identify.anonymous`: expected `true` or `false`, found `1`"]),
    ("all at once, in the order of the file", "[serve]\nadmin = 'x'\nworkers = -1\n[zzz]\n[integration.a]\nbase_url = 'x'", [
        f"2: `serve.admin`: {ADDRESSES}, found `x`",
        "3: `serve.workers`: expected a whole number from 0 to 256, found `-1`",
        "4: `zzz`: there is no such section",
        f"5: `integration.a.provider`: is missing: {PROVIDERS}",
        "6: `integration.a.base_url`: expected an http or https URL that begins with `http://` or `https://`",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "lines"), [case[1:] for case in WRONG_FILES], ids=[case[0] for case in WRONG_FILES])
def test_a_wrong_file_is_told(text: str, lines: list[str]) -> None:
    separator = "" if lines[0].startswith(":") else ":"
    assert told(text) == [f"t.toml{separator}{line}" for line in lines]


WRONG_ENVIRONMENTS = [
    ("variable, near", {"TIDEGATE_SERVE_WORKER": "2"}, ["TIDEGATE_SERVE_WORKER: there is no such setting; did you mean `TIDEGATE_SERVE_WORKERS`?"]),
    ("variable, near none", {"TIDEGATE_ZZZ": "2"}, ["TIDEGATE_ZZZ: there is no such setting"]),
    ("variable in small letters", {"TIDEGATE_data": "2"}, ["TIDEGATE_data: there is no such setting; did you mean `TIDEGATE_DATA`?"]),
    ("reserved, near", {"TIDEGATE_PROVIDERS": "openai"}, ["TIDEGATE_PROVIDERS: there is no such setting; did you mean `TIDEGATE_PROVIDER`?"]),
    ("integration's key, near", {"TIDEGATE_INTEGRATION_NEW_BASEURL": "x"}, ["TIDEGATE_INTEGRATION_NEW_BASEURL: there is no such setting; did you mean `TIDEGATE_INTEGRATION_NEW_BASE_URL`?"]),
    ("integration's name", {"TIDEGATE_INTEGRATION_1_PROVIDER": "openai"}, [f"TIDEGATE_INTEGRATION_1_PROVIDER: `1` cannot name an integration: {NAMES}"]),
    ("integration without provider", {"TIDEGATE_INTEGRATION_NEW_MODELS": "a"}, [f"TIDEGATE_INTEGRATION_NEW_MODELS: `integration.new.provider`: is missing: {PROVIDERS}"]),
    ("number", {"TIDEGATE_SERVE_WORKERS": "two"}, ["TIDEGATE_SERVE_WORKERS: `serve.workers`: expected a whole number from 0 to 256, found `two`"]),
    ("nothing", {"TIDEGATE_SERVE_WORKERS": ""}, ["TIDEGATE_SERVE_WORKERS: `serve.workers`: expected a whole number from 0 to 256, found ``"]),
    ("number too long for Python", {"TIDEGATE_ACCEPT_BODY": "9" * 5000}, [f"TIDEGATE_ACCEPT_BODY: `accept.body`: {SIZE}, found a string"]),
    ("bool", {"TIDEGATE_IDENTIFY_ANONYMOUS": "1"}, ["TIDEGATE_IDENTIFY_ANONYMOUS: `identify.anonymous`: expected `true` or `false`, found `1`"]),
    ("aliases", {"TIDEGATE_INTEGRATION_A_PROVIDER": "openai", "TIDEGATE_INTEGRATION_A_ALIASES": "a=b,c"}, ["TIDEGATE_INTEGRATION_A_ALIASES: `integration.a.aliases`: expected a table of strings, found a string"]),
    ("address", {"TIDEGATE_SERVE_LISTEN": "127.0.0.1:1,:2"}, [f"TIDEGATE_SERVE_LISTEN: `serve.listen`: {ADDRESSES}, found `:2`"]),
    ("one file of two", {"TIDEGATE_SERVE_TLS_KEY": __file__}, ["TIDEGATE_SERVE_TLS_KEY: `serve.tls.certificate`: is missing: expected a string"]),
    ("file", {"TIDEGATE_CONFIG": "none.toml"}, ["none.toml: cannot be read: no such file or directory"]),
    ("folder", {"TIDEGATE_CONFIG": "/"}, ["/: cannot be read: is a directory"]),
    ("provider", {"TIDEGATE_PROVIDER": SECRET}, [f"TIDEGATE_PROVIDER: {PROVIDERS}, or an http or https URL"]),
    ("provider's URL", {"TIDEGATE_PROVIDER": "http://"}, ["TIDEGATE_PROVIDER: `integration.default.base_url`: expected an http or https URL with a valid host and port"]),
    ("provider and integrations", {"TIDEGATE_PROVIDER": "openai", "TIDEGATE_INTEGRATION_A_PROVIDER": "openai"}, ["TIDEGATE_PROVIDER: integrations are configured already: `a`; remove them or unset it"]),
    ("provider's key in public", {"TIDEGATE_PROVIDER": "openai", "OPENAI_API_KEY": SECRET, "TIDEGATE_SERVE_LISTEN": "unix:/a,[::]:80", "TIDEGATE_IDENTIFY_ANONYMOUS": "false"}, [f"TIDEGATE_SERVE_LISTEN: `serve.listen`: `[::]:80` can be reached from outside while `integration.default.credential` is set, {UNTIL_KEYS}"]),
    ("not quite Kubernetes", {"TIDEGATE_PORT": "80"}, ["TIDEGATE_PORT: there is no such setting"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "lines"), [case[1:] for case in WRONG_ENVIRONMENTS], ids=[case[0] for case in WRONG_ENVIRONMENTS]
)
def test_a_wrong_environment_is_told(environ: dict[str, str], lines: list[str]) -> None:
    assert told(None, environ) == lines


def test_problems_of_file_and_environment_are_told_together() -> None:
    assert told("[serve]\nworkers = -1", {"TIDEGATE_SERVE_HANG": "x"}) == [
        "t.toml:2: `serve.workers`: expected a whole number from 0 to 256, found `-1`",
        f"TIDEGATE_SERVE_HANG: `serve.hang`: {SECONDS}, found `x`",
    ]


def test_an_integration_of_the_file_excludes_the_provider_variable() -> None:
    lines = told("[integration.mine]\nprovider = 'openai'", {"TIDEGATE_PROVIDER": "simulated"})
    assert lines == ["TIDEGATE_PROVIDER: integrations are configured already: `mine`; remove them or unset it"]


def test_a_variable_that_could_mean_two_integrations_is_refused() -> None:
    lines = told(
        "integration.a-b.provider = 'openai'\nintegration.a_b.provider = 'openai'",
        {"TIDEGATE_INTEGRATION_A_B_PRIVATE": "true"},
    )
    assert lines == ["TIDEGATE_INTEGRATION_A_B_PRIVATE: could be meant for any of `a-b`, `a_b`"]


def test_a_file_that_is_not_utf8_is_told() -> None:
    Path("t.toml").write_bytes(b"data = '\xff'")
    with pytest.raises(SettingsError, match=r"^t\.toml: byte 8 is not UTF-8$"):
        load(Path("t.toml"), {})


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 5000], ids=["nested", "long number"])
def test_a_file_that_tomllib_gives_up_on_is_told(text: str) -> None:
    assert told(text)[0].startswith("t.toml: ")


# strings cannot be made up from a type; a key that is new and missing here fails the test below
STRINGS: dict[str, tuple[str, Any]] = {
    "data": ("/tmp/elsewhere", "/tmp/elsewhere"),
    "serve.listen": ("127.0.0.1:1, unix:/a", ("127.0.0.1:1", "unix:/a")),
    "serve.admin": ("[::1]:9", "[::1]:9"),
    "serve.tls.certificate": (__file__, __file__),
    "serve.tls.key": (__file__, __file__),
    "integration.a-b.provider": ("simulated", "simulated"),
    "integration.a-b.base_url": ("https://host:1/v1", "https://host:1/v1"),
    "integration.a-b.credential": ("env://OWN", "env://OWN"),
    "integration.a-b.models": ("gpt-4o,o*", ("gpt-4o", "o*")),
    "integration.a-b.aliases": ("a=b, c = d", {"a": "b", "c": "d"}),
}


def other_than(default: Any, kind: inspect.Type, key: str) -> tuple[str, Any]:
    """A value that is not the default, as a variable's text and as it should show."""
    if key in STRINGS:
        return STRINGS[key]
    match kind:
        case inspect.BoolType():
            return str(not default).lower(), not default
        case inspect.IntType():
            return str(default + 1), default + 1
        case inspect.FloatType():
            return f"{default + 1.5}", default + 1.5
        case inspect.LiteralType():
            other = next(value for value in kind.values if value != default)
            return str(other), other
    raise AssertionError(f"no sample for {key}")


EVERY_KEY = [
    *keys(Settings),
    *((("integration", "a-b", field.name), field) for field in structs.fields(Integration)),
]


def test_variables_are_distinct() -> None:
    assert len({variable(key) for key, _ in EVERY_KEY}) == len(EVERY_KEY)


@pytest.mark.parametrize(("key", "field"), EVERY_KEY, ids=[".".join(key) for key, _ in EVERY_KEY])
def test_every_key_is_overridden_by_its_variable(key: tuple[str, ...], field: structs.FieldInfo) -> None:
    text, value = other_than(field.default, inspect.type_info(field.type), ".".join(key))
    environ = {variable(key): text, "OWN": SECRET}
    if key[:2] == ("serve", "tls"):
        environ |= {variable(("serve", "tls", name)): __file__ for name in ("certificate", "key")}
    Path("t.toml").write_text("[integration.a-b]\nprovider = 'openai'")
    settings, _, sources = read(Path("t.toml"), environ)
    found: Any = settings
    for name in key:
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    assert found == value
    assert found != field.default
    assert str(sources[key]) == variable(key)


@pytest.mark.parametrize(
    ("written", "bytes_"),
    [("1", 1), ("1 B", 1), ("64 KiB", 65536), ("64KiB", 65536), ("32 MiB", 33554432), ("1 GiB", 1073741824)],
)
def test_sizes_take_units(written: str, bytes_: int) -> None:
    assert loaded(f"[accept]\nbody = '{written}'").accept.body == bytes_
    assert loaded("", {"TIDEGATE_ACCEPT_BODY": written}).accept.body == bytes_


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("2", 2), ("1.5", 1.5), ("500ms", 0.5), ("10s", 10), ("0.5 m", 30), ("5m", 300), ("1h", 3600)],
)
def test_times_take_units(written: str, seconds: float) -> None:
    assert loaded(f"[serve]\ndrain = '{written}'").serve.drain == pytest.approx(seconds)
    assert loaded("", {"TIDEGATE_SERVE_DRAIN": written}).serve.drain == pytest.approx(seconds)


def test_whole_seconds_are_times() -> None:
    assert loaded("[serve]\ndrain = 7").serve.drain == 7.0


def test_the_environment_comes_before_the_file() -> None:
    settings = loaded("[serve]\nworkers = 3\nhang = 2", {"TIDEGATE_SERVE_WORKERS": "4"})
    assert (settings.serve.workers, settings.serve.hang) == (4, 2.0)


def test_the_file_is_found() -> None:
    assert load(None, {}).serve.workers == 0
    Path("tidegate.toml").write_text("[serve]\nworkers = 3")
    Path("other.toml").write_text("[serve]\nworkers = 4")
    Path("third.toml").write_text("[serve]\nworkers = 5")
    assert load(None, {}).serve.workers == 3
    assert load(None, {"TIDEGATE_CONFIG": ""}).serve.workers == 3
    assert load(None, {"TIDEGATE_CONFIG": "other.toml"}).serve.workers == 4
    assert load(Path("third.toml"), {"TIDEGATE_CONFIG": "other.toml"}).serve.workers == 5


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    for name in ("c.pem", "k.pem"):
        (folder / name).touch()
    (folder / "t.toml").write_text("data = '../d'\n[serve.tls]\ncertificate = 'c.pem'\nkey = 'k.pem'")
    settings = load(Path("conf/t.toml"), {})
    assert settings.data == str(tmp_path / "d")
    assert settings.serve.tls
    assert (settings.serve.tls.certificate, settings.serve.tls.key) == (str(folder / "c.pem"), str(folder / "k.pem"))
    assert load(None, {}).data == str(tmp_path / ".tidegate")
    assert load(None, {"TIDEGATE_DATA": "/abs"}).data == "/abs"


@pytest.mark.parametrize(
    ("environ", "name", "integration"),
    [
        ({}, "simulated", Integration(provider="simulated")),
        ({"TIDEGATE_PROVIDER": ""}, "simulated", Integration(provider="simulated")),
        ({"TIDEGATE_PROVIDER": "simulated"}, "default", Integration(provider="simulated")),
        ({"TIDEGATE_PROVIDER": "openai"}, "default", Integration(provider="openai")),
        ({"TIDEGATE_PROVIDER": "openai", "OPENAI_API_KEY": ""}, "default", Integration(provider="openai")),
        (
            {"TIDEGATE_PROVIDER": "openai", "OPENAI_API_KEY": SECRET, "ANTHROPIC_API_KEY": "x"},
            "default",
            Integration(provider="openai", credential="env://OPENAI_API_KEY"),
        ),
        (
            {"TIDEGATE_PROVIDER": "anthropic", "ANTHROPIC_API_KEY": SECRET},
            "default",
            Integration(provider="anthropic", credential="env://ANTHROPIC_API_KEY"),
        ),
        (
            {"TIDEGATE_PROVIDER": "http://10.0.0.1:8000/v1", "OPENAI_API_KEY": SECRET},
            "default",
            Integration(provider="openai", base_url="http://10.0.0.1:8000/v1", private=True),
        ),
        (
            {"TIDEGATE_PROVIDER": "https://api.anthropic.com"},
            "default",
            Integration(provider="anthropic", base_url="https://api.anthropic.com", private=True),
        ),
        ({"TIDEGATE_INTEGRATION_MY_OWN_PROVIDER": "openai"}, "my_own", Integration(provider="openai")),
    ],
)
def test_integrations_without_a_file(environ: dict[str, str], name: str, integration: Integration) -> None:
    assert load(None, environ).integration == {name: integration}


@pytest.mark.parametrize(
    "environ",
    [
        {"TIDEGATE_INTEGRATION_A_PROVIDER": "openai", "TIDEGATE_INTEGRATION_A_CREDENTIAL": "env://TIDEGATE_OWN", "TIDEGATE_OWN": "x"},
        {"TIDEGATE_SERVICE_HOST": "10.0.0.1", "TIDEGATE_SERVICE_PORT": "80", "TIDEGATE_SERVICE_PORT_HTTP": "80", "TIDEGATE_PORT": "tcp://10.0.0.1:80", "TIDEGATE_PORT_80_TCP": "tcp://10.0.0.1:80", "TIDEGATE_PORT_80_TCP_ADDR": "10.0.0.1"},
        {"TIDEGATE_ADMIN_SERVICE_HOST": "10.0.0.1", "TIDEGATE_ADMIN_PORT_81_TCP_PROTO": "tcp"},
    ],
    ids=["a credential's own variable", "Kubernetes", "Kubernetes, a second service"],
)  # fmt: skip
def test_variables_of_others_are_left_alone(environ: dict[str, str]) -> None:
    assert load(None, environ)


@pytest.mark.parametrize(
    ("text", "where", "local"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80), True),
        ("127.9.9.9:0", ("127.9.9.9", 0), True),
        ("[::1]:65535", ("::1", 65535), True),
        ("Localhost:80", ("localhost", 80), True),
        ("unix:/run/t.sock", "/run/t.sock", True),
        ("0.0.0.0:80", ("0.0.0.0", 80), False),
        ("[::]:80", ("::", 80), False),
        ("[::ffff:127.0.0.1]:80", ("::ffff:7f00:1", 80), False),
        ("10.1.2.3:80", ("10.1.2.3", 80), False),
        ("gate.example.com:80", ("gate.example.com", 80), False),
        ("localhost.example.com:80", ("localhost.example.com", 80), False),
    ],
)
def test_addresses(text: str, where: tuple[str, int] | str, local: bool) -> None:
    assert address(text) == where
    assert is_local(address(text)) == local


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80",
        ":80",
        "host",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "host: 80",
        "host:٨",
        "a b:80",
        "http://host:80",
    ]
    + ["127.1:80", "2130706433:80", "1.2.3.256:80", "::1:80", "[::1]", "[::1", "[h]:80"]
    + ["unix:", "unix:a", "unix:/\0", "unix:/" + "a" * 107],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="^expected `"):
        address(text)


@pytest.mark.parametrize(
    ("url", "flaw"),
    [
        ("https://host/v1", None),
        ("http://[::1]:8080", None),
        ("ftp://host", "that begins with `http://` or `https://`"),
        ("host/v1", "that begins with `http://` or `https://`"),
        (f"https://user:{SECRET}@host", "without a user name or password"),
        (f"https://{SECRET}@host", "without a user name or password"),
        (f"https://host/?key={SECRET}", "without a query or fragment"),
        ("https://host?", "without a query or fragment"),
        (f"https://host#{SECRET}", "without a query or fragment"),
        ("https:///v1", "with a valid host and port"),
        ("https://host:99999", "with a valid host and port"),
        ("https://host:0", "with a valid host and port"),
        ("https://[::1", "with a valid host and port"),
        ("https://ho\tst", "of printable ASCII characters"),
        ("https://host\r\nx: y", "of printable ASCII characters"),
        ("https://host\\@evil", "of printable ASCII characters"),
        ("https://hóst", "of printable ASCII characters"),
    ],
)
def test_base_urls(url: str, flaw: str | None) -> None:
    environ = {"TIDEGATE_INTEGRATION_A_PROVIDER": "openai", "TIDEGATE_INTEGRATION_A_BASE_URL": url}
    if flaw is None:
        assert load(None, environ).integration["a"].base_url == url
    else:
        where = "TIDEGATE_INTEGRATION_A_BASE_URL: `integration.a.base_url`"
        assert told(None, environ) == [f"{where}: expected an http or https URL {flaw}"]


@pytest.mark.parametrize(
    ("reference", "secret", "message"),
    [
        ("env://KEY", SECRET, None),
        ("env://KEY", None, "the variable `KEY` is not set"),
        ("env://KEY", "", "the variable `KEY` is empty"),
        ("env://KEY", "  ", "the variable `KEY` is empty"),
        ("env://KEY", SECRET + "\r\nx: y", "the variable `KEY` holds a control character, or one that is not ASCII"),
        ("env://KEY", SECRET + "\n", "the variable `KEY` holds a control character, or one that is not ASCII"),
        ("env://KEY", SECRET + "é", "the variable `KEY` holds a control character, or one that is not ASCII"),
        (SECRET, None, "expected `env://NAME`, the name of a variable that holds the credential"),
        ("env://", None, "expected `env://NAME`, the name of a variable that holds the credential"),
        (f"env://{SECRET}", None, "expected `env://NAME`, the name of a variable that holds the credential"),
        ("file:///k", None, "expected `env://NAME`, the name of a variable that holds the credential"),
    ],
)
def test_credentials(reference: str, secret: str | None, message: str | None) -> None:
    environ = {} if secret is None else {"KEY": secret}
    if message is None:
        assert credential(reference, environ) == secret
    else:
        with pytest.raises(SettingsError) as caught:
            credential(reference, environ)
        assert caught.value.message == message


@pytest.mark.parametrize(
    ("listen", "anonymous", "secret", "allowed"),
    [
        ("127.0.0.1:80", True, True, True),
        ("unix:/run/t.sock", True, True, True),
        ("0.0.0.0:80", False, False, True),
        ("0.0.0.0:80", True, False, False),
        ("0.0.0.0:80", False, True, False),
        ("host:80", False, True, False),
        ("127.0.0.1:80,[::]:80", True, False, False),
    ],
)
def test_a_public_listener_spends_no_credential(listen: str, anonymous: bool, secret: bool, allowed: bool) -> None:
    text = f"[integration.a]\nprovider = 'openai'\ncredential = '{'env://KEY' if secret else ''}'"
    environ = {"TIDEGATE_SERVE_LISTEN": listen, "TIDEGATE_IDENTIFY_ANONYMOUS": str(anonymous).lower(), "KEY": SECRET}
    if allowed:
        assert loaded(text, environ).serve.listen == tuple(listen.split(","))
    else:
        assert UNTIL_KEYS in told(text, environ)[0]


# where a secret may be put by mistake
MISPLACED = [
    ("integration as its key", f"[integration]\nopenai = '{SECRET}'", {}),
    ("credential in a list", f"[integration.a]\nprovider = 'openai'\ncredential = ['{SECRET}', 5]", {}),
    ("credential in a table", f"[integration.a]\nprovider = 'openai'\ncredential = {{ a = '{SECRET}', b = 5 }}", {}),
    ("unknown key", f"[integration.a]\nprovider = 'openai'\napi_key = '{SECRET}'", {}),
    ("provider", f"[integration.a]\nprovider = '{SECRET}'", {}),
    ("private", f"[integration.a]\nprovider = 'openai'\nprivate = '{SECRET}'", {}),
    ("syntax", f"[integration.a]\ncredential = '{SECRET}", {}),
    ("unquoted", f"[integration.a]\ncredential = {SECRET}", {}),
    ("unknown variable", "", {"TIDEGATE_OPENAI_API_KEY": SECRET}),
    ("integration's variable", "", {"TIDEGATE_INTEGRATION_OPENAI": SECRET}),
    ("provider's variable", "", {"TIDEGATE_PROVIDER": SECRET}),
    ("provider's URL", "", {"TIDEGATE_PROVIDER": f"https://{SECRET}@host"}),
]


@pytest.mark.parametrize(("text", "environ"), [case[1:] for case in MISPLACED], ids=[case[0] for case in MISPLACED])
def test_no_message_repeats_what_may_be_a_secret(text: str, environ: dict[str, str]) -> None:
    assert "canary" not in "".join(told(text, environ)).lower()


def test_settings_hold_references_only() -> None:
    environ = {"TIDEGATE_PROVIDER": "openai", "OPENAI_API_KEY": SECRET}
    assert SECRET not in repr(read(None, environ))
    assert SECRET not in show(None, environ) + summary(None, environ)


def test_the_example_is_the_defaults() -> None:
    text = example()
    assert loaded(text) == loaded("")


def test_the_example_has_every_key_and_says_what_it_means() -> None:
    text = example()
    assert "# # A configured way to a provider.\n# [integration.openai]\n" in text
    assert "\nworkers = 0  # 0 = one per usable core\n" in text
    _, _, settings = text.partition("\n\n")
    everything = re.sub(r"(?m)^# (?=\[|\w+ = )", "", settings)
    assert leaves(tomllib.loads(everything)) == {tuple(key) for key, _ in EVERY_KEY}


def leaves(table: dict[str, Any], section: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """The keys of a document; the example's one integration goes by the name that `EVERY_KEY` has for it."""
    found = set()
    for name, value in table.items():
        key = (*section, "a-b" if section == ("integration",) else name)
        found |= leaves(value, key) if isinstance(value, dict) and name != "aliases" else {key}
    return found


def test_show_can_be_read_again_and_names_its_sources() -> None:
    text = """
data = 'd"\\\\'
[serve]
listen = ["127.0.0.1:1", "unix:/a"]
[accept]
body = 1000001
[integration.my-own]
provider = "openai"
credential = "env://KEY"
models = ["a", "b*"]
aliases = { "x.y" = "z" }
"""
    environ = {"TIDEGATE_SERVE_DRAIN": "500ms", "TIDEGATE_INTEGRATION_MY_OWN_PRIVATE": "true", "KEY": SECRET}
    settings = loaded(text, environ)
    shown = show(Path("t.toml"), environ)
    lines = shown.split("\n")
    assert 'listen = ["127.0.0.1:1", "unix:/a"]  # t.toml:4' in lines
    assert "drain = 0.5  # TIDEGATE_SERVE_DRAIN" in lines
    assert "private = true  # TIDEGATE_INTEGRATION_MY_OWN_PRIVATE" in lines
    assert "workers = 0" in lines
    assert 'line = "8 KiB"' in lines
    Path("again.toml").write_text(shown)
    assert load(Path("again.toml"), {"KEY": SECRET}) == settings


def test_summary() -> None:
    assert summary(None, {}) == (
        "no file: no problems; 1 integration (simulated), listening on 127.0.0.1:8080, admin on 127.0.0.1:8081"
    )
