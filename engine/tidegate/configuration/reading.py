"""The layers of a configuration: defaults, the file, the environment. Each value keeps where it came from.

Values are held by key until all are known, so that one run finds every problem: a value that does not fit is noted and
left out, and the rest is still read and checked.
"""

import os
import re
import tomllib
from collections.abc import Container, Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
from msgspec import inspect, structs
from msgspec.structs import FieldInfo, fields

from tidegate.configuration import checks
from tidegate.configuration.keys import (
    NAMED,
    Key,
    expected,
    fits,
    found,
    from_text,
    keys,
    listed,
    meant,
    meant_elsewhere,
    measured,
    named_struct_of,
    shown,
    struct_of,
    variable,
)
from tidegate.errors import SettingsError
from tidegate.settings import Integration, Name, Section, Settings

PREFIX = "TIDEGATE_"
RESERVED = ("TIDEGATE_CONFIG", "TIDEGATE_PROVIDER")
INTEGRATION = ("integration",)
NAMES = "a name of at most 63 of `a-z`, `0-9`, `-` and `_` that begins with a letter"

_SECTION_LINE = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY_LINE = re.compile(r"\s*([\w\-.\"' ]+?)\s*=")
_KEY_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([\w-]+)")
_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)

Found = TypeVar("Found")


class Source(NamedTuple):
    """Where a key was set: the file and its line, or a variable."""

    name: str
    line: int = 0  # 0: a variable, or a line that was not found

    def __str__(self) -> str:
        return f"{self.name}:{self.line}" if self.line else self.name


