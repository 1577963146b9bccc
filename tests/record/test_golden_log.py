"""`FORMAT.md` says what a log is; a log made long ago says that it still is that.

To make the golden log anew, after a change of format that is meant:  python -m tests.record.test_golden_log
"""

import base64
import re
import shutil
from pathlib import Path

import pytest

import tidegate.record
from tests.record.logs import KEY, LATTICE_KEY, NOW, ORIGIN, WITNESS_KEY, Place
from tests.record.witnesses import WitnessServer
from tidegate.record.log import Log
from tidegate.record.receipts import make_receipt
from tidegate.record.store import CheckpointStore
from tidegate.record.verify import verify_log
from tidegate.record.witness import add_cosignatures, request

GOLDEN = Path(__file__).parent / "golden-log"
FORMAT = Path(tidegate.record.__file__).parent / "FORMAT.md"
KEYS = [KEY, LATTICE_KEY]
PUBLIC = [KEY.verifier, LATTICE_KEY.verifier, WITNESS_KEY.verifier]


def make(folder: Path) -> None:
    """Two checkpoints, at 5 and at 260 entries; a witness cosigns the second."""
    place = Place(folder / "log", folder / "store")
    (folder / "keys").write_text("".join(f"{key}\n" for key in PUBLIC))
    witness = WitnessServer(WITNESS_KEY, {ORIGIN: KEY.verifier})
    with Log.create(place.log, ORIGIN, KEYS, CheckpointStore(place.store), NOW) as log:
        for size in (5, 260):
            log.append([b"entry %d" % index for index in range(log.size, size)])
            note = log.checkpoint(NOW + size)
            (folder / f"checkpoint.{size}").write_text(note)
            witness.answer(request(place.log, note, 0 if size == 5 else 5))
        asked = request(place.log, note, 260)
        (folder / "witness-request").write_bytes(asked)
        (folder / "witness-answer").write_bytes(witness.answer(asked)[2])
        log.cosign(add_cosignatures(note, (folder / "witness-answer").read_bytes(), [WITNESS_KEY.verifier]))
    witness.close()
    (folder / "receipt").write_text(make_receipt(place.log, 5))
    for lock in folder.rglob("lock"):
        lock.unlink()


def content(folder: Path) -> dict[str, bytes]:
    """All files, without the signatures of ML-DSA, which are others each time."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    identity = base64.b64encode(LATTICE_KEY.key_id)[:5]  # four bytes are five letters and a bit
    changing = re.compile("— ".encode() + ORIGIN.encode() + b" " + re.escape(identity) + b"[^\n]{1000,}")
    return {name: changing.sub(b"", path.read_bytes()) for name, path in files.items()}


def test_a_log_made_today_is_the_golden_log(tmp_path: Path) -> None:
    make(tmp_path)
    assert content(tmp_path) == content(GOLDEN)


def test_the_golden_log_verifies() -> None:
    report = verify_log(
        GOLDEN / "log", PUBLIC, store=GOLDEN / "store", receipts=[("receipt", (GOLDEN / "receipt").read_text())]
    )
    assert report.faults == []
    assert [one.key_id for one in report.signatures] == [key.key_id for key in PUBLIC]


def test_what_the_format_says_of_the_golden_log_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN.parent)
    [code] = re.findall(r"```python\n(.*?)```", FORMAT.read_text().split("\n## Log\n")[1], re.S)
    exec(code, {})


def test_the_format_shows_the_first_bytes_of_the_golden_bundle() -> None:
    shown = re.findall(r"^    ((?:[0-9a-f]{2} )+) +entry \d", FORMAT.read_text(), re.M)
    assert (GOLDEN / "log/tile/entries/000").read_bytes().startswith(bytes.fromhex("".join(shown)))


if __name__ == "__main__":
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir()
    make(GOLDEN)
