"""`tidegate config`: what the settings say, where they come from, and what could be said.

Both texts are TOML that Tidegate reads again. Credentials are references there, so nothing in them is secret. The
example is made of `settings.py`: keys and defaults of its Structs, and the comments beside them in its source.
"""

import ast
import io
import json
import tokenize
from collections.abc import Iterator, Mapping
from inspect import getsource
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args, get_origin

from msgspec import NODEFAULT
from msgspec.inspect import type_info
from msgspec.structs import FieldInfo, fields

from tidegate import settings as source
from tidegate.configuration import read
from tidegate.configuration.keys import SIZE, SIZES, Key, named_struct_of, struct_of
from tidegate.errors import SettingsError, TidegateError
from tidegate.settings import Section, Settings

INTRODUCTION = """\
# Every key of tidegate.toml with its default; leave out what you do not change.
# Sizes are bytes or `64 KiB`, `32 MiB`; times are seconds or `500ms`, `10s`, `5m`, `1h`.
# The environment comes before the file: TIDEGATE_SERVE_WORKERS=2, TIDEGATE_ACCEPT_BODY="16 MiB",
# TIDEGATE_INTEGRATION_OPENAI_MODELS=gpt-4o,gpt-5*"""

EXAMPLE_NAMES = {"integration": "openai", "vocabulary": "llama"}


def summary(file: Path | None, environ: Mapping[str, str]) -> str:
    """One line about settings without a problem, and without one in the files that they name."""
    settings, path, _ = read(file, environ)
    load(settings)
    names = sorted(settings.integration)
    what = f"{len(names)} integration{'s' if len(names) != 1 else ''} ({', '.join(names)})"
    listeners = f"listening on {', '.join(settings.serve.listen)}, admin on {settings.serve.admin}"
    return f"{path or 'no file'}: no problems; {what}, {listeners}"


def load(settings: Settings) -> None:
    """Loads what a gateway of these settings would, and makes nothing of it. SettingsError with every problem."""
    from tidegate.record.layout import check_origin
    from tidegate.serve.policies import check_policies
    from tidegate.serve.tables import prices_of, registry_of
    from tidegate.serve.worker import identity

    flaws = []
    with TemporaryDirectory() as folder:
        for part in (
            lambda: check_origin(settings.record.origin),
            lambda: identity(settings),
            lambda: prices_of(settings),
            lambda: registry_of(settings),
            lambda: check_policies(settings, Path(folder)),
        ):
            try:
                part()
            except TidegateError as error:
                flaws.append(error.message)
    if flaws:
        raise SettingsError("\n".join(flaws))


def show(file: Path | None, environ: Mapping[str, str]) -> str:
    """The settings in force as TOML; behind each value that was set, by which line or variable."""
    settings, _, sources = read(file, environ)
    notes = {key: str(source) for key, source in sources.items()}
    return "\n".join(_shown(settings, (), notes)).lstrip("\n")


def _shown(section: Section, key: Key, notes: Mapping[Key, str]) -> Iterator[str]:
    if key:
        yield from ("", f"[{'.'.join(key)}]")
    inner: list[tuple[Key, Section]] = []
    for field in fields(section):
        value = getattr(section, field.name)
        place = (*key, field.name)
        if isinstance(value, Section):
            inner.append((place, value))
        elif named_struct_of(field.type):
            inner.extend(((*place, name), named) for name, named in value.items())
        elif value is not None:
            yield _line(field, value, notes.get(place, ""))
    for place, value in inner:
        yield from _shown(value, place, notes)


def example() -> str:
    """A complete tidegate.toml. What has no default (TLS, vocabularies, integrations) is there, but commented out."""
    return "\n".join((INTRODUCTION, "", *_example(Settings, (), _comments())))


def _example(struct: type[Section], key: Key, comments: Mapping[tuple[str, str], str]) -> Iterator[str]:
    if key:
        yield from ("", f"# {struct.__doc__}", f"[{'.'.join(key)}]")
    inner: list[tuple[Key, type[Section], bool]] = []
    for field in fields(struct):
        place = (*key, field.name)
        if nested := struct_of(field.type):
            inner.append((place, nested, field.default is None))
        elif nested := named_struct_of(field.type):
            inner.append(((*place, EXAMPLE_NAMES[field.name]), nested, True))
        else:
            yield _line(field, _default(field), comments.get((struct.__name__, field.name), ""))
    for place, nested, optional in inner:
        lines = _example(nested, place, comments)
        yield from (f"# {line}".rstrip() if optional and line else line for line in lines)


def _default(field: FieldInfo) -> Any:
    """The default of a key, and for a required one the first of its words, or an empty string."""
    if field.default is not NODEFAULT:
        return field.default
    if field.default_factory is not NODEFAULT:
        return field.default_factory()
    return get_args(field.type)[0] if get_origin(field.type) is Literal else ""


def _comments() -> dict[tuple[str, str], str]:
    """The comment behind each field in the source of the settings, by the name of its Struct and its own."""
    text = getsource(source)
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    by_line = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    return {
        (struct.name, field.target.id): by_line[field.lineno]
        for struct in ast.parse(text).body
        if isinstance(struct, ast.ClassDef)
        for field in struct.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.lineno in by_line
    }


def _line(field: FieldInfo, value: Any, note: str) -> str:
    written = _size(value) if type_info(field.type) == SIZE else _toml(value)
    return f"{field.name} = {written}{f'  # {note}' if note else ''}"


def _size(value: int) -> str:
    """Bytes in the largest unit that leaves a whole number."""
    unit, amount = next((unit, amount) for unit, amount in SIZES.items() if value % amount == 0)
    return str(value) if amount == 1 else _toml(f"{value // amount} {unit}")


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            # a JSON string is a TOML string, but for DEL, which TOML wants escaped
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{_toml(name)} = {_toml(item)}' for name, item in value.items())}}}"
        case _:
            return str(value)
