"""Witnesses: asked over HTTP or by files, believed only when they sign, and never waited for."""

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.record.logs import KEY, NOW, ORIGIN, WITNESS_KEY, Place, entries, make, public
from tests.record.witnesses import WitnessServer
from tidegate.record.checkpoints import Checkpoint, parse_checkpoint
from tidegate.record.keys import PrivateKey
from tidegate.record.notes import Signature, open_note, split_note
from tidegate.record.receipts import check_receipt, make_receipt
from tidegate.record.verify import verify_log
from tidegate.record.witness import Asker, Stale, Witness, WitnessError, add_cosignatures, ask, request

VERIFIERS = (WITNESS_KEY.verifier,)


@pytest.fixture
def server() -> Iterator[WitnessServer]:
    witness = WitnessServer(WITNESS_KEY, {ORIGIN: KEY.verifier})
    yield witness
    witness.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make(tmp_path, [300, 700])


def published(place: Place) -> str:
    return (place.log / "checkpoint").read_text()


def test_a_request_is_that_of_the_specification(place: Place) -> None:
    lines = request(place.log, published(place), 300).decode().split("\n")
    assert lines[0] == "old 300"
    assert "\n".join(lines[lines.index("") + 1 :]) == published(place)
    assert len(lines[1 : lines.index("")]) == 9
    for old in (0, 700):
        assert request(place.log, published(place), old).decode() == f"old {old}\n\n{published(place)}"


def test_a_witness_cosigns_what_it_is_shown_from_where_it_was(server: WitnessServer, place: Place) -> None:
    witness = Witness(server.url, VERIFIERS)
    note = published(place)
    older = (make(place.log.parent / "older", [300]).log / "checkpoint").read_text()
    ask(witness, request(place.log, older, 0))
    assert server.seen[ORIGIN][0] == 300
    with pytest.raises(Stale, match="seen 300") as stale:
        ask(witness, request(place.log, note, 0))
    assert stale.value.size == 300
    cosigned = add_cosignatures(note, ask(witness, request(place.log, note, 300)), VERIFIERS)
    opened = open_note(cosigned, [KEY.verifier, WITNESS_KEY.verifier])
    assert [one.name for one in opened.signatures] == [ORIGIN, WITNESS_KEY.name]
    assert opened.text == split_note(note)[0]
    assert ask(witness, request(place.log, note, 700)), "it signs again what it has signed"


def test_by_files_a_witness_that_is_offline_cosigns_too(server: WitnessServer, place: Place, tmp_path: Path) -> None:
    (tmp_path / "request").write_bytes(request(place.log, published(place), 0))
    status, _, answer = server.answer((tmp_path / "request").read_bytes())
    assert status == 200
    with place.open() as log:
        log.cosign(add_cosignatures(log.note, answer, VERIFIERS))
    assert len(open_note(published(place), [KEY.verifier, *VERIFIERS]).signatures) == 2


def test_cosignatures_stay_with_the_log_and_in_its_receipts(server: WitnessServer, place: Place) -> None:
    answer = ask(Witness(server.url, VERIFIERS), request(place.log, published(place), 0))
    with place.open() as log:
        cosigned = add_cosignatures(log.note, answer, VERIFIERS)
        log.cosign(cosigned)
        assert published(place) == log.note == cosigned
    with place.open() as log:
        assert published(place) == cosigned, "opening keeps them"
        log.append(entries(700, 800))
        log.checkpoint(NOW)
        assert WITNESS_KEY.name not in published(place)
    witnessed = (place.log / "checkpoint.witnessed").read_text()
    assert witnessed == cosigned
    proved = check_receipt(make_receipt(place.log, 5, witnessed), [KEY.verifier, *VERIFIERS])
    assert [one.name for one in proved.signatures] == [ORIGIN, WITNESS_KEY.name]
    report = verify_log(place.log, [KEY.verifier, *VERIFIERS], store=place.store)
    assert report.ok


