"""The file and the environment become settings; whatever is wrong with them is told, all of it, at its place."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import inspect, structs

from tidegate.cli.config import example, show, summary
from tidegate.configuration import address, credential, is_local, load, read
from tidegate.configuration.keys import NAMED, keys, variable
from tidegate.errors import SettingsError
from tidegate.settings import Integration, Settings, Vocabulary

SECRET = "sk-canary-0123456789abcdef0123"
EXPOSED = "can be reached from outside while `identify.anonymous` is true"


class Wrong(NamedTuple):
    """A case of wrong_settings.txt."""

    note: str
    file: str
    environ: dict[str, str]
    messages: list[str]


def wrong_settings() -> Iterator[Wrong]:
    """The cases of wrong_settings.txt; its own first lines say how they are written."""
    text = Path(__file__).with_name("wrong_settings.txt").read_text()
    for case in text.split("\n== ")[1:]:
        note, *lines = case.rstrip("\n").split("\n")
        file = [line for line in lines if not line.startswith(("$ ", "=> "))]
        variables = [line[2:].partition("=") for line in lines if line.startswith("$ ")]
        messages = [line[3:] for line in lines if line.startswith("=> ")]
        yield Wrong(note, "\n".join(file), {name: value for name, _, value in variables}, messages)


@pytest.fixture(autouse=True)
def in_a_folder_with_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("key.pem").touch()


def loaded(text: str, environ: Mapping[str, str] | None = None) -> Settings:
    Path("t.toml").write_text(text)
    return load(Path("t.toml"), environ or {})


def told(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """The problems of a configuration, one a line; no text is no file."""
    Path("t.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(Path("t.toml") if text else None, environ or {})
    first, *rest = caught.value.message.split("\n")
    if not rest:
        return [first]
    assert first == f"{len(rest)} problems in the settings:"
    assert all(line.startswith("  ") for line in rest)
    return [line[2:] for line in rest]


@pytest.mark.parametrize("case", list(wrong_settings()), ids=lambda case: case.note)
def test_everything_wrong_is_told(case: Wrong) -> None:
    assert case.messages
    assert told(case.file, case.environ) == case.messages


def test_a_number_too_long_for_python_is_told() -> None:
    (line,) = told("", {"TIDEGATE_ACCEPT_BODY": "9" * 5000})
    assert line.startswith("TIDEGATE_ACCEPT_BODY: `accept.body`: expected a whole number of bytes from 1 to ")
    assert line.endswith(", found a string")


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
    "prices.file": (__file__, __file__),
    "prices.unknown": ("input=15 output=75", "input=15 output=75"),
    "prices.override": (
        "a*=input=0.5 output=1,b=input=0 output=0",
        {"a*": "input=0.5 output=1", "b": "input=0 output=0"},
    ),
    "record.origin": ("example.org/log", "example.org/log"),
    "record.checkpoints": (str(Path(__file__).parent), str(Path(__file__).parent)),
    "policy.path": (str(Path(__file__).parent), str(Path(__file__).parent)),
    "policy.shadow": (__file__, __file__),
    "integration.a-b.provider": ("simulated", "simulated"),
    "integration.a-b.base_url": ("https://host:1/v1", "https://host:1/v1"),
    "integration.a-b.credential": ("env://OWN", "env://OWN"),
    "integration.a-b.models": ("gpt-4o,o*", ("gpt-4o", "o*")),
    "integration.a-b.aliases": ("a=b, c = d", {"a": "b", "c": "d"}),
    "vocabulary.a-b.path": (__file__, __file__),
    "vocabulary.a-b.models": ("our-*,b", ("our-*", "b")),
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
    *((("vocabulary", "a-b", field.name), field) for field in structs.fields(Vocabulary)),
]


def test_variables_are_distinct() -> None:
    assert len({variable(key) for key, _ in EVERY_KEY}) == len(EVERY_KEY)


@pytest.mark.parametrize(("key", "field"), EVERY_KEY, ids=[".".join(key) for key, _ in EVERY_KEY])
def test_every_key_is_overridden_by_its_variable(key: tuple[str, ...], field: structs.FieldInfo) -> None:
    text, value = other_than(field.default, inspect.type_info(field.type), ".".join(key))
    environ = {variable(key): text, "OWN": SECRET}
    if key[:2] == ("serve", "tls"):
        environ |= {variable(("serve", "tls", name)): __file__ for name in ("certificate", "key")}
    vocabulary = "[vocabulary.a-b]\npath = 't.toml'\nshape = 'o200k'\nmodels = ['m']"
    Path("t.toml").write_text("[integration.a-b]\nprovider = 'openai'\n" + vocabulary)
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


OWN = {
    "TIDEGATE_INTEGRATION_A_PROVIDER": "openai",
    "TIDEGATE_INTEGRATION_A_CREDENTIAL": "env://TIDEGATE_OWN",
    "TIDEGATE_OWN": SECRET,
}
KUBERNETES = {
    "TIDEGATE_SERVICE_HOST": "10.0.0.1",
    "TIDEGATE_SERVICE_PORT": "80",
    "TIDEGATE_SERVICE_PORT_HTTP": "80",
    "TIDEGATE_PORT": "tcp://10.0.0.1:80",
    "TIDEGATE_PORT_80_TCP": "tcp://10.0.0.1:80",
    "TIDEGATE_PORT_80_TCP_ADDR": "10.0.0.1",
}
KUBERNETES_TOO = {"TIDEGATE_ADMIN_SERVICE_HOST": "10.0.0.1", "TIDEGATE_ADMIN_PORT_81_TCP_PROTO": "tcp"}


@pytest.mark.parametrize("environ", [OWN, KUBERNETES, KUBERNETES_TOO])
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


NO_ADDRESSES = """
80 | :80 | host | host: | host:x | host:65536 | host:-1 | host: 80 | host:٨ | a b:80 | http://host:80 | h_\0:80
127.1:80 | 2130706433:80 | 1.2.3.256:80 | ::1:80 | [::1] | [::1 | [host]:80 | [127.0.0.1]:80
unix: | unix:a | unix:/\0
"""


@pytest.mark.parametrize("text", ["", "unix:/" + "a" * 107, *re.split(r" \| |\n", NO_ADDRESSES.strip())])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^expected `"):
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
        assert told("", environ) == [f"{where}: expected an http or https URL {flaw}"]


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
        ("0.0.0.0:80", True, True, False),
        ("0.0.0.0:80", False, True, True),
        ("host:80", False, True, True),
        ("host:80", True, False, False),
        ("127.0.0.1:80,[::]:80", True, False, False),
    ],
)
def test_a_public_listener_serves_nobody_without_a_key(
    listen: str, anonymous: bool, secret: bool, allowed: bool
) -> None:
    text = f"[integration.a]\nprovider = 'openai'\ncredential = '{'env://KEY' if secret else ''}'"
    environ = {"TIDEGATE_SERVE_LISTEN": listen, "TIDEGATE_IDENTIFY_ANONYMOUS": str(anonymous).lower(), "KEY": SECRET}
    if allowed:
        assert loaded(text, environ).serve.listen == tuple(listen.split(","))
    else:
        assert EXPOSED in told(text, environ)[0]


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


def test_the_example_says_of_every_setting_what_it_means() -> None:
    lines = re.findall(r"(?m)^(?:# )?(\w+) = (.*)$", example())
    assert len(lines) == len(EVERY_KEY)
    assert [name for name, said in lines if not re.search(r"  # \S", said)] == []


def leaves(table: dict[str, Any], section: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """The keys of a document; the example's one integration goes by the name that `EVERY_KEY` has for it."""
    found = set()
    for name, value in table.items():
        key = (*section, "a-b" if section in NAMED else name)
        found |= leaves(value, key) if isinstance(value, dict) and name not in ("aliases", "override") else {key}
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
