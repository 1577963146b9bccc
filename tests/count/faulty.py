"""Builds of the counter with one fault each, to prove that the checks would see it."""

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

SOURCES = Path(__file__).parents[2] / "engine" / "tidegate" / "count"


class Fault(NamedTuple):
    """What is changed: a text that occurs once in a header, and what stands there instead."""

    note: str
    header: str
    right: str
    wrong: str


FAULTS = (
    Fault("U+017F ends no contraction", "pieces.h", "return s[2] == 0xBF ? 3 : 0;", "return 0;"),
    Fault("capitals are not given back", "pieces.h", "return given_back;", "return i;"),
    Fault("white space ends with a chunk", "pieces.h", "if (i >= n) return !last ? OPEN :", "if (i >= n) return"),
    Fault("a contraction is not waited for", "pieces.h", "if (n < 2) return last ? 0 : -1;", "if (n < 2) return 0;"),
    Fault("half a contraction is not waited for", "pieces.h", "(n < 3) return last ? 0 : -1;", "(n < 3) return 0;"),
    Fault("digits end with a chunk", "pieces.h", "return last ? n : OPEN;\n        if", "return n;\n        if"),
    Fault("slashes end symbols", "pieces.h", "(c == '/' && p->shape.cased)", "false"),
    Fault("white space keeps its last character", "pieces.h", "return final ? final : i;", "return i;"),
    Fault("of equals the rightmost merges first", "merges.h", "at = ranks[i] < least", "at = ranks[i] <= least"),
    Fault("the memo forgets lengths", "merges.h", "high |= (uint64_t)n << 60;", ""),
    Fault("the memo of words forgets texts", "merges.h", "word->length == n && !memcmp(", "word->length || !memcmp("),
    Fault("what is known is kept whatever follows", "merges.h", "if (known->bytes && !apart(", "if (0 && !apart("),
    Fault("any two tokens stay apart", "merges.h", "if (across < deadline) return false;", "(void)across;"),
    Fault("ties at a border are lost", "merges.h", "deadline = right + 1;", "deadline = right;"),
    Fault("a chain counts on from another", "merges.h", "chain->count[0] = 0;", ""),
    Fault("a contraction is given back", "stream.h", "if (!gives_back(x)) piece->split = false;", ""),
    Fault("white space but the last is lost", "stream.h", "x->done += piece->without;", ""),
    Fault("a wrong byte takes the next with it", "characters.h", "return -i;", "return -i - 1;"),
    Fault("surrogates are characters", "characters.h", "else if (first == 0xED) most = 0x9F;", ""),
    Fault("a cut character is not counted", "stream.h", "if (!x->cut) return", "return"),
)  # fmt: skip


def translated(folder: Path) -> Path:
    """The module's C source, which includes the headers: made once for all faults."""
    for source in SOURCES.glob("_tokens.p*"):
        shutil.copy(source, folder)
    subprocess.run([sys.executable, "-m", "cython", "-3", "_tokens.pyx"], cwd=folder, check=True, capture_output=True)
    return folder / "_tokens.c"


def compiled(source: Path, folder: Path, fault: Fault | None) -> ModuleType:
    """The module with this fault."""
    folder.mkdir()
    for header in SOURCES.glob("*.h"):
        shutil.copy(header, folder)
    if fault is not None:
        text = (folder / fault.header).read_text()
        assert text.count(fault.right) == 1, f"{fault.note}: the header has changed"
        (folder / fault.header).write_text(text.replace(fault.right, fault.wrong))
    library = folder / "_tokens.so"
    include = sysconfig.get_path("include")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O0", "-w", f"-I{folder}", f"-I{include}", str(source), "-o", str(library)],
        check=True,
    )
    spec = importlib.util.spec_from_file_location("_tokens", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
