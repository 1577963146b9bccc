"""Subjects' keys: what is derived from them, where they are, how workers get them, and that erased ones are gone."""

import asyncio
import hmac
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from tidegate.errors import StartError
from tidegate.record import subject_store
from tidegate.record.subject_service import SubjectClient, SubjectService, erase
from tidegate.record.subject_store import SubjectStore, SubjectStoreError, lookup
from tidegate.record.subjects import Subject, Subjects, identity

KEY = bytes(range(32))
RUN = bytes(range(13))


# what is derived


def test_everything_is_derived_as_the_format_says() -> None:
    whose = identity("acme", "user", "ann")
    assert whose == sha256(msgspec.msgpack.encode(["acme", "user", "ann"])).digest()
    subject = Subject(whose, KEY)
    assert subject.pseudonym == hmac.digest(KEY, b"tidegate.subject" + whose, "sha256")[:16]
    assert subject.session("s-1") == hmac.digest(KEY, b"tidegate.session" + b"s-1", "sha256")[:16]
    assert subject.parent("r-1") == hmac.digest(KEY, b"tidegate.parent" + b"r-1", "sha256")[:16]
    salt = hmac.digest(KEY, b"tidegate.salt" + RUN + b"client_request", "sha256")
    assert subject.salt(RUN, "client_request") == salt
    assert subject.commitment(RUN, "client_request", b"body") == sha256(salt + b"body").digest()
    assert subject.session("") == subject.parent("") == b""


def test_what_differs_has_another_name() -> None:
    subjects = [("acme", "user", "ann"), ("acme", "key", "ann"), ("acm", "user", "eann"), ("acme", "tenant", "")]
    assert len({identity(*each) for each in subjects}) == 4  # type: ignore[arg-type]
    subject, other = Subject(KEY, KEY), Subject(KEY, KEY[::-1])
    names = [subject.pseudonym, subject.session("x"), subject.parent("x"), other.pseudonym, other.session("x")]
    assert len(set(names)) == 5
    parts = {subject.commitment(run, part, b"x") for run in (RUN, RUN[::-1]) for part in ("document", "client_request")}
    assert len(parts) == 4


def test_a_subject_does_not_show_its_key() -> None:
    subject = Subject(KEY, KEY)
    assert KEY.hex() not in repr(subject)
    assert re.fullmatch(r"Subject\([0-9a-f]{32}\)", repr(subject))


# the cache


def test_keys_are_asked_for_once_and_the_one_used_last_stays() -> None:
    asked: list[bytes] = []

    def ask(whose: bytes, answer: Callable[[bytes | None], None]) -> None:
        asked.append(whose)
        answer(sha256(whose).digest())

    subjects = Subjects(ask, most=3)
    found: list[Subject | None] = []
    for id in ("a", "b", "c", "a", "d", "a", "b"):
        subjects.find(found.append, "acme", "user", id)
    assert asked == [identity("acme", "user", id) for id in ("a", "b", "c", "d", "b")]
    assert len(subjects) == 3
    assert found[0] is found[3] is found[5]
    assert subjects.known("acme", "user", "c") is None
    subjects.forget(identity("acme", "user", "a"))
    assert subjects.known("acme", "user", "a") is None
    assert subjects.known("acme", "user", "b") is not None
    subjects.clear()
    assert len(subjects) == 0


def test_a_key_that_cannot_be_had_is_said_and_not_remembered() -> None:
    answers: list[bytes | None] = [None, KEY]
    subjects = Subjects(lambda whose, answer: answer(answers.pop(0)))
    found: list[Subject | None] = []
    subjects.find(found.append, "acme", "tenant")
    subjects.find(found.append, "acme", "tenant")
    assert found[0] is None
    assert found[1] is not None
    assert found[1].pseudonym == Subject(identity("acme", "tenant"), KEY).pseudonym


# the store


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


ANN, BOB = identity("acme", "user", "ann"), identity("acme", "user", "bob")


