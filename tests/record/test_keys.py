"""Keys of a log: made once, kept from others, added, retired; and in no text where they do not belong."""

import os
import pickle
import stat
import traceback
from pathlib import Path

import pytest

from tests.record.logs import NOW, ORIGIN, make
from tidegate.record import keys
from tidegate.record.checkpoints import Checkpoint
from tidegate.record.keys import KeyFault, PrivateKey
from tidegate.record.log import Log
from tidegate.record.merkle import EMPTY_ROOT
from tidegate.record.notes import ED25519, ML_DSA_44, open_note
from tidegate.record.store import CheckpointStore
from tidegate.record.verify import verify_log


def test_a_log_s_keys_are_made_with_both_algorithms_and_kept_from_others(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    made = keys.generate(folder, ORIGIN)
    assert [key.verifier.algorithm for key in made] == [ED25519, ML_DSA_44]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for key in made:
        file = folder / f"{key.key_id.hex()}.key"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert (folder / f"{key.key_id.hex()}.pub").read_text() == f"{key.verifier}\n"
    assert sorted(map(repr, keys.load(folder))) == sorted(map(repr, made))
    assert sorted(map(str, keys.public_keys(folder))) == sorted(str(key.verifier) for key in made)


def test_what_was_made_signs_after_it_was_loaded(tmp_path: Path) -> None:
    for made in keys.generate(tmp_path, ORIGIN):
        text = Checkpoint(ORIGIN, 0, EMPTY_ROOT).text
        [loaded] = [key for key in keys.load(tmp_path) if key.key_id == made.key_id]
        assert made.verifier.verify(text, loaded.sign(text, NOW))


def test_no_two_keys_are_the_same(tmp_path: Path) -> None:
    assert len({PrivateKey.generate(ORIGIN).secret for _ in range(100)}) == 100


@pytest.mark.parametrize("suffix", ["key", "pub"])
def test_no_file_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(os, "urandom", lambda size: b"\x07" * size)
    [made] = keys.generate(tmp_path / "first", ORIGIN, [ED25519])
    (tmp_path / "second").mkdir()
    there = tmp_path / "second" / f"{made.key_id.hex()}.{suffix}"
    there.write_text("precious")
    with pytest.raises(KeyFault, match="exists"):
        keys.generate(tmp_path / "second", ORIGIN, [ED25519])
    assert there.read_text() == "precious"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    [made] = keys.generate(tmp_path, ORIGIN, [ED25519])
    (tmp_path / f"{made.key_id.hex()}.key").chmod(mode)
    with pytest.raises(KeyFault, match="chmod 600"):
        keys.load(tmp_path)


def test_secrets_are_in_no_repr_error_or_pickle() -> None:
    key = PrivateKey.generate(ORIGIN)
    secret = key.secret.split("+", 4)[4]
    assert secret not in repr(key) + str(key) + repr([key]) + repr(vars(type(key)))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
    for wrong in (key.secret[:-4], key.secret.replace(ORIGIN, "other"), key.secret + "A"):
        try:
            PrivateKey.parse(wrong)
        except KeyFault:
            assert secret[:16] not in traceback.format_exc().replace(wrong, "")
        else:
            pytest.fail("a key that is none was taken")


@pytest.mark.parametrize("content", ["", "PRIVATE+KEY+x+00000000+AAAA", "hello\n", "PRIVATE+KEY+a b+00000000+AQ=="])
def test_files_that_are_no_keys_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.key").write_text(content)
    (tmp_path / "x.key").chmod(0o600)
    with pytest.raises(KeyFault):
        keys.load(tmp_path)


def test_a_folder_without_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFault, match="no private key"):
        keys.load(tmp_path)
    with pytest.raises(KeyFault, match="no public key"):
        keys.public_keys(tmp_path)
    with pytest.raises(KeyFault, match="cannot be read"):
        keys.public_keys(tmp_path / "nowhere")


def test_public_keys_are_read_from_a_file_with_remarks(tmp_path: Path) -> None:
    one, other = (PrivateKey.generate(ORIGIN).verifier for _ in range(2))
    (tmp_path / "keys.txt").write_text(f"# the ledger's keys\n\n{one}\n{other}\n")
    assert [str(key) for key in keys.public_keys(tmp_path / "keys.txt")] == [str(one), str(other)]


def test_keys_are_rotated_without_a_checkpoint_that_somebody_cannot_verify(tmp_path: Path) -> None:
    """Who knows either key can verify while both sign; after that the new one is needed."""
    folder = tmp_path / "keys"
    [old] = keys.generate(folder, ORIGIN, [ED25519])
    place = make(tmp_path, [10], [old])
    [new] = keys.generate(folder, ORIGIN, [ED25519])
    store = CheckpointStore(place.store)
    with Log(place.log, ORIGIN, keys.load(folder), store) as log:
        note = log.checkpoint(NOW)
        assert open_note(note, [old.verifier])
        assert open_note(note, [new.verifier])
    keys.retire(folder, old.key_id.hex())
    assert not (folder / f"{old.key_id.hex()}.key").exists()
    assert [key.key_id for key in keys.load(folder)] == [new.key_id]
    with Log(place.log, ORIGIN, keys.load(folder), store) as log:
        log.append([b"after the rotation"])
        assert not open_note(log.checkpoint(NOW), [new.verifier]).unknown
    assert verify_log(place.log, keys.public_keys(folder), store=place.store).ok


def test_the_last_key_that_everybody_can_verify_is_not_retired(tmp_path: Path) -> None:
    curve, lattice = keys.generate(tmp_path, ORIGIN)
    with pytest.raises(KeyFault, match="last Ed25519 key"):
        keys.retire(tmp_path, curve.key_id.hex())
    with pytest.raises(KeyFault, match="no private key `00000000`"):
        keys.retire(tmp_path, "00000000")
    keys.retire(tmp_path, lattice.key_id.hex())
    assert [key.key_id for key in keys.load(tmp_path)] == [curve.key_id]
    assert len(keys.public_keys(tmp_path)) == 2, "what it signed can still be verified"
