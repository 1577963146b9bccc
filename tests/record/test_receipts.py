"""Receipts: whoever has one and the log's public key needs nothing else, and no other text proves anything."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.record.logs import KEY, LATTICE_KEY, NOW, ORIGIN, WITNESS_KEY, Place, entries, entry, make, public
from tidegate.errors import TidegateError
from tidegate.record.keys import PrivateKey
from tidegate.record.merkle import ProofError
from tidegate.record.notes import NoteError
from tidegate.record.receipts import RECEIPT_MAX, Receipt, check_receipt, make_receipt, parse_receipt
from tidegate.record.tiles import TileError

SIZE = 700


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make(tmp_path_factory.mktemp("log"), [300, SIZE], [KEY, LATTICE_KEY])


@pytest.mark.parametrize("index", [0, 1, 5, 13, 255, 256, 299, 300, 511, 512, 698, 699])
def test_a_receipt_proves_its_entry_to_who_has_a_public_key(place: Place, index: int) -> None:
    receipt = make_receipt(place.log, index)
    for key in (KEY, LATTICE_KEY):
        proved = check_receipt(receipt.encode(), [key.verifier])
        assert (proved.index, proved.entry) == (index, entry(index))
        assert (proved.checkpoint.origin, proved.checkpoint.size) == (ORIGIN, SIZE)
        assert [one.key_id for one in proved.signatures] == [key.key_id]


def test_the_text_is_that_of_the_specification(place: Place) -> None:
    lines = make_receipt(place.log, 5).split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(entry(5)).decode()
    assert lines[2] == "index 5"
    end = lines.index("")
    assert all(len(base64.b64decode(line)) == 32 for line in lines[3:end])
    assert "\n".join(lines[end + 1 :]) == (place.log / "checkpoint").read_text()
    assert parse_receipt("\n".join(lines)).text == "\n".join(lines)


def test_a_receipt_may_be_under_an_older_checkpoint(place: Place, tmp_path: Path) -> None:
    older = (make(tmp_path, [300]).log / "checkpoint").read_text()
    assert check_receipt(make_receipt(place.log, 299, older), public()).checkpoint.size == 300
    with pytest.raises(ProofError, match="entry 300 is not in a tree of 300"):
        make_receipt(place.log, 300, older)


def test_the_entry_may_come_from_elsewhere(place: Place) -> None:
    receipt = parse_receipt(make_receipt(place.log, 5))
    bare = Receipt(receipt.index, receipt.proof, receipt.note).text
    assert "extra" not in bare
    assert check_receipt(bare, public(), entry(5)).entry == entry(5)
    with pytest.raises(ProofError, match="none was given"):
        check_receipt(bare, public())
    with pytest.raises(ProofError, match="does not lead"):
        check_receipt(bare, public(), entry(6))


def test_a_receipt_of_a_stranger_or_a_witness_alone_proves_nothing(place: Place) -> None:
    receipt = make_receipt(place.log, 5)
    for key in (PrivateKey.generate(ORIGIN), WITNESS_KEY):
        with pytest.raises(NoteError, match="no known key"):
            check_receipt(receipt, [key.verifier])


def test_no_receipt_is_made_from_a_log_that_was_changed(place: Place, tmp_path: Path) -> None:
    copy = place.copy(tmp_path)
    bundle = copy.log / "tile/entries/000"
    bundle.write_bytes(bundle.read_bytes().replace(b"entry 5 ", b"entry 6 "))
    with pytest.raises(ProofError, match="does not lead"):
        make_receipt(copy.log, 5)
    bundle.unlink()
    with pytest.raises(TileError, match="is missing"):
        make_receipt(copy.log, 5)
    (copy.log / "checkpoint").unlink()
    with pytest.raises(ProofError, match="cannot be read"):
        make_receipt(copy.log, 5)


@pytest.mark.parametrize("index", [-1, SIZE, 2**64])
def test_there_is_no_receipt_for_what_is_not_in_the_log(place: Place, index: int) -> None:
    with pytest.raises(ProofError, match="is not in a tree"):
        make_receipt(place.log, index)


HASH = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wrong-header\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v2\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra !!notbase64!!\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra AB==\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\n\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex notanumber\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex -5\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 05\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 18446744073709551616\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra AAAA\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n!!notbase64!!\n\ncheckpoint\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{base64.b64encode(bytes(64)).decode()}\n\ncheckpoint\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH[:-2]}B=\n\ncheckpoint\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH}\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n" + f"{HASH}\n" * 64 + "\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\r\nindex 0\r\n\r\ncheckpoint\r\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n\n" + "x" * RECEIPT_MAX,
        b"c2sp.org/tlog-proof@v1\nindex 0\n\n\xff",
    ],
    ids=range(20),
)
def test_what_is_not_a_receipt_is_refused(text: str | bytes) -> None:
    with pytest.raises(ProofError):
        parse_receipt(text)


@pytest.mark.parametrize("extra", [None, b"", b"extra information"])
def test_proofs_of_the_published_tests_lead_back(extra: bytes | None) -> None:
    """The cases of transparency-dev/formats: with and without extra data and hashes."""
    for proof in ((), (bytes(32),), (bytes(32), b"\x01" * 32)):
        receipt = Receipt(5, proof, "test checkpoint\n", extra)
        assert parse_receipt(receipt.text) == receipt


@given(st.data())
def test_no_byte_of_a_receipt_can_be_changed_unless_in_what_is_not_believed(place: Place, data: st.DataObject) -> None:
    """Signatures of unknown keys may say anything; everything else is proved."""
    whole = make_receipt(place.log, 300)
    receipt = whole[: whole.rindex("— ")].encode()
    assert check_receipt(receipt, public()).entry == entries(300, 301)[0]
    at = data.draw(st.integers(0, len(receipt) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != receipt[at]))
    with pytest.raises(TidegateError):
        check_receipt(receipt[:at] + bytes([byte]) + receipt[at + 1 :], public())


def test_the_time_of_a_checkpoint_is_that_of_its_signature(place: Place) -> None:
    proved = check_receipt(make_receipt(place.log, 0), [LATTICE_KEY.verifier])
    assert int.from_bytes(proved.signatures[0].raw[4:12], "big") == NOW + SIZE
