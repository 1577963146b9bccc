"""Signed notes: the keys and notes that others have published, and everything that is not a note."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from hypothesis import given
from hypothesis import strategies as st

from tests.record.logs import KEY, LATTICE_KEY, NOW, ORIGIN, WITNESS_KEY
from tidegate.record.checkpoints import Checkpoint, CheckpointError, parse_checkpoint
from tidegate.record.keys import KeyFault, PrivateKey
from tidegate.record.merkle import EMPTY_ROOT
from tidegate.record.notes import (
    COSIGNATURE,
    ED25519,
    ML_DSA_44,
    NOTE_MAX,
    NoteError,
    Verifier,
    decode_base64,
    make_note,
    open_checkpoint,
    open_note,
    parse_signatures,
    sign,
    signed_message,
    split_note,
    subtree_message,
)

# Keys and signatures of the tests of Go's sumdb/note
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_BASE64 = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
ENOCH_BASE64 = "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ="
PETER_LINE = f"— PeterNeumann {PETER_BASE64}\n"
ENOCH_LINE = f"— EnochRoot {ENOCH_BASE64}\n"
peter, enoch = Verifier.parse(PETER), Verifier.parse(ENOCH)


def refused(text: str | bytes, *keys: Verifier) -> str:
    with pytest.raises(NoteError) as error:
        open_note(text, keys)
    return error.value.message


def fails(kind: type[Exception], call: Callable[..., object], *arguments: object) -> bool:
    try:
        call(*arguments)
    except kind:
        return True
    return False


# keys


def test_a_published_key_is_read_and_written_as_it_was() -> None:
    assert str(peter) == PETER
    assert (peter.name, peter.key_id.hex(), peter.algorithm) == ("PeterNeumann", "c74f20a3", ED25519)
    assert repr(peter) == "Verifier(PeterNeumann+c74f20a3)"


def test_a_published_key_of_a_witness_is_read() -> None:
    """From the tests of transparency-dev/formats: a key of algorithm 4, as a witness has it."""
    text = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
    assert Verifier.parse(text).algorithm == COSIGNATURE


@pytest.mark.parametrize("text", [PETER, PETER_SECRET])
def test_no_part_of_a_key_and_no_change_of_a_letter_is_a_key(text: str) -> None:
    parse = Verifier.parse if text is PETER else PrivateKey.parse
    parts = [text[one:other] for one, other in itertools.combinations(range(len(text) + 1), 2)]
    changed = [text[:at] + chr(ord(text[at]) + 1) + text[at + 1 :] for at in range(len(text))]
    for wrong in [part for part in parts if part != text] + changed:
        with pytest.raises((NoteError, KeyFault)):
            parse(wrong)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            "a key that is too long, with the id of it",
        ),
        ("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "an algorithm that nobody knows"),
        ("bananas.sigstore.dev+12344556", "no key"),
        ("rekor.sigstore.dev+12345678+THIS_IS_NOT_BASE64!", "no base64"),
        ("rekor.sigstore.dev+12345678+AwEB", "algorithm 3"),
        ("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "no name"),
        ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "a space in the name"),
        ("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "an id in capitals"),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n=", "something behind it"),
        ("", "nothing"),
    ],
)
def test_what_is_not_a_key_is_refused(text: str, why: str) -> None:
    assert fails(NoteError, Verifier.parse, text), why


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\u2003b", "a\u00a0b", "a\u0085", "a\tb", "a\x01b", "x" * 256, "é" * 128]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(NoteError):
        Verifier(name, ED25519, bytes(32))


def test_names_up_to_the_bound_are_names() -> None:
    assert Verifier("é" * 127 + "x", ED25519, bytes(32)).name


@pytest.mark.parametrize(("algorithm", "length"), [(1, 31), (1, 33), (4, 31), (6, 1311), (6, 32), (2, 32), (5, 32)])
def test_keys_of_a_wrong_length_or_algorithm_are_refused(algorithm: int, length: int) -> None:
    with pytest.raises(NoteError):
        Verifier("x", algorithm, bytes(length))


# opening


def test_a_published_note_is_made_and_opened() -> None:
    secret = PrivateKey.parse(PETER_SECRET)
    note = TEXT + "\n" + PETER_LINE
    assert sign(TEXT, [secret], 0) == note
    assert str(secret.verifier) == PETER
    opened = open_note(note.encode(), [peter])
    assert opened.text == TEXT
    assert [one.line for one in opened.signatures] == [PETER_LINE]
    assert make_note(opened.text, opened.signatures) == note


def test_the_specification_s_example_is_opened() -> None:
    verifier = Verifier.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    signature = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
    note = f"This is an example message.\n\n— example.com/foo {signature}\n"
    assert open_note(note, [verifier]).text == "This is an example message.\n"


def test_the_last_empty_line_parts_text_and_signatures() -> None:
    text = "one\n\ntwo\n\nthree\n"
    assert open_note(sign(text, [KEY], 0), [KEY.verifier]).text == text


def test_signatures_of_unknown_keys_are_kept_apart_and_repetitions_dropped() -> None:
    changed = ENOCH_LINE[:60] + "ABCD" + ENOCH_LINE[60:]
    note = TEXT + "\n" + PETER_LINE * 2 + ENOCH_LINE * 2 + changed
    opened = open_note(note, [peter])
    assert [one.line for one in opened.signatures] == [PETER_LINE]
    assert [one.line for one in opened.unknown] == [ENOCH_LINE, changed]
    assert len(open_note(TEXT + "\n" + PETER_LINE + ENOCH_LINE, [peter, enoch]).signatures) == 2


def test_somebody_known_must_have_signed() -> None:
    assert "no known key" in refused(TEXT + "\n" + PETER_LINE + ENOCH_LINE)
    assert "no known key" in refused(TEXT + "\n" + ENOCH_LINE, peter)
    other_id = Verifier("PeterNeumann", ED25519, bytes(32))
    other_name = Verifier("PeterNeuman", ED25519, peter.key)
    assert "no known key" in refused(TEXT + "\n" + PETER_LINE, other_id, other_name)


def test_one_wrong_signature_of_a_known_key_refuses_the_note() -> None:
    changed = PETER_LINE[:60] + "ABCD" + PETER_LINE[60:]
    assert "PeterNeumann+c74f20a3` is wrong" in refused(TEXT + "\n" + changed, peter)
    assert "is wrong" in refused(TEXT + "\n" + changed + ENOCH_LINE, peter, enoch)
    assert "is wrong" in refused(TEXT + "\n" + PETER_LINE + changed, peter), "one that holds does not cover it"
    assert "is wrong" in refused(TEXT.replace("answer", "question") + "\n" + PETER_LINE, peter)


def test_a_key_given_twice_is_refused() -> None:
    assert "two keys" in refused(TEXT + "\n" + PETER_LINE, peter, Verifier.parse(PETER))


def test_a_hundred_signatures_are_read_and_no_more() -> None:
    assert open_note(TEXT + "\n" + PETER_LINE * 100, [peter])
    assert "more than 100" in refused(TEXT + "\n" + PETER_LINE * 101, peter)
    assert "more than 100" in refused(TEXT + "\n" + PETER_LINE * 101)


@pytest.mark.parametrize(
    ("note", "why"),
    [
        (TEXT, "no signatures"),
        (TEXT + "\n", "no signatures"),
        (TEXT + "\n" + PETER_LINE[:-1], "no newline at the end"),
        (TEXT + PETER_LINE, "no empty line"),
        ("\x01" + TEXT + "\n" + PETER_LINE, "a control character"),
        (TEXT + "\r\n" + PETER_LINE, "a carriage return"),
        (b"\xff" + TEXT.encode() + b"\n" + PETER_LINE.encode(), "no UTF-8"),
        (TEXT + "\ud800\n" + PETER_LINE, "a surrogate"),
        (TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter Neumann"), "a space in a name"),
        (TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter+Neumann"), "a plus in a name"),
        (TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter\u2009Neumann"), "a thin space in a name"),
        (TEXT + "\n" + PETER_LINE.replace("PeterNeumann ", " "), "no name"),
        (TEXT + "\n" + PETER_LINE.replace("— ", "- "), "a hyphen for the dash"),
        (TEXT + "\n" + PETER_LINE.replace("— ", "—"), "no space behind the dash"),
        (TEXT + "\n" + PETER_LINE.replace("=", ""), "base64 without padding"),
        (TEXT + "\n" + PETER_LINE.replace("AM=", "AN="), "base64 that another text says too"),
        (TEXT + "\n" + PETER_LINE.replace("x08g", "x0 8g"), "a space in base64"),
        (TEXT + "\n" + "— PeterNeumann x08gow==\n", "no signature behind the key's id"),
        (TEXT + "\n" + PETER_LINE + "Unexpected line.\n", "a line that is no signature"),
        (TEXT + "\n" + PETER_LINE + "\n", "an empty line behind"),
        ("", "nothing"),
        ("\n", "nothing"),
        (TEXT + "\n" + " " * NOTE_MAX + PETER_LINE, "too long"),
    ],
)
def test_what_is_not_a_note_is_refused(note: str | bytes, why: str) -> None:
    assert refused(note, peter), why


@given(st.text())
def test_no_text_does_worse_than_be_refused(text: str) -> None:
    for note in (text, TEXT + "\n" + text, text + "\n" + PETER_LINE):
        try:
            assert open_note(note, [peter]).text
        except NoteError:
            pass


@given(st.data())
def test_no_byte_of_a_signed_note_can_be_changed(data: st.DataObject) -> None:
    """Except in the name of the key and behind its dash, where nobody known has signed any more."""
    note = (TEXT + "\n" + PETER_LINE).encode()
    at = data.draw(st.integers(0, len(note) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != note[at]))
    assert refused(note[:at] + bytes([byte]) + note[at + 1 :], peter)


def test_a_note_is_signed_by_somebody_and_ends_in_a_newline() -> None:
    for text, signers in ((TEXT, []), (TEXT[:-1], [KEY]), ("a\tb\n", [KEY])):
        with pytest.raises(NoteError):
            sign(text, signers, 0)


# cosignatures

HEAD = Checkpoint(ORIGIN, 700, bytes(range(32)))


def test_each_algorithm_signs_a_checkpoint_and_only_its_own_key_verifies() -> None:
    keys = [KEY, LATTICE_KEY, WITNESS_KEY]
    note = sign(HEAD.text, keys, NOW)
    for key in keys:
        assert [one.name for one in open_note(note, [key.verifier]).signatures] == [key.name]
        stranger = PrivateKey(key.name, key.verifier.algorithm, bytes(32))
        assert "no known key" in refused(note, stranger.verifier)
    assert [len(one.raw) for one in split_note(note)[1]] == [4 + 64, 4 + 8 + 2420, 4 + 8 + 64]


@pytest.mark.parametrize("key", [LATTICE_KEY, WITNESS_KEY])
def test_a_cosignature_holds_for_its_time_alone(key: PrivateKey) -> None:
    signature = key.sign(HEAD.text, NOW)
    assert int.from_bytes(signature[:8], "big") == NOW
    assert key.verifier.verify(HEAD.text, signature)
    assert not key.verifier.verify(HEAD.text, (NOW + 1).to_bytes(8, "big") + signature[8:])
    assert not key.verifier.verify(HEAD.text, b"\xff" + signature[1:]), "no time is that late"
    assert not key.verifier.verify(HEAD.text, signature + b"\x00")
    assert not key.verifier.verify(HEAD.text, signature[8:])
    assert not key.verifier.verify("not a checkpoint\n", signature)


def test_the_messages_are_those_of_the_specification() -> None:
    """tlog-cosignature: the example of its Ed25519 message, and the structure of the other, written out by hand."""
    root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    text = f"example.com/behind-the-sofa\n20852163\n{root}\n"
    assert signed_message("w", ED25519, text, 5).decode() == text
    assert signed_message("w", COSIGNATURE, text, 1679315147).decode() == "cosignature/v1\ntime 1679315147\n" + text
    assert signed_message("w", ML_DSA_44, text, 1679315147) == (
        b"subtree/v1\n\x00"
        b"\x01w"
        b"\x00\x00\x00\x00\x64\x18\x50\xcb"
        b"\x1bexample.com/behind-the-sofa"
        b"\x00\x00\x00\x00\x00\x00\x00\x00"
        b"\x00\x00\x00\x00\x01\x3e\x2d\xc3" + decode_base64(root)
    )


def test_a_cosignature_by_another_implementation_holds() -> None:
    """Torchwood's key and signature of the entries 8 to 12, as the tests of transparency-dev/formats have them."""
    key, line = (Path(__file__).parent / "torchwood.txt").read_text().splitlines(keepends=True)
    verifier = Verifier.parse(key)
    assert str(verifier) + "\n" == key
    [signature] = parse_signatures(line)
    assert (signature.name, signature.key_id) == (verifier.name, verifier.key_id)
    root = decode_base64("E7ERCtFloiK1fdb+B6/dLG0pM1nmIR0ETKBSauCjtVw=")
    public = MLDSA44PublicKey.from_public_bytes(verifier.key)
    public.verify(signature.raw[12:], subtree_message(verifier.name, 0, "example.com/log", 8, 13, root))


