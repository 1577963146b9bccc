"""The file of keys: nothing that a command has said is lost, whatever happens to it or to others."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.identify.making import id_of, make, now, revoke, rotate
from tidegate.errors import KeysError
from tidegate.identify import keyfile
from tidegate.identify.keyfile import Word, changing, read
from tidegate.identify.keys import Begun, Entries, Made, Revoked, Rotated, digester

FILES = {"keys.jsonl", "keys.pepper", "keys.word", "keys.lock"}


def ids(folder: Path) -> set[str]:
    return {id.decode() for id in read(folder, 0).keys}


def test_nobody_else_can_read_what_is_kept_and_no_key_is_in_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key = make(tmp_path / "data", name="mine")
    finally:
        os.umask(before)
    folder = tmp_path / "data"
    assert {path.name for path in folder.iterdir()} == FILES
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    assert id_of(key).encode() in kept
    assert key[16:].encode() not in kept
    assert key[16:] not in repr(read(folder, 0))


def test_files_that_root_makes_belong_to_whom_the_folder_belongs(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("root is absent")
    os.chown(tmp_path, 65534, 65534)
    make(tmp_path)
    assert {path.stat().st_uid for path in tmp_path.iterdir()} == {65534}


labels = st.lists(st.from_regex(r"\A[0-9A-Za-z][0-9A-Za-z_.:/=@+-]{0,8}\Z"), max_size=3).map(tuple)
ID = st.sampled_from([f"tg_{number:012d}" for number in range(6)])
MOMENT = st.integers(0, 2**53)
DIGEST = st.binary(min_size=32, max_size=32)
ENTRIES = st.one_of(
    st.builds(
        Made,
        id=ID,
        digest=DIGEST,
        at=MOMENT,
        tenant=st.from_regex(r"\A[0-9A-Za-z][0-9A-Za-z_.-]{0,8}\Z"),
        name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
        user=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
        roles=labels,
        tags=labels,
        integrations=labels,
        expires=MOMENT,
    ),
    st.builds(Rotated, id=ID, digest=DIGEST, at=MOMENT, overlap=MOMENT, expires=MOMENT),
    st.builds(Revoked, id=ID, at=MOMENT),
)


@settings(max_examples=60, deadline=None)
@given(entries=st.lists(ENTRIES, max_size=12))
def test_what_is_read_is_what_was_written(tmp_path_factory: pytest.TempPathFactory, entries: list[Entries]) -> None:
    """Against a model: a dict that follows the same entries by itself."""
    folder = tmp_path_factory.mktemp("keys")
    model: dict[str, list[Entries]] = {}
    for entry in entries:
        past = model.get(entry.id, [])  # type: ignore[union-attr]
        fits = not past if isinstance(entry, Made) else bool(past) and not isinstance(past[-1], Revoked)
        with changing(folder) as file:
            file.digest("")
            if fits:
                file.append([entry])
                model.setdefault(entry.id, []).append(entry)  # type: ignore[union-attr]
            else:
                with pytest.raises(KeysError):
                    file.append([entry])
    found = read(folder, Word(folder).words[1]).keys
    assert {id.encode() for id in model} == found.keys()
    for id, past in model.items():
        key, rotations = found[id.encode()], [each for each in past if isinstance(each, Made | Rotated)]
        assert key.made == past[0]
        assert (key.digest, key.expires) == (rotations[-1].digest, rotations[-1].expires)
        assert key.old_digest == (rotations[-2].digest if len(rotations) > 1 else bytes(32))
        assert bool(key.revoked) == isinstance(past[-1], Revoked)


def makes(folder: Path, count: int, told: "multiprocessing.connection.Connection") -> None:
    for _ in range(count):
        told.send(id_of(make(folder)))


def test_commands_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """Four processes begin together, with the first key of the folder to make."""
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe(duplex=False) for _ in range(4)]
    workers = [context.Process(target=makes, args=(tmp_path, 15, write)) for _, write in pairs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    told = [pipe.recv() for pipe, _ in pairs for _ in range(15)]
    assert len(set(told)) == 60
    assert ids(tmp_path) == set(told)
    assert Word(tmp_path).words[0] == 60
    assert Word(tmp_path).words[1] == (tmp_path / "keys.jsonl").stat().st_size


KILLED = """
import sys
from pathlib import Path
from tests.identify.making import id_of, make
while True:
    print(id_of(make(Path(sys.argv[1]))), flush=True)
