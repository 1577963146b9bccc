"""A ledger in a program: what it has acknowledged is there after a kill, is proved to strangers, and can be erased."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.record.journals import of_journals, said
from tests.record.logs import WITNESS_KEY
from tests.record.witnesses import WitnessServer
from tidegate import Ledger
from tidegate.errors import StartError
from tidegate.model import Decision, Reason
from tidegate.record import keys
from tidegate.record.aborted import abort
from tidegate.record.fsck import fsck
from tidegate.record.index import Reader
from tidegate.record.layout import Layout, find
from tidegate.record.leaves import decided, decode
from tidegate.record.log import Log
from tidegate.record.merkle import ProofError
from tidegate.record.receipts import check_receipt
from tidegate.record.records import (
    SEQUENCER,
    Aborted,
    Bodies,
    Draw,
    Erasure,
    Intent,
    Outcome,
    Unknown,
    Who,
)
from tidegate.record.segments import Entry
from tidegate.record.subject_store import SubjectStoreError
from tidegate.record.totals import of_log
from tidegate.record.unrecorded import Unrecorded
from tidegate.record.verify import verify_log
from tidegate.record.witness import Asker

ORIGIN = "example.org/ledger"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def ledger(folder: Path) -> Iterator[Ledger]:
    with Ledger(folder, origin=ORIGIN) as opened:
        yield opened


def whole(folder: Path) -> Layout:
    """The ledger, which is closed, has no fault anywhere."""
    layout = find(folder)
    health = fsck(layout)
    assert health.findings == []
    assert health.waiting == 0
    return layout


def size(layout: Layout) -> int:
    report = verify_log(layout.log, layout.verifiers(), store=layout.checkpoints)
    assert report.ok
    assert report.checkpoint is not None
    return report.checkpoint.size


def lives(layout: Layout) -> list[list[int]]:
    """The numbers of the records of each life, in their order."""
    found = of_journals(layout, size(layout))
    return [seqs for (worker, _), seqs in sorted(found.items()) if worker != SEQUENCER]


def test_what_is_appended_is_durable_and_proved_to_strangers(folder: Path) -> None:
    with Ledger(folder, origin=ORIGIN) as ledger:
        run = ledger.new_run()
        ledger.append(Intent(run=run, integration="openai"))
        seq = ledger.append(Outcome(run=run, status=200))
        ledger.wait(seq)
        receipt = ledger.prove(run)
        proved = check_receipt(receipt, keys.public_keys(folder / "keys"))
    record = decode(proved.entry)
    assert isinstance(record, Outcome)
    assert (record.run, record.status, record.worker, record.seq) == (run, 200, 0, 2)
    assert abs(record.time - time.time_ns()) < 60e9
    layout = whole(folder)
    assert lives(layout) == [[1, 2]]
    report = verify_log(layout.log, layout.verifiers(), receipts=[("mine", receipt)])
    assert report.faults == []


def test_coroutines_wait_without_blocking_their_loop(ledger: Ledger) -> None:
    async def one(loops: list[int]) -> None:
        seq = ledger.append(Outcome(run=ledger.new_run()))
        await ledger.durable(seq)
        assert ledger._journal.durable >= seq
        loops.append(seq)

    async def all_of_them() -> None:
        done: list[int] = []
        await asyncio.gather(*(one(done) for _ in range(300)))
        assert sorted(done) == list(range(1, 301))

    asyncio.run(all_of_them())


def test_threads_may_append_at_once(folder: Path) -> None:
    with Ledger(folder, origin=ORIGIN) as ledger:

        def work() -> None:
            for _ in range(50):
                ledger.wait(ledger.append(Outcome(run=ledger.new_run())))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    layout = whole(folder)
    assert lives(layout) == [list(range(1, 401))]


def test_a_ledger_goes_on_where_it_was(folder: Path) -> None:
    for _ in range(3):
        with Ledger(folder, origin=ORIGIN) as ledger:
            ledger.append(Outcome(run=ledger.new_run()))
    layout = whole(folder)
    assert lives(layout) == [[1], [1], [1]]


def test_one_process_holds_a_ledger(ledger: Ledger, folder: Path) -> None:
    with pytest.raises(StartError, match="written by another process"):
        Ledger(folder)


def test_a_ledger_of_another_origin_is_refused(ledger: Ledger, folder: Path) -> None:
    ledger.close()
    with pytest.raises(StartError, match=r"is that of `example\.org/ledger`, and not of"):
        Ledger(folder, origin="example.org/other")
    Ledger(folder).close()


def test_without_an_origin_no_ledger_is_made(folder: Path) -> None:
    with pytest.raises(StartError, match="has no ledger"):
        Ledger(folder)
    assert not folder.exists()


@pytest.mark.parametrize("origin", ["", "with space", "a+b", "line\nbreak"])
def test_an_origin_that_cannot_be_signed_is_refused(folder: Path, origin: str) -> None:
    with pytest.raises(StartError, match="cannot be the origin"):
        Ledger(folder, origin=origin)
    assert not folder.exists()


def test_a_closed_ledger_takes_nothing(ledger: Ledger) -> None:
    ledger.close()
    ledger.close()
    with pytest.raises(Unrecorded, match="closed"):
        ledger.append(Outcome(run=bytes(13)))


def test_runs_that_have_not_ended_are_recorded_as_aborted_at_the_end(folder: Path) -> None:
    with Ledger(folder, origin=ORIGIN) as ledger:
        runs = [ledger.new_run() for _ in range(3)]
        for run in runs:
            ledger.append(Intent(run=run))
        ledger.append(Outcome(run=runs[1]))
    layout = whole(folder)
    aborted = [each for each in said(layout, size(layout)) if isinstance(each, Aborted)]
    assert [(each.run, each.reason) for each in aborted] == [(runs[0], "closed"), (runs[2], "closed")]


def test_a_run_that_left_twice_is_one_that_has_begun_and_ends_once(folder: Path) -> None:
    with Ledger(folder, origin=ORIGIN) as ledger:
        runs = [ledger.new_run() for _ in range(3)]
        for run in (*runs, *runs):
            ledger.append(Intent(run=run, draws=(Draw(b"b" * 16, "tokens", 600, 0, 2_000_000_000),)))
        ledger.append(Outcome(run=runs[1], draws=(Draw(b"b" * 16, "tokens", 600, 40, 2_000_000_000),)))
        ledger.prove(runs[1], timeout=30)
        reader = Reader(ledger.layout.index)
        assert reader.open_runs() == 2
        reader.close()
    layout = whole(folder)
    found = said(layout, size(layout))
    aborted = [each for each in found if isinstance(each, Aborted)]
    assert [(each.run, each.draws[0].settled) for each in aborted] == [(runs[0], 600), (runs[2], 600)]
    settled, _ = of_log(layout.log, size(layout))
    assert [each.settled for each in settled.current()] == [1240]
    reader = Reader(layout.index)
    assert reader.open_runs() == 0
    assert [place.kind for place in reader.places(runs[0])] == ["intent", "intent", "aborted"]
    reader.close()


def test_no_receipt_is_given_for_a_run_that_the_log_has_not(ledger: Ledger) -> None:
    with pytest.raises(ProofError, match="no record of the run"):
        ledger.prove(bytes(13), timeout=0.2)


def test_a_failing_log_loses_nothing_and_is_gone_on_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = True
    checkpoint = Log.checkpoint

    def full(self: Log, seconds: int) -> str:
        if failing:
            raise OSError(28, "No space left on device", "a tile")
        return checkpoint(self, seconds)

    monkeypatch.setattr(Log, "checkpoint", full)
    monkeypatch.setattr("tidegate.record.sequencing.AGAIN", 0.05)
    with Ledger(folder, origin=ORIGIN) as ledger:
        run = ledger.new_run()
        ledger.wait(ledger.append(Outcome(run=run)))  # the journal has it
        with pytest.raises(ProofError):
            ledger.prove(run, timeout=0.3)
        assert any("No space left" in words for words in ledger.said)
        failing = False
        assert ledger.prove(run)
    whole(folder)


def copied(log: Path, to: Path) -> Path:
    """A backup as docs/ledger.md has it: the checkpoint first, then the rest until nothing went away meanwhile."""
    to.mkdir()
    shutil.copy(log / "checkpoint", to)
    while True:
        try:
            shutil.copytree(log / "tile", to / "tile", dirs_exist_ok=True)
            return to
        except (FileNotFoundError, shutil.Error):
            continue  # a partial tile has become a full one


def test_a_ledger_that_is_being_written_has_no_faults_and_can_be_copied(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.record.sequencer.INTERVAL", 0.01)
    stop = threading.Event()
    with Ledger(folder, origin=ORIGIN) as ledger:

        def work() -> None:
            while not stop.is_set():
                run = ledger.new_run()
                ledger.append(Intent(run=run))
                ledger.wait(ledger.append(Outcome(run=run)))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            sizes, copies = [], []
            for turn in range(12):
                health = fsck(ledger.layout)
                assert health.findings == []
                sizes.append(health.entries)
                backup = copied(ledger.layout.log, tmp_path / f"backup-{turn}")
                report = verify_log(backup, ledger.layout.verifiers())
                assert report.faults == []
                assert report.checkpoint is not None
                copies.append(report.checkpoint.size)
        finally:
            stop.set()
            thread.join()
    assert (sizes, copies) == (sorted(sizes), sorted(copies))
    assert sizes[-1] > sizes[0]
    assert copies[-1] > copies[0]
    whole(folder)


def test_witnesses_are_asked_and_one_that_is_away_delays_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asker.__init__, "__defaults__", (0.05,))
    Ledger(folder, origin=ORIGIN).close()
    layout = find(folder)
    server = WitnessServer(WITNESS_KEY, {ORIGIN: layout.verifiers()[0]})
    place = folder / "ledger.json"
    witnesses = [{"url": url, "key": str(WITNESS_KEY.verifier)} for url in (server.url, "http://127.0.0.1:9")]
    place.write_bytes(msgspec.json.encode({**msgspec.json.decode(place.read_bytes()), "witnesses": witnesses}))
    with Ledger(folder) as ledger:
        run = ledger.new_run()
        ledger.append(Outcome(run=run))
        signers: set[str] = set()
        until = time.monotonic() + 20
        while WITNESS_KEY.name not in signers and time.monotonic() < until:
            proved = check_receipt(ledger.prove(run), ledger.layout.known())
            signers = {one.name for one in proved.signatures}
        assert any("is away" in words for words in ledger.said)
    server.close()
    assert signers == {ORIGIN, WITNESS_KEY.name}
    whole(folder)


def test_a_witness_without_a_key_is_refused_at_the_start(folder: Path) -> None:
    Ledger(folder, origin=ORIGIN).close()
    place = folder / "ledger.json"
    said = msgspec.json.decode(place.read_bytes()) | {"witnesses": [{"url": "https://example.org", "key": "x"}]}
    place.write_bytes(msgspec.json.encode(said))
    with pytest.raises(StartError, match="witness without a public key"):
        Ledger(folder)


# kill -9

KILLED = """
import os, sys, threading
from tidegate import Ledger
from tidegate.record.records import Intent, Outcome
ledger = Ledger(sys.argv[1], origin="example.org/ledger")
ledger.append(Intent(run=ledger.new_run()))  # never ends
def work():
    while True:
        run = ledger.new_run()
        ledger.append(Intent(run=run))
        ledger.wait(ledger.append(Outcome(run=run)))
        os.write(1, run.hex().encode() + bytes([10]))