def test_only_checkpoints_of_origins_that_fit_are_cosigned() -> None:
    with pytest.raises(NoteError, match="only checkpoints"):
        WITNESS_KEY.sign("Note\n", NOW)
    with pytest.raises(NoteError, match="255"):
        LATTICE_KEY.sign(Checkpoint("x" * 256, 0, EMPTY_ROOT).text, NOW)
    assert LATTICE_KEY.sign(Checkpoint("x" * 255, 0, EMPTY_ROOT).text, NOW)
    with pytest.raises(NoteError, match="no time"):
        WITNESS_KEY.sign(HEAD.text, 2**63)


def test_extension_lines_are_signed_by_who_signs_the_text() -> None:
    extended = HEAD._replace(extensions=("Extendo",))
    for key, covers in ((KEY, True), (WITNESS_KEY, True), (LATTICE_KEY, False)):
        signature = key.sign(extended.text, NOW)
        assert key.verifier.verify(HEAD.text, signature) is not covers


# checkpoints


def test_a_checkpoint_is_read_as_it_is_written() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = parse_checkpoint(text)
    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20852163
    assert checkpoint.root.hex().startswith("0ac5186a9186")
    assert checkpoint.extensions == ()
    assert checkpoint.text == text
    more = text + "one\ntwo words\n"
    assert parse_checkpoint(more.encode()).extensions == ("one", "two words")
    assert parse_checkpoint(more).text == more


ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing"),
        ("Log\n1\n", "two lines"),
        (f"\n1\n{ROOT}\n", "no origin"),
        (f"Log\n1\n{ROOT}", "no newline"),
        (f"Log\n\n{ROOT}\n", "no size"),
        (f"Log\n01\n{ROOT}\n", "a leading zero"),
        (f"Log\n+1\n{ROOT}\n", "a sign"),
        (f"Log\n-34\n{ROOT}\n", "negative"),
        (f"Log\n1 \n{ROOT}\n", "a space"),
        (f"Log\n1_0\n{ROOT}\n", "what Python reads as a number"),
        (f"Log\n١\n{ROOT}\n", "digits of another script"),
        (f"Log\nbananas\n{ROOT}\n", "no number"),
        (f"Log\n{2**63}\n{ROOT}\n", "too large"),
        (f"Log\n3438945738945739845734895735\n{ROOT}\n", "much too large"),
        ("Log\n1\nThisIsn'tBase64\n", "no base64"),
        ("Log\n1\nYmFuYW5hcw==\n", "too short"),
        (f"Log\n1\n{ROOT[:-2]}J=\n", "base64 that another text says too"),
        (f"Log\n1\n{ROOT[:-1]}\n", "no padding"),
        (f"Log\n1\n{ROOT}\n\n", "an empty line"),
        (f"Log\n1\n{ROOT}\n\nmore\n", "an empty line"),
        (f"Log\n1\n{ROOT}\nmore", "no newline behind an extension"),
        (f"Log\n1\n{ROOT}\n\n— Log AAAA\n", "a whole note"),
        (b"Log\xff\n1\n" + ROOT.encode() + b"\n", "no UTF-8"),
    ],
)
def test_what_is_not_a_checkpoint_is_refused(text: str | bytes, why: str) -> None:
    assert fails(CheckpointError, parse_checkpoint, text), why


def test_the_largest_size_is_a_size() -> None:
    assert parse_checkpoint(f"Log\n{2**63 - 1}\n{ROOT}\n").size == 2**63 - 1
    assert parse_checkpoint(f"Moon Log\n0\n{ROOT}\n").origin == "Moon Log"


def test_a_checkpoint_that_only_others_have_signed_is_not_the_log_s() -> None:
    note = sign(HEAD.text, [KEY, WITNESS_KEY], NOW)
    assert open_checkpoint(note, [KEY.verifier])[0] == HEAD
    with pytest.raises(NoteError, match="no known key of `"):
        open_checkpoint(note, [WITNESS_KEY.verifier])
