"""The script that grants leases, asked directly: what it must survive is hard to bring about with whole nodes."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.limit.redis_server import redis_server
from tidegate.limit.leases import Grant
from tidegate.limit.lessor import SCRIPT

HOUR = 3_600_000_000
QUESTION = {
    "node": "one", "era": "", "kind": "budget", "turn": 1, "base": 0, "own": 0, "need": 0, "ask": 0, "least": 1,
    "part": 1, "max": 100, "period": float(HOUR), "burst": 100, "known": 0, "silence": 10_000_000, "remembered": 0,
    "last": 0, "serial": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running, redis.Redis.from_url(running.url) as client:
        yield client


@pytest.fixture
def client(server: Any) -> Any:
    server.flushall()
    return server


def ask(client: Any, **changed: Any) -> Grant:
    answer = client.eval(SCRIPT, 2, "{t}:fleet", "{t}:a", *(QUESTION | changed).values())
    return Grant(*map(int, answer))


KINDS = pytest.mark.parametrize("kind", ["rate", "budget", "concurrent"])


@KINDS
def test_what_one_node_took_is_not_there_for_another(client: Any, kind: str) -> None:
    assert ask(client, kind=kind, ask=70).grant == 70
    assert ask(client, kind=kind, node="other", ask=70).grant == 30
    assert ask(client, kind=kind, node="third", need=1, ask=1).grant == 0


@KINDS
def test_a_question_that_comes_late_is_refused(client: Any, kind: str) -> None:
    ask(client, kind=kind, turn=2, ask=10)
    for turn in (1, 2):
        with pytest.raises(redis.ResponseError, match="LATE"):
            ask(client, kind=kind, turn=turn, ask=10)
    assert ask(client, kind=kind, turn=3, base=10, own=10).room == 90


@KINDS
def test_a_grant_whose_answer_was_lost_is_not_counted(client: Any, kind: str) -> None:
    ask(client, kind=kind, ask=70)
    assert ask(client, kind=kind, turn=2, base=0, own=0).room == 100


@KINDS
def test_what_a_node_spent_beyond_its_lease_is_taken_in_full(client: Any, kind: str) -> None:
    assert ask(client, kind=kind, ask=10).room == 90
    assert ask(client, kind=kind, turn=2, base=10, own=140).room <= 0
    assert ask(client, kind=kind, node="other", need=1, ask=1).grant == 0


@KINDS
def test_what_a_node_gives_back_is_there_for_another(client: Any, kind: str) -> None:
    ask(client, kind=kind, ask=100)
    ask(client, kind=kind, turn=2, base=100, own=40)
    assert ask(client, kind=kind, node="other", ask=100).grant == 60


@KINDS
def test_a_server_that_lost_its_memory_listens_first(client: Any, kind: str) -> None:
    era = str(ask(client, kind=kind, ask=10).era)
    client.flushall()
    answer = ask(client, kind=kind, era=era, turn=2, base=10, own=10, known=10, need=1, ask=10)
    assert answer.grant == 0
    assert answer.wait > 0
    assert ask(client, kind=kind, node="stranger", need=1, ask=10).grant == 0


def test_nodes_tell_a_server_without_memory_what_they_and_others_spent(client: Any) -> None:
    era = str(ask(client, ask=30).era)
    ask(client, node="other", ask=25)
    ask(client, node="dead", ask=20)
    client.flushall()
    # the first knew of its own 30 and of nobody else; the other of all but the dead; neither counts twice
    assert ask(client, era=era, turn=2, base=30, own=30, known=30).room == 70
    assert ask(client, node="other", era=era, turn=2, base=25, own=25, known=75).room == 25


def test_a_rate_is_as_far_used_as_the_node_knows(client: Any) -> None:
    era = str(ask(client, kind="rate", ask=80).era)
    client.flushall()
    known = 80 * HOUR // 100
    assert ask(client, kind="rate", era=era, turn=2, base=80, own=80, known=known).room == 20
    assert ask(client, kind="rate", era=era, node="other", turn=2, base=0, own=5, known=known).room == 15


def test_a_rate_waits_rather_than_granting_little(client: Any) -> None:
    ask(client, kind="rate", ask=95)
    answer = ask(client, kind="rate", node="other", need=1, ask=40, least=10)
    assert answer.grant == 0
    assert 4 * HOUR // 100 < answer.wait <= 5 * HOUR // 100


def test_a_node_takes_only_a_part_of_what_is_left_unless_it_needs_more(client: Any) -> None:
    assert ask(client, ask=100, part=4).grant == 25
    assert ask(client, node="other", need=50, ask=100, part=4).grant == 50
    assert ask(client, node="third", need=26, ask=100, part=4).grant == 0


def test_the_places_of_a_silent_node_are_free(client: Any) -> None:
    ask(client, kind="concurrent", ask=100)
    assert ask(client, kind="concurrent", node="other", need=1, ask=1).grant == 0
    assert ask(client, kind="concurrent", node="other", turn=2, need=1, ask=1, silence=0).grant == 1


def test_the_number_of_a_node_that_leaves_stays(client: Any) -> None:
    ask(client, ask=40)
    ask(client, turn=2, base=40, own=40, last=1)
    assert b"node:one.1" not in client.hgetall("{t}:a")
    assert ask(client, turn=1, serial=2, ask=100).grant == 60