def test_a_key_stays_what_it_is_until_it_is_erased(place: Path) -> None:
    store = SubjectStore(place)
    [first, bob, again] = store.keys([ANN, BOB, ANN])
    assert first == again != bob
    assert len(first) == 32
    store.close()
    store = SubjectStore(place)
    assert store.keys([BOB, ANN]) == [bob, first]
    assert store.erase(ANN) == Subject(ANN, first).pseudonym
    assert store.erase(ANN) is None
    assert store.unrecorded() == [(1, Subject(ANN, first).pseudonym)]
    assert store.erasures == 1
    assert len(store) == 1
    [new] = store.keys([ANN])
    assert new != first
    store.close()
    store = SubjectStore(place)
    assert (store.erasures, len(store.unrecorded())) == (1, 1)
    store.recorded([1])
    assert store.unrecorded() == []
    store.close()


def test_one_process_holds_the_store(place: Path) -> None:
    store = SubjectStore(place)
    with pytest.raises(StartError, match="held by another process"):
        SubjectStore(place)
    store.close()
    SubjectStore(place).close()


def test_the_store_is_its_owner_s_alone(place: Path) -> None:
    SubjectStore(place).close()
    assert {oct(file.stat().st_mode & 0o777) for file in place.parent.iterdir()} == {"0o600"}


def everything(folder: Path) -> bytes:
    return b"\0".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_no_id_is_in_the_store(place: Path) -> None:
    store = SubjectStore(place)
    store.keys([identity("canary-tenant", "user", f"canary-{each}") for each in range(100)])
    store.close()
    found = everything(place.parent)
    assert b"canary" not in found
    assert not any(identity("canary-tenant", "user", f"canary-{each}") in found for each in range(100))


@pytest.mark.parametrize("secure", [True, False], ids=["as it is", "control: without secure_delete"])
def test_an_erased_key_is_in_no_file(place: Path, monkeypatch: pytest.MonkeyPatch, secure: bool) -> None:
    if not secure:
        settings = subject_store.SETTINGS.replace("secure_delete = ON", "secure_delete = OFF")
        monkeypatch.setattr(subject_store, "SETTINGS", settings)
    store = SubjectStore(place)
    people = [identity("acme", "user", str(each)) for each in range(300)]
    keys = store.keys(people)
    assert all(key in everything(place.parent) for key in keys)
    for each in people[:100]:
        store.erase(each)
    left = everything(place.parent)  # while it is open
    store.close()
    assert left == everything(place.parent)
    assert any(key in left for key in keys[:100]) is not secure
    assert all(key in left for key in keys[100:])


KILLED = """
import os, sys
from pathlib import Path
from tidegate.record.subject_store import SubjectStore
store = SubjectStore(Path(sys.argv[1]))
each = 0
while True:
    [key] = store.keys([each.to_bytes(32, "big")])
    print(key.hex(), flush=True)
    each += 1
"""


def test_a_key_that_was_given_survives_a_kill(place: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        given = [worker.stdout.readline().strip() for _ in range(20)]
        worker.kill()
        given += worker.stdout.read().split("\n")[:-1]
    store = SubjectStore(place)
    assert [key.hex() for key in store.keys([each.to_bytes(32, "big") for each in range(len(given))])] == given
    store.close()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"not a database, " * 400, "file is not a database"), (b"other", "it has schema 9")],
    ids=["rubbish", "a later schema"],
)
def test_a_store_that_cannot_be_read_is_left_as_it_is(place: Path, content: bytes, said: str) -> None:
    if content == b"other":
        SubjectStore(place).close()
        db = sqlite3.connect(place, isolation_level=None)
        db.execute("UPDATE store SET schema = 9")
        db.close()
    else:
        place.write_bytes(content)
    before = place.read_bytes()
    with pytest.raises(StartError, match=said):
        SubjectStore(place)
    assert place.read_bytes() == before