for _ in range(4):
    threading.Thread(target=work).start()
"""


def test_acknowledged_records_survive_kills_and_open_runs_are_aborted(folder: Path) -> None:
    chance, acknowledged = random.Random(5), []
    for _ in range(5):
        command = [sys.executable, "-c", KILLED, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            acknowledged += [process.stdout.readline().strip() for _ in range(chance.randrange(1, 300))]
            process.kill()
            acknowledged += process.stdout.read().split("\n")[:-1]
    Ledger(folder).close()  # recovers what the last one left
    layout = whole(folder)
    records = said(layout, size(layout))
    begun = [each.run for each in records if isinstance(each, Intent)]
    ended = [each.run for each in records if isinstance(each, Outcome | Aborted)]
    assert len(set(begun)) == len(begun)
    assert sorted(ended) == sorted(begun)
    assert sum(isinstance(each, Aborted) and each.reason == "worker_died" for each in records) >= 5
    done = {each.run.hex() for each in records if isinstance(each, Outcome)}
    assert set(acknowledged) <= done
    assert len(acknowledged) > 5


def test_what_a_dead_worker_held_is_charged_in_the_record_that_ends_its_call() -> None:
    held = Draw(b"b" * 16, "tokens", 600)
    intents = [Intent(worker=4, epoch=9, seq=seq, run=bytes([seq]) * 13, draws=(held,)) for seq in (7, 8)]
    ended = Outcome(worker=4, epoch=9, seq=9, run=bytes([7]) * 13)
    entries = [Entry(each.seq, msgspec.msgpack.encode(each)) for each in (*intents, ended)]
    entries.insert(2, Entry(8, b"not a record"))
    [leaf] = abort(4, 9)(iter(entries))
    record = decode(leaf)
    assert isinstance(record, Aborted)
    assert (record.worker, record.epoch, record.seq, record.run) == (4, 9, 10, bytes([8]) * 13)
    assert record.draws == (Draw(b"b" * 16, "tokens", 600, 600),)
    assert record.reason == "worker_died"
    assert list(abort(4, 9)(iter(()))) == []


# erasure

PEOPLE = [f"canary-{each}-{os.urandom(4).hex()}@example.org" for each in range(100)]


def files(folder: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def call(ledger: Ledger, person: str) -> tuple[bytes, bytes]:
    """A call of a person with their words everywhere; returns its run, and the user's pseudonym."""
    run = ledger.new_run()
    subject = ledger.subject("canary-tenant", "user", person)
    who = Who(
        ledger.subject("canary-tenant", "tenant").pseudonym,
        ledger.subject("canary-tenant", "key", f"key-{person}").pseudonym,
        subject.pseudonym,
        subject.session(f"session-{person}"),
        subject.parent(f"parent-{person}"),
    )
    bodies = Bodies(
        subject.commitment(run, "client_request", f"I am {person}".encode()),
        subject.commitment(run, "upstream_request", f"he is {person}".encode()),
        subject.commitment(run, "upstream_response", f"hello {person}".encode()),
        subject.commitment(run, "client_response", f"hello, {person}".encode()),
        subject.commitment(run, "document", f"`{person}` is not allowed".encode()),
    )
    refused = Decision(
        action="block", reasons=(Reason("not_allowed", f"{person} is not allowed", f"rule of {person}"),)
    )
    decision, _, _ = decided(refused)
    ledger.append(Intent(run=run, who=who, bodies=bodies))
    ledger.wait(ledger.append(Outcome(run=run, who=who, bodies=bodies, decision=decision)))
    return run, subject.pseudonym


