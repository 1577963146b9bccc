"""A third party verifies the log: Go's checksum database library, of which nothing is ours.

Debian has it as golang-go and golang-golang-x-mod-dev. The program is built without network, from these packages alone.
"""

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.record.logs import KEY, LATTICE_KEY, NOW, Place, entries, make
from tidegate.record.merkle import consistency_proof, inclusion_proof, leaf_hash
from tidegate.record.tiles import tile_nodes

SOURCE = Path(__file__).parent / "sumdb" / "main.go"
LIBRARY = Path("/usr/share/gocode")
SIZES = [1, 255, 256, 257, 700, 3000]

Verify = Callable[[Place, str, list[int]], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def sumdb(tmp_path_factory: pytest.TempPathFactory) -> Verify:
    """Runs the verifier over a log that has its former checkpoints beside it."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not go:
        pytest.skip("Go is absent: apt-get install -y golang-go")
    if not (LIBRARY / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("Go's sumdb library is absent: apt-get install -y golang-golang-x-mod-dev")
    folder = tmp_path_factory.mktemp("sumdb")
    program = folder / "sumdb"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", str(folder)),  # Go keeps there what it has compiled of its own library
        "GOPATH": str(LIBRARY),
        "GO111MODULE": "off",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "",
    }
    subprocess.run([go, "build", "-o", program, SOURCE], env=env, check=True, timeout=300)

    def verify(place: Place, proofs: str, sizes: list[int]) -> subprocess.CompletedProcess[str]:
        checkpoints = [place.log.parent / f"checkpoint.{size}" for size in sizes]
        command = [program, str(KEY.verifier), place.log, *checkpoints]
        return subprocess.run(command, input=proofs, capture_output=True, text=True, timeout=120, check=False)

    return verify


def grown(folder: Path, sizes: list[int]) -> Place:
    """A log that both kinds of keys sign, with each of its checkpoints kept."""
    place = make(folder, [])
    with place.open([KEY, LATTICE_KEY]) as log:
        for size in sizes:
            log.append(entries(log.size, size))
            (folder / f"checkpoint.{size}").write_text(log.checkpoint(NOW))
    return place


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return grown(tmp_path_factory.mktemp("log"), SIZES)


def line(kind: str, number: int, hashes: list[bytes]) -> str:
    return " ".join([kind, str(number), *(base64.b64encode(one).decode() for one in hashes)])


def made(place: Place, sizes: list[int]) -> list[str]:
    """Proofs that the log makes itself: of entries in all corners, and from every former checkpoint."""
    newest = sizes[-1]
    nodes, whole = tile_nodes(place.log, newest), entries(0, newest)
    indexes = sorted({*range(0, newest, 97), *(size - 1 for size in sizes), *sizes[:-1]})
    return [
        *(line("inclusion", at, [leaf_hash(whole[at]), *inclusion_proof(nodes, at, newest)]) for at in indexes),
        *(line("consistency", size, consistency_proof(nodes, size, newest)) for size in sizes),
    ]


def verified(sumdb: Verify, place: Place, sizes: list[int]) -> None:
    proofs = made(place, sizes)
    ran = sumdb(place, "\n".join(proofs), sizes)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("\n")[:3] == [
        f"{len(sizes)} checkpoints",
        f"{sizes[-1]} entries",
        f"{len(proofs)} proofs",
    ]


def test_sumdb_verifies_notes_consistency_and_every_inclusion(sumdb: Verify, log: Place) -> None:
    verified(sumdb, log, SIZES)


@pytest.mark.long
def test_sumdb_verifies_a_log_with_tiles_of_three_levels(sumdb: Verify, tmp_path: Path) -> None:
    sizes = [300, 65_535, 65_536, 65_537, 66_000]
    verified(sumdb, grown(tmp_path, sizes), sizes)


@pytest.mark.parametrize("path", ["log/tile/entries/007", "log/tile/0/007", "log/tile/1/000.p/11", "checkpoint.700"])
def test_sumdb_refuses_what_was_changed(sumdb: Verify, log: Place, path: str) -> None:
    """The control: the verifier does look."""
    file = log.log.parent / path
    before = file.read_bytes()
    try:
        file.write_bytes(before[:25] + bytes([before[25] ^ 1]) + before[26:])
        ran = sumdb(log, "", SIZES)
    finally:
        file.write_bytes(before)
    assert ran.returncode == 1
    assert re.search("invalid|inconsistent|malformed|illegal", ran.stderr)


def test_sumdb_refuses_a_proof_that_is_wrong(sumdb: Verify, log: Place) -> None:
    nodes = tile_nodes(log.log, SIZES[-1])
    proof = inclusion_proof(nodes, 5, SIZES[-1])
    ran = sumdb(log, line("inclusion", 6, [leaf_hash(entries(5, 6)[0]), *proof]), SIZES)
    assert ran.returncode == 1
    assert "invalid transparency proof" in ran.stderr