class Loaded(NamedTuple):
    """The settings, the file they came from if there was one, and the source of every section and key that was set."""

    settings: Settings
    file: Path | None
    sources: Mapping[Key, Source]


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings; `path` None means `TIDEGATE_CONFIG`, else ./tidegate.toml if it exists, else defaults."""
    return read(path, environ).settings


def read(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """As `load`, and where each value came from."""
    reading = _read(path, environ)
    return Loaded(reading.finish(), reading.file, reading.sources)


def _read(path: Path | None, environ: Mapping[str, str]) -> "_Reading":
    if path is None and environ.get("TIDEGATE_CONFIG"):
        path = Path(environ["TIDEGATE_CONFIG"])
    elif path is None and Path("tidegate.toml").exists():
        path = Path("tidegate.toml")
    reading = _Reading(path, environ)
    reading.take_file()
    reading.take_environment()
    reading.take_provider()
    return reading


def unchecked(path: Path | None, environ: Mapping[str, str], but: str = "") -> Settings:
    """The settings as they are written, also where a gateway could not run by them, but for one section: a credential
    that is not in this environment must not keep anybody from revoking a key.
    """
    return _read(path, environ).finish((but,))


class _Reading:
    """The values by key, where each came from, and the problems met on the way."""

    def __init__(self, file: Path | None, environ: Mapping[str, str]) -> None:
        self.file = file
        self.environ = environ
        self.lines: dict[Key, int] = {}
        self.values: dict[Key, Any] = {}
        self.sources: dict[Key, Source] = {(): Source(str(file or "defaults"))}  # of sections and wrong values too
        self.wrong: set[Key] = set()
        self.problems: list[tuple[float, str]] = []

    def note(self, text: str, line: float = inf) -> None:
        """Note a problem; those without a line are told last."""
        self.problems.append((line, text))

    def refuse(self, key: Key, text: str) -> None:
        """Note a problem of a key or section, where it or the section around it was set."""
        source = _nearest(key, self.sources, self.sources[()])
        self.wrong.add(key)
        self.note(f"{source}: `{shown('.'.join(key))}`: {text}", source.line or inf)

    def take(self, key: Key, field: FieldInfo, value: Any, source: Source) -> None:
        """Take a value for a key, over any that a lower layer gave."""
        self.place(key, source)
        kind = inspect.type_info(field.type)
        amount = measured(value, kind)
        if fits(amount, field.type):
            self.values[key] = msgspec.convert(amount, field.type)
        else:
            self.refuse(key, f"expected {expected(kind)}, found {found(value, kind)}")

    def place(self, key: Key, source: Source) -> None:
        """Remember where a key was set, and that the sections around it are there."""
        self.sources[key] = source
        for end in range(1, len(key)):
            self.sources.setdefault(key[:end], source)

    def named(self, section: Key) -> list[str]:
        """The names of the sections of a kind, such as integrations, so far."""
        return [key[-1] for key in self.sources if key[:-1] == section and fits(key[-1], Name)]

    # the file

    def take_file(self) -> None:
        """Take every key of the file. What is not TOML ends the reading: nothing else can be known then."""
        if self.file is None:
            return
        try:
            text = self.file.read_bytes().decode()
            document = tomllib.loads(text)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise SettingsError(f"{self.file}: cannot be read: {reason}") from None
        except UnicodeDecodeError as error:
            raise SettingsError(f"{self.file}: byte {error.start} is not UTF-8") from None
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{self.file}{_syntax(str(error), text)}") from None
        self.lines = _lines_of(text)
        self.take_table(Settings, document, ())

    def take_table(self, struct: type[Section], table: Mapping[str, Any], section: Key) -> None:
        """Take a section of the file, and the sections inside it."""
        known = {field.name: field for field in fields(struct)}
        for name, value in table.items():
            key = (*section, name)
            source = Source(str(self.file), _nearest(key, self.lines, 0))
            self.place(key, source)
            if name not in known:
                kind = "section" if isinstance(value, dict) else "key"
                self.refuse(key, f"there is no such {kind}{meant_elsewhere(name) or meant(name, known)}")
            elif inner := struct_of(known[name].type):
                self.take_section(inner, value, key)
            elif inner := named_struct_of(known[name].type):
                self.take_named(inner, value, key)
            else:
                self.take(key, known[name], value, source)

    def take_section(self, struct: type[Section], value: Any, key: Key) -> None:
        """Take what should be a table."""
        if isinstance(value, dict):
            self.take_table(struct, value, key)
        else:
            self.refuse(key, f"expected a table, found {found(value)}")

    def take_named(self, struct: type[Section], value: Any, key: Key) -> None:
        """Take what should be a table of tables that the operator named."""
        if not isinstance(value, dict):
            self.refuse(key, f"expected a table, found {found(value)}")
            return
        for name, table in value.items():
            self.place((*key, name), Source(str(self.file), _nearest((*key, name), self.lines, 0)))
            if not fits(name, Name):
                self.refuse((*key, name), f"expected {NAMES}")
            self.take_section(struct, table, (*key, name))

    # the environment

    def take_environment(self) -> None:
        """Take every variable that is a key; refuse the others that begin like one."""
        known = {variable(key): (key, field) for key, field in keys(Settings)}
        strange = []
        for name in sorted(name for name in self.environ if name.startswith(PREFIX) and name not in RESERVED):
            if setting := known.get(name) or self.named_key(name):
                key, field = setting
                self.take(key, field, from_text(self.environ[name], inspect.type_info(field.type)), Source(name))
            else:
                strange.append(name)
        self.refuse_unknown(strange, list(known))

    def named_key(self, name: str) -> tuple[Key, FieldInfo] | None:
        """The key of `TIDEGATE_INTEGRATION_NAME_KEY`, in the integration that the file calls so or in a new one."""
        for section, struct in NAMED.items():
            start = variable(section) + "_"
            for field in fields(struct):
                end = "_" + field.name.upper()
                middle = name.removeprefix(start).removesuffix(end)
                if not middle or start + middle + end != name:
                    continue
                given = [owner for owner in self.named(section) if variable((owner,)) == PREFIX + middle]
                if len(given) > 1:
                    self.note(f"{name}: could be meant for any of {listed(given)}")
                owner = given[0] if given else middle.lower()
                if not fits(owner, Name):
                    kind = f"an {section[0]}" if section[0][0] in "aeiou" else f"a {section[0]}"
                    self.note(f"{name}: `{shown(owner)}` cannot name {kind}: expected {NAMES}")
                return (*section, owner, field.name), field
        return None

    def refuse_unknown(self, names: list[str], known: list[str]) -> None:
        """An unknown variable is an error, unless a credential refers to it or Kubernetes made it: every pod beside a
        Service called `tidegate` is given `TIDEGATE_SERVICE_HOST`, `TIDEGATE_PORT_80_TCP` and more.
        """
        referred = {f"env://{name}" for name in names} & {v for k, v in self.values.items() if k[-1] == "credential"}
        services = [name.removesuffix("SERVICE_HOST") for name in names if name.endswith("_SERVICE_HOST")]
        links = tuple(service + end for service in services for end in ("SERVICE_HOST", "SERVICE_PORT", "PORT"))
        for name in names:
            if f"env://{name}" not in referred and not name.startswith(links):
                valid = (known.removeprefix(PREFIX) for known in (*known, *RESERVED, *self.named_variables(name)))
                hint = meant(name.removeprefix(PREFIX).upper(), valid, PREFIX)
                self.note(f"{shown(name)}: there is no such setting{hint}")

    def named_variables(self, name: str) -> Iterator[str]:
        """The variables that a misspelt one could have been, for the sections there are and the one it names."""
        for section, struct in NAMED.items():
            start = variable(section) + "_"
            own = [name.removeprefix(start).split("_")[0]] if name.startswith(start) else []
            for owner in (*own, *self.named(section)):
                yield from (variable((*section, owner, field.name)) for field in fields(struct))

    def take_provider(self) -> None:
        """The one integration of `TIDEGATE_PROVIDER`; with nothing configured, the simulated provider."""
        wanted = self.environ.get("TIDEGATE_PROVIDER", "")
        source = Source("TIDEGATE_PROVIDER")
        providers = Integration.__annotations__["provider"]
        given = self.named(INTEGRATION)
        if not wanted:
            if not given:
                self.give("simulated", {"provider": "simulated"}, Source("default"))
        elif given:
            self.note(f"{source}: integrations are configured already: {listed(given)}; remove them or unset it")
        elif wanted.startswith(("http://", "https://")):
            provider = "anthropic" if "anthropic" in wanted.split("/")[2] else "openai"
            # the operator wrote this address, so it may be a private one
            self.give("default", {"provider": provider, "base_url": wanted, "private": True}, source)
        elif fits(wanted, providers):
            key = f"{wanted.upper()}_API_KEY"
            own = {"credential": f"env://{key}"} if self.environ.get(key) else {}
            self.give("default", {"provider": wanted, **own}, source)
        else:
            self.note(f"{source}: expected {expected(inspect.type_info(providers))}, or an http or https URL")

    def give(self, name: str, values: Mapping[str, Any], source: Source) -> None:
        """Configure an integration that nobody wrote down key by key."""
        for field, value in values.items():
            self.place((*INTEGRATION, name, field), source)
            self.values[*INTEGRATION, name, field] = value

    # the whole

    def finish(self, sections: Container[str] | None = None) -> Settings:
        """The settings, or every problem there is; of what they mean, those of all sections or of these."""
        settings = self.resolved(cast(Settings, self.build(Settings, ())))
        wrong = frozenset(self.wrong)
        for key, text in checks.problems(settings, self.environ, wrong):
            if key not in wrong and (sections is None or key[0] in sections):
                self.refuse(key, text)
        if self.problems:
            lines = [text for _, text in sorted(self.problems, key=lambda problem: problem[0])]
            title = [f"{len(lines)} problems in the settings:"] if len(lines) > 1 else []
            raise SettingsError("\n  ".join(title + lines))
        return settings

    def build(self, struct: type[Section], section: Key) -> Section:
        """A section of the values there are. Where a required one is missing, it stands empty beside the problem."""
        given: dict[str, Any] = {}
        for field in fields(struct):
            key = (*section, field.name)
            if inner := struct_of(field.type):
                if key in self.sources and key not in self.wrong:
                    given[field.name] = self.build(inner, key)
            elif inner := named_struct_of(field.type):
                names = [place[-1] for place in self.sources if place[:-1] == key and place not in self.wrong]
                given[field.name] = {name: self.build(inner, (*key, name)) for name in names}
            elif key in self.values:
                given[field.name] = self.values[key]
            elif field.required:
                given[field.name] = ""
                if key not in self.wrong:
                    self.refuse(key, f"is missing: expected {expected(inspect.type_info(field.type))}")
        return struct(**given)

    def resolved(self, settings: Settings) -> Settings:
        """The settings with their paths made absolute, from the file's folder or else the current one."""
        folder = self.file.parent if self.file else Path()

        def path(text: str) -> str:
            return os.path.abspath(folder / text) if text else ""

        serve = settings.serve
        if serve.tls:
            tls = structs.replace(serve.tls, certificate=path(serve.tls.certificate), key=path(serve.tls.key))
            serve = structs.replace(serve, tls=tls)
        policy = structs.replace(settings.policy, path=path(settings.policy.path), shadow=path(settings.policy.shadow))
        prices = structs.replace(settings.prices, file=path(settings.prices.file))
        record = structs.replace(settings.record, checkpoints=path(settings.record.checkpoints))
        own = {name: structs.replace(each, path=path(each.path)) for name, each in settings.vocabulary.items()}
        changed = {"serve": serve, "policy": policy, "prices": prices, "record": record, "vocabulary": own}
        return structs.replace(settings, data=path(settings.data), **changed)


def _nearest(key: Key, places: Mapping[Key, Found], unknown: Found) -> Found:
    """What is known of a key, or else of the innermost section around it."""
    return next((places[key[:end]] for end in range(len(key), 0, -1) if key[:end] in places), unknown)


def _lines_of(text: str) -> dict[Key, int]:
    """The line of each section and key, found by their looks: good enough to point at, and for nothing else."""
    lines: dict[Key, int] = {}
    section: Key = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _SECTION_LINE.match(line):
            section = _parts(header[1])
            lines.setdefault(section, number)
        elif pair := _KEY_LINE.match(line):
            lines.setdefault((*section, *_parts(pair[1])), number)
    return lines


def _parts(dotted: str) -> Key:
    return tuple(double or single or bare for double, single, bare in _KEY_PART.findall(dotted))


def _syntax(message: str, text: str) -> str:
    """An error of tomllib behind the file's name: line and column first, as compilers write them."""
    where = _SYNTAX.fullmatch(message)
    if not where:
        return f": {message}"
    line = where[2] or text.count("\n", 0, len(text) - 1) + 1  # without a number it is the end of the file
    column = f":{where[3]}" if where[3] else ""
    return f":{line}{column}: {where[1][:1].lower()}{where[1][1:]}"
