"""The power is cut at any moment: what a checkpoint promised is there, and the log goes on.

The disk is simulated (`power.py`); no power was cut. A control without fsync shows that the simulation loses what may
be lost.
"""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.record.logs import KEY, NOW, ORIGIN, Place, public
from tests.record.power import Disk, Note, recorded
from tidegate.errors import TidegateError
from tidegate.record._hashes import root_hash
from tidegate.record.checkpoints import parse_checkpoint
from tidegate.record.log import Log
from tidegate.record.merkle import leaf_hash
from tidegate.record.notes import split_note
from tidegate.record.store import CheckpointStore
from tidegate.record.verify import verify_log

NOTHING: Note = ("nothing", None, None)


def promised(count: int, life: int) -> list[bytes]:
    """After a crash the same records come in another order: what was not promised is not what will be."""
    return [b"life %d entry %d" % (life, index) for index in range(count)]


class Life:
    """A log from one start to the next crash, and the moments at which it promised something."""

    def __init__(self, place: Place, known: list[bytes], life: int, patch: pytest.MonkeyPatch) -> None:
        self.known = known
        self.promises: list[tuple[int, int]] = []  # how many notes there were, and the size that a checkpoint was of
        with recorded(place.log.parent, patch) as self.notes:
            self._live(place, life)

    def _live(self, place: Place, life: int) -> None:
        chance = random.Random(life)
        self.start = len(self.notes)
        for _ in range(2):
            with self._open(place) as log:
                self.known = [*self.known[: log.size], *promised(900, life)]
                for _ in range(chance.randrange(3, 9)):
                    for _ in range(chance.randrange(1, 3)):
                        log.append(self.known[log.size : log.size + chance.choice([1, 3, 40, 120, 256, 300])])
                    log.checkpoint(NOW)
                    self.promises.append((len(self.notes), log.size))

    def _open(self, place: Place) -> Log:
        store = CheckpointStore(place.store)
        if store.newest() is None:
            return Log.create(place.log, ORIGIN, [KEY], store, NOW)
        return place.open()

    def cut(self, chance: random.Random, folder: Path, notes: list[Note] | None = None) -> int:
        """Leaves what a crash may leave, at a moment of this life; how much had been promised by then."""
        moment = chance.randrange(self.start, len(self.notes) + 1)
        Disk((notes or self.notes)[:moment]).after_power_loss(chance, folder)
        return max((size for at, size in self.promises if at <= moment), default=0)


def survived(folder: Path, known: list[bytes], size: int) -> list[bytes]:
    """The entries that are there, at least what was promised; and the log goes on."""
    place = Place(folder / "log", folder / "store")
    store = CheckpointStore(place.store)
    if store.newest() is None:
        assert size == 0
        shutil.rmtree(place.log, ignore_errors=True)
        Log.create(place.log, ORIGIN, [KEY], store, NOW).close()
    found = verify_log(place.log, public(), store=place.store).faults
    assert [fault for fault in found if fault.place != "checkpoint"] == []  # which may not have been published yet
    with place.open() as log:
        assert log.size >= size
        assert log.signed.root == root_hash([leaf_hash(entry) for entry in known[: log.size]])
        there = [*known[: log.size], *(b"after the crash %d" % index for index in range(300))]
        log.append(there[log.size :])
        assert parse_checkpoint(split_note(log.checkpoint(NOW))[0]).root == root_hash([leaf_hash(one) for one in there])
    report = verify_log(place.log, public(), store=place.store)
    assert report.faults == []
    return there


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if there is one: the tests' own files need not survive anything."""
    memory = Path("/dev/shm")
    folder = memory / tmp_path.name if memory.is_dir() else tmp_path / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def lives(scratch: Path, seed: int, patch: pytest.MonkeyPatch) -> list[Life]:
    """A life that begins with nothing, and one that begins with what a crash has left of it."""
    first_place = Place(scratch / "first" / "log", scratch / "first" / "store")
    (scratch / "first").mkdir()
    first = Life(first_place, [], 2 * seed, patch)
    left = scratch / "left"
    first.cut(random.Random(seed), left)
    second = Life(Place(left / "log", left / "store"), first.known, 2 * seed + 1, patch)
    for folder in (scratch / "first", left):
        shutil.rmtree(folder)
    return [first, second]


def cuts(scratch: Path, count: int, seed: int, patch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    for life in lives(scratch, seed, patch):
        for number in range(count // 2):
            folder = scratch / str(number)
            size = life.cut(chance, folder)
            survived(folder, life.known, size)
            shutil.rmtree(folder)


@pytest.mark.parametrize("seed", range(10))
def test_what_was_promised_survives_a_power_loss(scratch: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 cuts in all."""
    cuts(scratch, 100, seed, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 150))
def test_what_was_promised_survives_any_power_loss(scratch: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 cuts in all."""
    cuts(scratch, 400, seed, monkeypatch)


@pytest.mark.parametrize("without", ["fsync", "fsync folder"])
def test_without_flushing_the_simulation_sees_losses(
    scratch: Path, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same cuts find something when either kind of flush is left out."""
    chance = random.Random(1)
    life = lives(scratch, 1, monkeypatch)[0]
    start = life.promises[0][0]
    careless = [note if number < start or note[0] != without else NOTHING for number, note in enumerate(life.notes)]
    lost = 0
    for number in range(100):
        folder = scratch / str(number)
        size = life.cut(chance, folder, careless)
        try:
            survived(folder, life.known, size)
        except (AssertionError, TidegateError, OSError):
            lost += 1
    assert lost > 20