def test_a_failed_write_changes_nothing_and_is_said(place: Path) -> None:
    store = SubjectStore(place)
    [ann] = store.keys([ANN])
    other = sqlite3.connect(place, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    store._db.execute("PRAGMA busy_timeout = 0")
    for act in (lambda: store.keys([BOB]), lambda: store.erase(ANN), lambda: store.recorded([1])):
        with pytest.raises(SubjectStoreError, match="locked"):
            act()
    other.execute("ROLLBACK")
    other.close()
    assert store.keys([ANN]) == [ann]
    assert (len(store), store.erasures) == (1, 0)
    store.close()


# the service


@pytest.fixture
def service(place: Path) -> Iterator[SubjectService]:
    serving = SubjectService(lambda: SubjectStore(place), place.with_name("keys.sock"))
    yield serving
    if serving._thread.is_alive():
        serving.stop()


async def find(client: SubjectClient, id: str) -> Subject | None:
    found: asyncio.Future[Subject | None] = asyncio.get_running_loop().create_future()
    client.subjects.find(found.set_result, "acme", "user", id)
    return await found


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come true")


def with_clients(place: Path, count: int, test: Callable[..., Awaitable[None]]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        clients = [SubjectClient(place.with_name("keys.sock"), loop) for _ in range(count)]
        try:
            await test(*clients)
        finally:
            for client in clients:
                client.close()
            await asyncio.sleep(0)

    asyncio.run(run())


@pytest.mark.usefixtures("service")
def test_workers_get_the_same_keys_also_when_they_ask_before_they_are_connected(place: Path) -> None:
    async def test(one: SubjectClient, two: SubjectClient) -> None:
        found = await asyncio.gather(*(find(client, str(each)) for each in range(50) for client in (one, two)))
        names = [each.pseudonym for each in found if each is not None]
        assert names[::2] == names[1::2]
        assert len(set(names)) == 50
        assert len(one.subjects) == len(two.subjects) == 50

    with_clients(place, 2, test)


def test_an_erasure_reaches_every_worker_and_is_kept_for_the_ledger(place: Path, service: SubjectService) -> None:
    async def test(one: SubjectClient, two: SubjectClient) -> None:
        before = await find(one, "ann")
        assert before is not None
        await find(two, "ann")
        bob = await find(two, "bob")
        socket_place = place.with_name("keys.sock")
        gone = await asyncio.to_thread(erase, socket_place, ANN)
        assert gone == before.pseudonym
        await until(lambda: len(one.subjects) == 0 and len(two.subjects) == 1)
        assert await find(two, "bob") is bob
        after = await find(one, "ann")
        assert after is not None
        assert after.pseudonym != before.pseudonym
        assert await asyncio.to_thread(erase, socket_place, identity("acme", "user", "nobody")) is None
        assert list(service.unrecorded) == [(1, gone)]
        service.recorded([1])
        await until(lambda: not service.unrecorded)

    with_clients(place, 2, test)


def test_known_subjects_go_on_without_the_service_and_others_fail_after_a_second(
    place: Path, service: SubjectService
) -> None:
    async def test(client: SubjectClient) -> None:
        ann = await find(client, "ann")
        assert ann is not None
        service.stop()
        await until(lambda: client._transport is None)
        assert await find(client, "ann") is ann
        assert await find(client, "bob") is None
        waiting = asyncio.ensure_future(find(client, "bob"))
        await asyncio.sleep(0)
        again = SubjectService(lambda: SubjectStore(place), place.with_name("keys.sock"))
        assert await waiting is not None  # it was away for less than a second
        assert await find(client, "bob") is not None
        assert await find(client, "ann") is ann
        again.stop()

    with_clients(place, 1, test)


def test_a_worker_that_missed_an_erasure_forgets_everything(place: Path, service: SubjectService) -> None:
    async def test(client: SubjectClient) -> None:
        ann = await find(client, "ann")
        assert ann is not None
        service.stop()
        await until(lambda: client._transport is None)
        store = SubjectStore(place)
        store.erase(ANN)
        store.close()
        again = SubjectService(lambda: SubjectStore(place), place.with_name("keys.sock"))
        await until(lambda: client.check(0.0) and len(client.subjects) == 0)
        found = await find(client, "ann")
        assert found is not None
        assert found.pseudonym != ann.pseudonym
        again.stop()

    with_clients(place, 1, test)


def test_a_service_that_does_not_answer_in_time_is_given_up_on(place: Path) -> None:
    async def test() -> None:
        mute = socket.socket(socket.AF_UNIX)
        mute.bind(str(place.with_name("keys.sock")))
        mute.listen()
        loop = asyncio.get_running_loop()
        client = SubjectClient(place.with_name("keys.sock"), loop)
        waiting = asyncio.ensure_future(find(client, "ann"))
        await until(lambda: client._transport is not None)
        client.check(loop.time())
        assert not waiting.done()
        client.check(loop.time() + 1.1)
        assert await waiting is None
        client.close()
        mute.close()
        await asyncio.sleep(0)

    asyncio.run(test())


def test_a_store_that_cannot_write_refuses_new_subjects_only(place: Path) -> None:
    class Full(SubjectStore):
        def _write(self, *_: object) -> None:
            raise SubjectStoreError("the disk is full")

    first = SubjectStore(place)
    first.keys([ANN])
    first.close()
    service = SubjectService(lambda: Full(place), place.with_name("keys.sock"))

    async def test(client: SubjectClient) -> None:
        assert await find(client, "ann") is not None
        assert await find(client, "bob") is None

    with_clients(place, 1, test)
    service.stop()


def test_a_client_that_does_not_read_or_talks_rubbish_harms_nobody(place: Path, service: SubjectService) -> None:
    rude = socket.socket(socket.AF_UNIX)
    rude.connect(str(place.with_name("keys.sock")))
    rude.setblocking(False)

    async def test(client: SubjectClient) -> None:
        with_rubbish = os.urandom(41 * 50).replace(b"e", b"k") + b"k" * 20
        rude.send(with_rubbish)
        sent = 0
        try:
            while sent < 41 * 100_000:
                sent += rude.send((b"k" + bytes(8) + ANN) * 1000)
                await asyncio.sleep(0)
        except OSError:
            pass
        assert await find(client, "ann") is not None

    with_clients(place, 1, test)
    rude.close()


def test_a_second_service_is_refused_and_the_first_goes_on(place: Path, service: SubjectService) -> None:
    with pytest.raises(StartError, match="held by another process"):
        SubjectService(lambda: SubjectStore(place), place.with_name("keys.sock"))

    async def test(client: SubjectClient) -> None:
        assert await find(client, "ann") is not None

    with_clients(place, 1, test)
    assert service._thread.is_alive()


def test_a_service_that_a_bug_has_ended_says_so(place: Path) -> None:
    class Broken(SubjectStore):
        def keys(self, identities: object) -> list[bytes]:
            raise RuntimeError("a bug")

    service = SubjectService(lambda: Broken(place), place.with_name("keys.sock"))
    service.check()

    async def test(client: SubjectClient) -> None:
        assert await find(client, "ann") is None

    with_clients(place, 1, test)
    with pytest.raises(RuntimeError, match="a bug"):
        service.check()
    service.recorded([1])
    service.stop()
    SubjectStore(place).close()


def test_erasing_without_a_service_is_an_error(place: Path) -> None:
    with pytest.raises(SubjectStoreError, match="nobody answers"):
        erase(place.with_name("keys.sock"), ANN)


def test_the_socket_s_folder_may_have_a_long_name(tmp_path: Path) -> None:
    place = tmp_path / ("long" * 40) / "keys.db"
    place.parent.mkdir()
    service = SubjectService(lambda: SubjectStore(place), place.with_name("keys.sock"))

    async def test(client: SubjectClient) -> None:
        ann = await find(client, "ann")
        assert ann is not None
        assert await asyncio.to_thread(erase, place.with_name("keys.sock"), ANN) == ann.pseudonym

    try:
        with_clients(place, 1, test)
    finally:
        service.stop()


def test_a_key_is_looked_up_beside_its_holder_and_never_made(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    ann, nobody = identity("acme", "user", "ann"), identity("acme", "user", "nobody")
    with pytest.raises(SubjectStoreError, match="cannot be read"):
        lookup(path, [ann])
    assert not path.exists()
    store = SubjectStore(path)
    try:
        [key] = store.keys([ann])
        before = path.read_bytes()
        assert lookup(path, [ann, nobody]) == [key, None]
        assert path.read_bytes() == before
        assert len(store) == 1
        store.erase(ann)
        assert lookup(path, [ann]) == [None]
        assert store.keys([nobody])  # a reader leaves nothing locked
    finally:
        store.close()