def test_cosignatures_that_come_late_are_kept_beside_the_newer_checkpoint(server: WitnessServer, place: Place) -> None:
    note = published(place)
    answer = ask(Witness(server.url, VERIFIERS), request(place.log, note, 0))
    with place.open() as log:
        log.append(entries(700, 800))
        newer = log.checkpoint(NOW)
        log.cosign(add_cosignatures(note, answer, VERIFIERS))
        assert published(place) == newer
    assert (place.log / "checkpoint.witnessed").read_text() == add_cosignatures(note, answer, VERIFIERS)


def test_of_witnessed_checkpoints_the_newest_stays_with_all_its_cosignatures(place: Place) -> None:
    other = PrivateKey("other.example/w", 4, bytes(32))
    note = published(place)
    older = (make(place.log.parent / "older", [300]).log / "checkpoint").read_text()
    with place.open() as log:
        for signed, key in ((note, WITNESS_KEY), (older, other), (note, other)):
            cosigned = add_cosignatures(signed, line(key, split_note(signed)[0]), [key.verifier])
            log.cosign(cosigned)
    for file in ("checkpoint", "checkpoint.witnessed"):
        opened = open_note((place.log / file).read_text(), [KEY.verifier, *VERIFIERS, other.verifier])
        assert opened.text == split_note(note)[0]
        assert len(opened.signatures) == 3


def test_a_witness_notices_a_fork(server: WitnessServer, place: Place, tmp_path: Path) -> None:
    ask(Witness(server.url, VERIFIERS), request(place.log, published(place), 0))
    fork = make(tmp_path / "fork", [])
    with fork.open() as log:
        for size in (700, 800):
            log.append([b"another history"] * (size - log.size))
            log.checkpoint(NOW)
            with pytest.raises(WitnessError, match="status 409" if size == 700 else "status 422"):
                ask(Witness(server.url, VERIFIERS), request(fork.log, log.note, 700))


def test_a_log_behind_its_witness_is_an_error(server: WitnessServer, place: Place, tmp_path: Path) -> None:
    ask(Witness(server.url, VERIFIERS), request(place.log, published(place), 0))
    backup = make(tmp_path / "backup", [300])
    with pytest.raises(WitnessError, match="has seen 700 entries cannot be shown a log of 300"):
        request(backup.log, published(backup), 700)


STRANGER = PrivateKey("witness.example/w", 4, bytes(32))


def line(key: PrivateKey, text: str) -> bytes:
    return Signature(key.name, key.key_id + key.sign(text, NOW)).line.encode()


def is_refused(note: str, answer: bytes) -> bool:
    try:
        add_cosignatures(note, answer, VERIFIERS)
    except WitnessError:
        return True
    return False


def test_answers_that_are_no_cosignatures_are_refused_and_unknown_ones_left_out(place: Place) -> None:
    note = published(place)
    text = split_note(note)[0]
    good, strange = line(WITNESS_KEY, text), line(STRANGER, text)
    for answer, why in (
        (b"", "nothing"),
        (b"hello\n", "no line of a signature"),
        (b"\xff", "no UTF-8"),
        (strange, "nobody known"),
        (line(WITNESS_KEY, Checkpoint(ORIGIN, 1, bytes(32)).text), "another checkpoint"),
        (good[:-1], "cut off"),
        (b"more\n\n" + good, "a text of its own"),
    ):
        assert is_refused(note, answer), why
    assert add_cosignatures(note, strange + good, VERIFIERS) == note + good.decode()
    assert add_cosignatures(add_cosignatures(note, good, VERIFIERS), good, VERIFIERS) == note + good.decode()


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ((404, "text/plain", b""), "status 404"),
        ((403, "text/plain", b""), "status 403"),
        ((409, "text/plain", b"300\n"), "status 409"),
        ((409, "text/x.tlog.size", b"many\n"), "status 409"),
        ((409, "text/x.tlog.size", b"9" * 30), "status 409"),
        ((302, "text/plain", b""), "status 302"),
        ((500, "text/plain", b""), "status 500"),
        ((200, "text/plain", b"x" * 70_000), "too long"),
    ],
)
def test_other_answers_are_errors(
    server: WitnessServer, place: Place, answer: tuple[int, str, bytes], complaint: str
) -> None:
    server.behave = lambda body: answer
    with pytest.raises(WitnessError, match=complaint) as error:
        ask(Witness(server.url, VERIFIERS), b"")
    assert not isinstance(error.value, Stale)