def test_nothing_a_caller_is_known_by_is_ever_in_a_file_and_erasure_breaks_no_proof(folder: Path) -> None:
    with Ledger(folder, origin=ORIGIN) as ledger:
        calls = {person: call(ledger, person) for person in PEOPLE}
        receipts = {person: ledger.prove(run) for person, (run, _) in calls.items()}
        gone, staying = PEOPLE[:50], PEOPLE[50:]
        subjects = {person: ledger.subject("canary-tenant", "user", person) for person in PEOPLE}
        for person in gone:
            assert ledger.erase("canary-tenant", "user", person)
            assert not ledger.erase("canary-tenant", "user", person)
    left = files(folder)
    assert b"canary" not in left
    assert not any(person.partition("@")[0].encode() in left for person in PEOPLE)
    layout = whole(folder)
    records = said(layout, size(layout))
    erased = [each.subject for each in records if isinstance(each, Erasure)]
    assert erased == [calls[person][1] for person in gone]
    verifiers = layout.verifiers()
    for person, receipt in receipts.items():  # every proof is as good as before
        record = decode(check_receipt(receipt, verifiers).entry)
        assert isinstance(record, Outcome)
        request = f"I am {person}".encode()
        assert record.bodies.client_request == subjects[person].commitment(record.run, "client_request", request)
    report = verify_log(layout.log, verifiers, receipts=list(receipts.items()))
    assert report.faults == []
    with Ledger(folder) as again:
        for person in staying:  # still theirs
            assert again.subject("canary-tenant", "user", person).pseudonym == calls[person][1]
        for person in gone:  # nobody's: who knows name and words cannot show that they belong to the leaf
            new = again.subject("canary-tenant", "user", person)
            assert new.pseudonym != calls[person][1]
            run = calls[person][0]
            leaf = next(each for each in records if isinstance(each, Outcome) and each.run == run)
            assert new.commitment(run, "client_request", f"I am {person}".encode()) != leaf.bodies.client_request


