"""Whatever is changed in a log is found, and named by the file and the entry where it was changed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.record.logs import KEY, LATTICE_KEY, NOW, ORIGIN, Place, entries, entry, make, public
from tidegate.record import rehash
from tidegate.record._hashes import root_hash
from tidegate.record.checkpoints import Checkpoint
from tidegate.record.keys import PrivateKey
from tidegate.record.merkle import EMPTY_ROOT, leaf_hash
from tidegate.record.notes import sign
from tidegate.record.receipts import make_receipt
from tidegate.record.tiles import decode_bundle, encode_bundle, tile_path
from tidegate.record.verify import Report, verify_log

SIZE = 700
LARGE = 66_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """700 entries, with a checkpoint at 300 before: two full bundles, and one of 188 at the edge."""
    return make(tmp_path_factory.mktemp("whole"), [300, SIZE])


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """66,000 entries: a full tile at level 1, and a partial one at each of the levels 0, 1 and 2."""
    return make(tmp_path_factory.mktemp("large"), [LARGE])


@pytest.fixture
def log(whole: Place, tmp_path: Path) -> Place:
    return whole.copy(tmp_path)


def check(place: Place, *receipts: tuple[str, str]) -> Report:
    return verify_log(place.log, public(), store=place.store, receipts=receipts)


def places(report: Report) -> list[tuple[str, int | None]]:
    return [(fault.place, fault.entry) for fault in report.faults]


def edit(place: Place, path: str, change: Callable[[bytes], bytes]) -> None:
    file = place.log / path
    file.write_bytes(change(file.read_bytes()))


def edit_bundle(place: Place, path: str, change: Callable[[list[bytes]], None]) -> None:
    found = decode_bundle(path, (place.log / path).read_bytes())
    change(found)
    (place.log / path).write_bytes(encode_bundle(found))


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda old: old[:at] + bytes([old[at] ^ 1]) + old[at + 1 :]


def rebuild(place: Place, changed: list[bytes], sizes: list[int]) -> None:
    """Everything written anew from other entries, and signed again: what somebody with the private key can do."""
    shutil.rmtree(place.log)
    make_there = make(place.log.parent / "again", [])
    with make_there.open() as log:
        for size in sizes:
            log.append(changed[log.size : size])
            log.checkpoint(NOW + size)
    make_there.log.rename(place.log)


def checkpoint_of(size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, root_hash([leaf_hash(one) for one in entries(0, size)]))


def test_an_untouched_log_has_no_fault(whole: Place, large: Place) -> None:
    for place, size in ((whole, SIZE), (large, LARGE)):
        done: list[tuple[int, int]] = []
        report = verify_log(place.log, public(), store=place.store, progress=lambda *so_far: done.append(so_far))
        assert report.ok
        assert report.checkpoint
        assert report.checkpoint.size == size
        assert [signature.name for signature in report.signatures] == [ORIGIN]
        assert done[0] == (256, size)
        assert done[-1] == (size, size)
        assert len(done) == -(-size // 256)


def test_entries_that_were_changed_are_named_one_by_one(log: Place) -> None:
    at = len(encode_bundle(entries(256, 300))) + 4  # within entry 300
    edit(log, "tile/entries/001", flip(at))
    assert places(check(log)) == [("tile/entries/001", 300)]


def test_entries_in_the_bundle_at_the_edge_are_named_too(log: Place) -> None:
    edit_bundle(log, "tile/entries/002.p/188", lambda found: found.__setitem__(5, b"another"))
    assert places(check(log)) == [("tile/entries/002.p/188", 517)]


@pytest.mark.parametrize("path", ["tile/entries/001", "tile/0/001"])
@pytest.mark.parametrize("size", [SIZE, 300])
def test_checkpoints_of_before_agree_with_what_was_signed_whoever_changed_it_later(
    log: Place, path: str, size: int
) -> None:
    """The change is named where it is, and not again by each checkpoint that covers it; at the edge as well."""
    if size == 300:
        shutil.rmtree(log.log)
        make(log.log.parent / "shorter", [280, size]).log.rename(log.log)
        shutil.copy(log.log / "checkpoint", log.store / "checkpoint")
        path += ".p/44"
    (log.log / "checkpoint.witnessed").write_text(sign(checkpoint_of(280).text, [KEY], NOW))
    edit(log, path, flip(40))
    [(place, entry)] = places(check(log))
    assert place == path
    assert entry in (256, 257)


def test_entries_that_changed_places_are_both_named(log: Place) -> None:
    def exchange(found: list[bytes]) -> None:
        found[3], found[200] = found[200], found[3]

    edit_bundle(log, "tile/entries/000", exchange)
    assert places(check(log)) == [("tile/entries/000", 3), ("tile/entries/000", 200)]


def test_bundles_that_changed_places_are_named_with_their_first_entries(log: Place) -> None:
    one, other = log.log / "tile/entries/000", log.log / "tile/entries/001"
    one.rename(log.log / "x"), other.rename(one), (log.log / "x").rename(other)
    found = places(check(log))
    assert found[0] == ("tile/entries/000", 0)
    assert len(found) == 2 * (rehash.NAMED_MAX + 1)
    assert {place for place, _ in found} == {"tile/entries/000", "tile/entries/001"}


@pytest.mark.parametrize(
    ("path", "change", "first"),
    [
        ("tile/entries/001", lambda found: found.pop(7), 263),
        ("tile/entries/001", lambda found: found.pop(), 511),
        ("tile/entries/001", lambda found: found.insert(7, b"slipped in"), 263),
        ("tile/entries/001", lambda found: found.append(b"slipped in"), 512),
        ("tile/entries/002.p/188", lambda found: found.pop(7), 519),
        ("tile/entries/002.p/188", lambda found: found.insert(0, b"slipped in"), 512),
        ("tile/entries/002.p/188", lambda found: found.clear(), 512),
    ],
    ids=["deleted", "last deleted", "inserted", "appended", "deleted at the edge", "inserted at the edge", "emptied"],
)
def test_entries_that_were_deleted_or_inserted_are_named_by_where_it_goes_astray(
    log: Place, path: str, change: Callable[[list[bytes]], None], first: int
) -> None:
    edit_bundle(log, path, change)
    assert places(check(log)) == [(path, first)]


@pytest.mark.parametrize(
    ("path", "at", "first"),
    [("tile/0/001", 32 * 44, 300), ("tile/0/002.p/188", 32 * 5, 517), ("tile/1/000.p/2", 32, 256)],
    ids=["full", "partial", "level 1"],
)
def test_tiles_that_were_changed_are_named_and_what_they_cover_is_not(
    log: Place, path: str, at: int, first: int
) -> None:
    edit(log, path, flip(at))
    assert places(check(log)) == [(path, first)]


@pytest.mark.parametrize(
    ("path", "at", "first"),
    [("tile/0/100", 64, 25_602), ("tile/1/000", 320, 2560), ("tile/1/001.p/1", 0, 65_536), ("tile/2/000.p/1", 9, 0)],
)
def test_tiles_of_every_level_are_named(large: Place, tmp_path: Path, path: str, at: int, first: int) -> None:
    log = large.copy(tmp_path)
    edit(log, path, flip(at))
    assert places(check(log)) == [(path, first)]


@pytest.mark.parametrize("index", [0, 1, 2, 100, 257])
def test_an_entry_and_its_tile_that_were_changed_together_are_named(large: Place, tmp_path: Path, index: int) -> None:
    log = large.copy(tmp_path)
    width = 256 if index < 257 else 208
    other = [b"rewritten", *entries(index * 256 + 1, index * 256 + width)]
    (log.log / tile_path("entries", index, width)).write_bytes(encode_bundle(other))
    edit(log, tile_path(0, index, width), lambda old: leaf_hash(b"rewritten") + old[32:])
    above = width == 256  # at the edge no tile does: only the signed root tells that something was changed
    expected = (tile_path(0, index), index * 256) if above else ("checkpoint", None)
    assert places(check(log)) == [expected]


def test_several_faults_are_all_named(large: Place, tmp_path: Path) -> None:
    log = large.copy(tmp_path)
    edit(log, "tile/entries/003", flip(50))
    edit(log, "tile/0/009", flip(0))
    os.unlink(log.log / "tile/entries/020")
    os.unlink(log.log / "tile/0/021")
    edit(log, "tile/entries/255", lambda old: old[:-3])
    edit(log, "tile/0/256", lambda old: old[:-1])
    edit(log, "tile/1/000", flip(32 * 30))
    edit(log, "tile/0/257.p/208", flip(32 * 7))
    found = places(check(log))
    assert sorted(found, key=str) == sorted(
        [
            ("tile/entries/003", found[0][1]),
            ("tile/0/009", 2304),
            ("tile/entries/020", 5120),
            ("tile/0/021", 5376),
            ("tile/entries/255", 65_280),
            ("tile/0/256", 65_536),
            ("tile/1/000", 7680),
            ("tile/0/257.p/208", 65_799),
        ],
        key=str,
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tile/entries/001", [("tile/entries/001", 256)]),
        ("tile/entries/002.p/188", [("tile/entries/002.p/188", 512)]),
        ("tile/0/000", [("tile/0/000", 0)]),
        ("tile/0/002.p/188", [("tile/0/002.p/188", 512)]),
        ("tile/1/000.p/2", [("tile/1/000.p/2", 0)]),
        ("checkpoint", [("checkpoint", None), ("checkpoint", None)]),
    ],
)
def test_files_that_are_missing_are_named(log: Place, path: str, expected: list[tuple[str, int | None]]) -> None:
    os.unlink(log.log / path)
    assert places(check(log)) == expected[:1]


def test_a_tail_that_was_cut_off_is_named(log: Place) -> None:
    """The last entries are gone, and the log shows the checkpoint of before."""
    for path in ("tile/entries/002.p", "tile/0/002.p"):
        shutil.rmtree(log.log / path)
    before = Checkpoint(
        ORIGIN, 512, rehash.root_hash([rehash.sha256(b"\x00" + one).digest() for one in entries(0, 512)])
    )
    (log.log / "checkpoint").write_text(sign(before.text, [KEY], NOW))
    found = places(check(log))
    assert ("tile/entries/002.p/188", 512) in found
    assert ("tile/0/002.p/188", 512) in found
    assert found[-1] == ("checkpoint", 512)
    assert verify_log(log.log, public()).ok, "without the store nothing betrays it"


def test_a_backup_that_was_put_back_is_named(whole: Place, tmp_path: Path) -> None:
    log = whole.copy(tmp_path)
    shutil.rmtree(log.log)
    make(tmp_path / "backup", [300]).log.rename(log.log)
    found = places(check(log))
    assert ("tile/entries/001", 256) in found or ("tile/entries/001.p/44", 256) in found
    assert ("tile/entries/002.p/188", 512) in found
    assert found[-1] == ("checkpoint", 300)


def test_a_history_written_anew_is_named_by_the_checkpoints_it_departs_from(log: Place) -> None:
    changed = entries(0, 800)
    changed[400] = b"rewritten"
    rebuild(log, changed, [300, 800])
    assert verify_log(log.log, public()).ok, "with the private key and every file, nothing but another copy betrays it"
    report = check(log)
    assert places(report) == [(str(log.store / "checkpoint"), 0)]
    assert "its 700 entries are not those of the log" in report.faults[0].what
    (log.log / "checkpoint.witnessed").write_text(sign(checkpoint_of(300).text, [KEY], NOW))
    assert places(check(log)) == [(str(log.store / "checkpoint"), 300)], "it agrees up to there"


def test_a_fork_of_the_same_size_is_named(log: Place) -> None:
    changed = entries(0, SIZE)
    changed[600] = b"rewritten"
    rebuild(log, changed, [SIZE])
    assert places(check(log)) == [(str(log.store / "checkpoint"), 0)]


def test_a_shorter_history_written_anew_is_named(log: Place) -> None:
    changed = entries(0, 400)
    changed[10] = b"rewritten"
    rebuild(log, changed, [400])
    found = places(check(log))
    assert ("tile/entries/002.p/188", 512) in found
    assert ("checkpoint", 400) in found


def test_receipts_betray_a_history_written_anew_and_name_the_entry(log: Place) -> None:
    receipts = [(f"receipt of {index}", make_receipt(log.log, index)) for index in (5, 400)]
    assert check(log, *receipts).ok
    changed = entries(0, 800)
    changed[400] = b"rewritten"
    rebuild(log, changed, [800])
    report = verify_log(log.log, public(), receipts=receipts)
    assert ("tile/entries/001", 400) in places(report)
    assert "receipt of 400" in report.faults[0].what
    assert {place for place, _ in places(report)} == {"tile/entries/001", "receipt of 5", "receipt of 400"}


def test_receipts_that_prove_nothing_are_faults(log: Place) -> None:
    good = make_receipt(log.log, 5)
    report = check(log, ("not signed", good[:-20] + good[-19:]), ("no receipt", "hello"))
    assert places(report) == [("not signed", None), ("no receipt", None)]


def test_a_checkpoint_that_cannot_be_believed_is_a_fault_and_the_files_are_still_looked_through(log: Place) -> None:
    stranger = PrivateKey.generate(ORIGIN)
    edit(log, "tile/0/001", flip(0))
    report = verify_log(log.log, [stranger.verifier])
    assert places(report) == [("checkpoint", None), ("tile/0/001", 256)]
    assert report.signatures == ()


@pytest.mark.parametrize("content", [b"", b"no note", b"\xff\xfe", b"a\n1\nb\n\n\xe2\x80\x94 x AAAA\n"], ids=str)
def test_a_checkpoint_that_is_none_is_a_fault(log: Place, content: bytes) -> None:
    (log.log / "checkpoint").write_bytes(content)
    assert places(verify_log(log.log, public())) == [("checkpoint", None)]


def test_a_checkpoint_of_another_log_is_a_fault(log: Place) -> None:
    other = PrivateKey.generate("example.com/other")
    (log.store / "checkpoint").write_text(sign(Checkpoint("example.com/other", 0, EMPTY_ROOT).text, [other], NOW))
    report = verify_log(log.log, [KEY.verifier, other.verifier], store=log.store)
    assert places(report) == [(str(log.store / "checkpoint"), None)]
    assert "is of the log `example.com/other`" in report.faults[0].what


def test_a_wrong_signature_of_either_key_is_a_fault(tmp_path: Path) -> None:
    log = make(tmp_path, [5], [KEY, LATTICE_KEY])
    for line in (4, 5):
        lines = (log.log / "checkpoint").read_text().split("\n")
        lines[line] = lines[line][:-9] + ("A" if lines[line][-9] != "A" else "B") + lines[line][-8:]
        note = "\n".join(lines)
        broken = log.copy(tmp_path / str(line))
        (broken.log / "checkpoint").write_text(note)
        assert places(verify_log(broken.log, public([KEY, LATTICE_KEY]))) == [("checkpoint", None)]


def test_a_log_that_stopped_before_it_published_is_whole_and_said_to_be_behind(log: Place) -> None:
    (log.log / "checkpoint").write_text(sign(checkpoint_of(300).text, [KEY], NOW))
    report = check(log)
    assert report.ok
    assert "the published checkpoint is of 300 entries" in report.warnings[-1]


def test_left_over_partial_tiles_are_compared(log: Place) -> None:
    assert (log.log / "tile/0/001.p").exists() is False
    for path in ("tile/0/001.p/44", "tile/entries/001.p/44"):
        (log.log / path).parent.mkdir()
    (log.log / "tile/0/001.p/44").write_bytes((log.log / "tile/0/001").read_bytes()[: 44 * 32])
    (log.log / "tile/entries/001.p/44").write_bytes(encode_bundle(entries(256, 300)))
    assert check(log).ok
    edit(log, "tile/0/001.p/44", flip(0))
    edit(log, "tile/entries/001.p/44", flip(9))
    assert sorted(places(check(log))) == [("tile/0/001.p/44", 256), ("tile/entries/001.p/44", 256)]
    edit(log, "tile/0/001.p/44", lambda old: old[:-1])
    edit(log, "tile/entries/001.p/44", lambda old: old[:-1])
    assert sorted(places(check(log))) == [("tile/0/001.p/44", 256), ("tile/entries/001.p/44", 256)]


def test_what_the_checkpoints_do_not_reach_is_nothing(log: Place) -> None:
    """A log that is being written has files ahead of its checkpoint; so has one that crashed."""
    for path in ("tile/0/002", "tile/entries/002", "tile/0/003.p/7", "tile/entries/002.p/200", "tile/README"):
        (log.log / path).parent.mkdir(exist_ok=True)
        (log.log / path).write_bytes(b"whatever")
    assert check(log).ok


def test_the_report_warns_of_a_store_on_the_log_s_disk_and_of_none(log: Place) -> None:
    assert "on the log's disk" in check(log).warnings[0]
    assert "no checkpoint store was given" in verify_log(log.log, public()).warnings[0]


@pytest.mark.skipif(
    os.stat("/dev/shm").st_dev == os.stat("/tmp").st_dev, reason="/dev/shm is no file system of its own here"
)
def test_the_report_does_not_warn_of_a_store_elsewhere(log: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    there = Path("/dev/shm") / f"tidegate-test-{os.getpid()}"
    shutil.copytree(log.store, there)
    try:
        assert verify_log(log.log, public(), store=there).warnings == []
    finally:
        shutil.rmtree(there)


def test_a_log_that_is_not_there_is_a_fault(log: Place, tmp_path: Path) -> None:
    assert places(verify_log(tmp_path / "nowhere", public())) == [("checkpoint", None)]
    found = places(verify_log(tmp_path / "nowhere", public(), store=log.store))
    assert found[0] == ("checkpoint", None)
    assert ("tile/entries/000", 0) in found


def test_a_store_that_is_not_there_is_a_fault(log: Place, tmp_path: Path) -> None:
    report = verify_log(log.log, public(), store=tmp_path / "nowhere")
    assert places(report) == [(str(tmp_path / "nowhere" / "checkpoint"), None)]


def test_a_signed_size_beyond_all_files_ends_the_search(log: Place) -> None:
    huge = Checkpoint(ORIGIN, 2**60, bytes(32))
    (log.log / "checkpoint").write_text(sign(huge.text, [KEY], NOW))
    report = verify_log(log.log, public())
    assert not report.ok
    assert "no more were looked for" in report.faults[-1].what
    assert len(report.faults) <= rehash.FAULTS_MAX


def test_no_more_faults_are_kept_than_can_be_read(log: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehash, "FAULTS_MAX", 3)
    for index in range(5):
        edit_bundle(log, "tile/entries/000", lambda found, at=index: found.__setitem__(at, b"x"))  # type: ignore[misc]
    report = check(log)
    assert len(report.faults) == 3
    assert "2 faults more" in report.warnings[-1]


FILES = ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/188", "tile/0/000", "tile/0/001"]
FILES += ["tile/0/002.p/188", "tile/1/000.p/2", "checkpoint"]


@given(st.data())
def test_no_bit_can_be_changed_and_no_byte_removed_unseen(whole: Place, data: st.DataObject) -> None:
    """And the file is named; of the checkpoint too."""
    path = data.draw(st.sampled_from(FILES))
    file = whole.log / path
    before = file.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    after = data.draw(
        st.sampled_from(
            [before[:at], before[:at] + before[at + 1 :], before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :]]
        )
    )
    try:
        file.write_bytes(after)
        report = check(whole)
        if after == before:
            return
        assert path in {fault.place for fault in report.faults}
    finally:
        file.write_bytes(before)


def test_the_entries_of_these_tests_are_what_they_are_said_to_be() -> None:
    assert entry(13) == b""
    assert max(map(len, entries(0, SIZE))) > 256


def test_the_verifier_does_not_import_the_writer() -> None:
    folder = Path(rehash.__file__).parent
    writers = {"log", "store", "keys", "durable"}
    verifier = {"verify", "rehash", "receipts", "tiles", "notes", "checkpoints", "merkle"}
    for name in verifier:
        source = (folder / f"{name}.py").read_text()
        for writer in writers:
            assert f"tidegate.record.{writer} " not in source
            assert f"import {writer}" not in source
