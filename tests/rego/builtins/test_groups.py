"""The groups of builtins: what is known of them before they are imported is what they register."""

import subprocess
import sys

import pytest

from tidegate.rego.builtins import GROUPS, TABLE


def test_every_name_is_in_the_group_that_registers_it() -> None:
    for name in TABLE:
        assert TABLE[name].name == name
    assert len(TABLE) == len([name for names in GROUPS.values() for name in names.split()])


def test_nothing_is_registered_that_no_group_lists() -> None:
    script = """
from importlib import import_module
from tidegate.rego.builtins import GROUPS, TABLE
seen, register = [], TABLE.register
TABLE.register = lambda builtin: (seen.append(builtin.name), register(builtin))
for group in GROUPS:
    import_module("tidegate.rego.builtins." + group)
print(*seen)
"""
    seen = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    assert sorted(seen) == sorted(TABLE)


@pytest.mark.parametrize("group", ["regex", "graphql", "x509", "yaml", "numbers"])
def test_a_group_is_imported_with_the_first_look_at_one_of_its_builtins(group: str) -> None:
    name = GROUPS[group].split()[0]
    script = f"""
import sys
from tidegate.rego.builtins import TABLE
assert {name!r} in TABLE and "nothing" not in TABLE and TABLE.get("nothing") is None
module = "tidegate.rego.builtins.{group}"
assert module not in sys.modules
TABLE[{name!r}]
assert module in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