def test_an_erasure_that_was_not_stated_before_a_crash_is_stated_after_it(folder: Path) -> None:
    with Ledger(folder, origin=ORIGIN) as ledger:
        pseudonym = ledger.subject("acme", "user", "ann").pseudonym
        ledger._writer.ended.set()  # the sequencer ends, as if it had died
        ledger._writer._sequencer.join()
        assert ledger.erase("acme", "user", "ann")
    layout = find(folder)
    assert not any(isinstance(each, Erasure) for each in said(layout, size(layout)))
    Ledger(folder).close()
    Ledger(folder).close()
    layout = whole(folder)
    stated = [each for each in said(layout, size(layout)) if isinstance(each, Erasure)]
    assert [(each.number, each.subject) for each in stated] == [(1, pseudonym)]


def test_without_its_service_a_subject_is_refused(ledger: Ledger) -> None:
    ledger._writer.service.stop()
    with pytest.raises(SubjectStoreError, match="nobody answers"):
        ledger.subject("acme", "user", "ann")
    ledger._writer.service = type("Stopped", (), {"stop": lambda self: None})()  # type: ignore[assignment]


def test_kinds_that_this_version_does_not_know_are_counted_and_not_faults(folder: Path) -> None:
    Ledger(folder, origin=ORIGIN).close()
    layout = find(folder)
    log = layout.open()
    log.append([msgspec.msgpack.encode(["quarantine", 2, 10_000, 9, 1, 5])])
    log.checkpoint(int(time.time()))
    log.close()
    layout.index.unlink()
    health = fsck(layout)
    assert health.findings == []
    assert any("`quarantine`" in str(each) for each in health.warnings)
    assert isinstance(said(layout, size(layout))[-1], Unknown)
