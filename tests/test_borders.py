"""A line of code knows its room: which packages may import which, read from the sources."""

import re
from pathlib import Path

import pytest

ENGINE = Path(__file__).parent.parent / "engine" / "tidegate"
STEPS = {"accept", "identify", "decide", "limit", "forward", "count", "record"}
SHARED = {"wire", "model", "values", "clock", "counters", "draws", "errors", "settings"}
ALLOWED = {
    **dict.fromkeys(STEPS, SHARED),  # steps do not import one another; pipeline.py joins them
    "forward": SHARED | {"configuration"},  # resolves the references to credentials
    "decide": SHARED | {"rego"},
    "record": SHARED | {"_values"},
    "_values": {"model", "record", "values", "wire"},
    "rego": set(),  # the language knows nothing of gateways
    "wire": {"errors"},
    "model": {"wire"},
    "values": set(),
    "clock": set(),
    "counters": set(),
    "draws": {"model"},  # the names of measures
    "errors": set(),
    "settings": set(),
    "configuration": {"errors", "settings"},
    "standings": SHARED | STEPS,
    "run": SHARED | STEPS | {"standings"},
    "pipeline": SHARED | STEPS | {"run"},
    "turns": {"clock", "errors", "record"},
    "governed": SHARED | {"record", "run", "forward", "engine"},  # its engine for the types alone
    "engine": SHARED | STEPS | {"run", "turns", "governed", "serve"},  # of serve what a worker is made of, no process
}
IMPORT = re.compile(r"^\s*(?:from|cimport|import)\s+tidegate\.(\w+)", re.M)


def imports(source: Path) -> set[str]:
    """The packages and modules of tidegate that a source imports, in any of Cython's and Python's ways."""
    return set(IMPORT.findall(source.read_text()))


def sources(room: str) -> list[Path]:
    folder = ENGINE / room
    found = folder.rglob("*.py*") if folder.is_dir() else ENGINE.glob(f"{room}.p*")
    return [source for source in found if source.suffix in (".py", ".pyx", ".pxd", ".pyi")]


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    assert sources(room), f"there is no {room}"
    strangers = {
        f"{source.relative_to(ENGINE)}: {name}"
        for source in sources(room)
        for name in imports(source) - ALLOWED[room] - {room}
    }
    assert not strangers


def test_the_reader_of_imports_sees_every_form(tmp_path: Path) -> None:
    source = tmp_path / "a.pyx"
    source.write_text("from tidegate.accept.x import y\nfrom tidegate.wire cimport z\n  import tidegate.limit\n")
    assert imports(source) == {"accept", "wire", "limit"}