NO_URLS = ["", "witness", "http://", "ftp://witness/", "file:///etc/x", "http://w:port/", "http://[w/", "http://a b/"]


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_not_the_url_of_a_witness_is_refused(url: str) -> None:
    with pytest.raises(WitnessError, match="is not the URL"):
        ask(Witness(url, VERIFIERS), b"")


def test_a_witness_that_is_away_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        with pytest.raises(WitnessError, match="is away"):
            ask(Witness(f"http://127.0.0.1:{taken.getsockname()[1]}", VERIFIERS), b"")


def dripping(listening: socket.socket, drip: bytes, done: threading.Event) -> None:
    """Answers a byte at a time, or not at all."""
    connection, _ = listening.accept()
    with connection, contextlib.suppress(OSError):
        if drip:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not done.wait(0.02):
            connection.sendall(drip)


def test_a_witness_that_says_nothing_or_drips_is_given_up() -> None:
    for drip in (b"", b"x"):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            given_up = threading.Event()

            thread = threading.Thread(target=dripping, args=(listening, drip, given_up))
            thread.start()
            with pytest.raises(WitnessError, match=r"away|too long"):
                ask(Witness(f"http://127.0.0.1:{listening.getsockname()[1]}", VERIFIERS, timeout=0.2), b"")
            given_up.set()
            thread.join(10)
            assert not thread.is_alive()


# the thread


def test_a_witness_is_shown_every_new_checkpoint_and_one_that_is_away_delays_nobody(
    server: WitnessServer, place: Place
) -> None:
    """The log grows while it is asked; the witness has seen the log before, so that it is asked twice at first."""
    ask(Witness(server.url, VERIFIERS), request(place.log, published(make(place.log.parent / "older", [300])), 0))
    cosigned: queue.SimpleQueue[str] = queue.SimpleQueue()
    failed: queue.SimpleQueue[WitnessError] = queue.SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        urls = server.url, f"http://127.0.0.1:{hanging.getsockname()[1]}", "http://127.0.0.1:9"
        witnesses = [Witness(url, VERIFIERS, timeout=1) for url in urls]
        askers = [Asker(place.log, witness, cosigned.put, failed.put, interval=0.01) for witness in witnesses]
        with place.open() as log:
            for asker in askers:
                asker.start()
            for size in (700, 800, 801):
                log.append(entries(log.size, size))
                log.checkpoint(NOW)
                note = cosigned.get(timeout=30)
                while parse_checkpoint(split_note(note)[0]).size < size:
                    note = cosigned.get(timeout=30)
                log.cosign(note)
                assert len(open_note(published(place), [KEY.verifier, *VERIFIERS]).signatures) == 2
            assert "away" in failed.get(timeout=30).message
        for asker in askers:
            asker.stop()
        for asker in askers:
            asker.join(10)
            assert not asker.is_alive()
    assert verify_log(place.log, public(), store=place.store).ok
    assert len(server.asked) == 1 + 2 + 2, "nothing is asked again when it was cosigned"


def test_an_asker_outlives_a_log_that_cannot_be_read(server: WitnessServer, place: Place) -> None:
    failed: queue.SimpleQueue[WitnessError] = queue.SimpleQueue()
    cosigned: queue.SimpleQueue[str] = queue.SimpleQueue()
    server.seen[ORIGIN] = (300, b"")
    (place.log / "tile/0/001").rename(place.log / "hidden")
    (place.log / "checkpoint").rename(place.log / "later")
    asker = Asker(place.log, Witness(server.url, VERIFIERS), cosigned.put, failed.put, interval=0.01)
    asker.start()
    assert "No such file" in failed.get(timeout=30).message
    (place.log / "later").rename(place.log / "checkpoint")
    while "tile/0/001" not in failed.get(timeout=30).message:
        pass
    server.seen.clear()
    (place.log / "hidden").rename(place.log / "tile/0/001")
    assert cosigned.get(timeout=30)
    asker.stop()
    asker.join(10)
    assert not asker.is_alive()