"""


def test_kill_9_in_the_middle_loses_nothing_that_was_said(tmp_path: Path) -> None:
    told: list[str] = []
    for turn in range(8):
        command = [sys.executable, "-c", KILLED, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as maker:
            assert maker.stdout
            told.append(maker.stdout.readline().strip())
            time.sleep(0.001 * turn)
            maker.send_signal(signal.SIGKILL)
            told += [line.strip() for line in maker.stdout.read().split("\n")[:-1]]
        assert set(told) <= ids(tmp_path)
        assert len(ids(tmp_path)) <= len(told) + turn + 1, "at most one a kill was made and not told"


@pytest.mark.parametrize("cut", [1, 5, 60, 150])
def test_a_line_without_its_end_counts_as_not_there(tmp_path: Path, cut: int) -> None:
    """What a killed writer leaves: some bytes of a line that was never announced."""
    first = make(tmp_path)
    path, word = tmp_path / "keys.jsonl", Word(tmp_path).words
    whole, before = path.read_bytes(), tuple(word)
    make(tmp_path)
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    word[0], word[1] = before
    assert ids(tmp_path) == {id_of(first)}
    third = make(tmp_path)
    assert ids(tmp_path) == {id_of(first), id_of(third)}


def test_a_maker_killed_before_its_first_line_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "keys.jsonl").touch(0o600)
    (tmp_path / "keys.pepper.new").touch(0o600)
    assert ids(tmp_path) == set()
    assert id_of(make(tmp_path)) in ids(tmp_path)


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    first = make(tmp_path)
    path = tmp_path / "keys.jsonl"
    before, word = path.read_bytes(), tuple(Word(tmp_path).words)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, hard))
    try:
        with pytest.raises(KeysError, match=r"keys\.jsonl: cannot be changed: file too large"):
            make(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
    assert tuple(Word(tmp_path).words) == word
    second = make(tmp_path)
    assert ids(tmp_path) == {id_of(first), id_of(second)}


def test_entries_that_were_asked_for_together_come_together_or_not_at_all(tmp_path: Path) -> None:
    key = make(tmp_path)
    before = (tmp_path / "keys.jsonl").read_bytes()
    with changing(tmp_path) as file, pytest.raises(KeysError, match="there is no key `tg_000000000000`"):
        file.append([Revoked(id_of(key), now()), Revoked("tg_000000000000", now())])
    assert (tmp_path / "keys.jsonl").read_bytes() == before


def test_a_command_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "PATIENCE", 0.05)
    with changing(tmp_path), pytest.raises(KeysError, match="another command has been changing keys"):
        make(tmp_path)


def line(entry: Entries) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


PEPPER = b"p" * 32
BEGUN = Begun(1, digester(PEPPER)(b""))
MADE = Made("tg_000000000001", bytes(range(32)), 1, "acme")
BROKEN = [
    ("not JSON", line(BEGUN) + b"nonsense\n", ":2: it is not an entry of a file of keys"),
    ("not UTF-8", line(BEGUN) + b'{"event":"\xff"}\n', ":2: "),
    ("an empty line", line(BEGUN) + b"\n" + line(MADE), ":2: it is not an entry of a file of keys"),
    ("no beginning", line(MADE), ":1: it does not begin like a file of keys"),
    ("begun twice", line(BEGUN) * 2, ":2: the beginning stands twice"),
    ("a later version", line(BEGUN).replace(b'version":1', b'version":2'), ":1: expected `int` <= 1 - at `$.version`"),
    ("an unknown event", line(BEGUN) + line(MADE).replace(b'"made"', b'"banned"'), ":2: invalid value 'banned'"),
    ("an unknown field", line(BEGUN) + line(MADE)[:-2] + b',"x":1}\n', ":2: object contains unknown field `x`"),
    ("a digest too short", line(BEGUN) + line(MADE).replace(b"AAEC", b""), ":2: expected `bytes` of length >= 32"),
    ("made twice", line(BEGUN) + line(MADE) * 2, ":3: the key `tg_000000000001` was made before"),
    ("nobody revoked", line(BEGUN) + line(Revoked("tg_000000000002", 1)), ":2: there is no key `tg_000000000002`"),
    (
        "rotated after its end",
        line(BEGUN) + line(MADE) + line(Revoked(MADE.id, 1)) + line(Rotated(MADE.id, bytes(32), 1, 1)),
        ":4: the key `tg_000000000001` was revoked before",
    ),
]


@pytest.mark.parametrize(("note", "text", "told"), BROKEN, ids=[case[0] for case in BROKEN])
def test_a_broken_file_is_told_with_its_line_and_left_as_it_is(
    tmp_path: Path, note: str, text: bytes, told: str
) -> None:
    path, pepper = tmp_path / "keys.jsonl", tmp_path / "keys.pepper"
    pepper.touch(0o600)
    pepper.write_bytes(PEPPER)
    path.write_bytes(text)
    for use in (lambda: ids(tmp_path), lambda: make(tmp_path)):
        with pytest.raises(KeysError) as refused:
            use()
        assert refused.value.message.startswith(f"{path}{told}"), note
    assert path.read_bytes() == text


def test_a_pepper_that_is_not_right_is_told(tmp_path: Path) -> None:
    make(tmp_path)
    pepper = tmp_path / "keys.pepper"
    right = pepper.read_bytes()
    pepper.write_bytes(bytes(32))
    with pytest.raises(KeysError, match="it is not the pepper that the keys"):
        ids(tmp_path)
    pepper.write_bytes(right + b"x")
    with pytest.raises(KeysError, match="it is damaged"):
        ids(tmp_path)
    pepper.write_bytes(right)
    pepper.chmod(0o640)
    with pytest.raises(KeysError, match="others may read or change it"):
        ids(tmp_path)
    pepper.unlink()
    for use in (lambda: ids(tmp_path), lambda: make(tmp_path)):
        with pytest.raises(KeysError, match="it is missing, and no key can be checked without it"):
            use()


def test_a_file_that_lost_what_was_announced_is_refused(tmp_path: Path) -> None:
    """Such as an older copy: revocations may be what it lost."""
    key = make(tmp_path)
    copy = (tmp_path / "keys.jsonl").read_bytes()
    revoke(tmp_path, key)
    (tmp_path / "keys.jsonl").write_bytes(copy)
    with pytest.raises(KeysError, match=r"bytes that were written are not there; .* remove .*keys\.word"):
        rotate(tmp_path, key, 0)
    (tmp_path / "keys.word").unlink()
    rotate(tmp_path, key, 0)
