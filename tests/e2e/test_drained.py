"""A client has left, and its answer is read on for what it used."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.governed import PLAIN
from tests.e2e.ledgers import Said
from tests.gateway import chat, post, running
from tests.providers import RawProvider, Received, integration, reply, until
from tidegate.record.records import Outcome

DRAIN = '[forward]\ndisconnect = "drain"\n'


def test_who_leaves_makes_no_provider_answer_sooner(tmp_path: Path) -> None:
    """Until its answer begins a provider has the time for a first byte, and not that for silence in an answer."""
    settings = DRAIN + "disconnect_drain = 0\nidle_timeout = 1\n"
    left, sent = threading.Event(), threading.Event()

    def slow(connection: socket.socket, request: Received) -> None:
        left.wait(10)
        time.sleep(3)
        connection.sendall(reply(PLAIN))
        sent.set()

    with RawProvider(slow) as raw, running(tmp_path, settings + integration(raw.port)) as gateway:
        with gateway.connect() as client:
            client.sendall(post(chat()))
            assert until(lambda: len(raw.requests) == 1)
        left.set()
        assert sent.wait(10)
        time.sleep(0.2)
    (outcome,) = [each for each in Said(tmp_path / ".tidegate").records if isinstance(each, Outcome)]
    assert (outcome.client_left, outcome.error) == (True, "")
    assert outcome.provider is not None


@pytest.mark.parametrize(("words", "told"), [(3, True), (50_000, True), (600_000, False)])
def test_a_plain_answer_is_charged_for_what_its_report_says_or_all_that_came(
    tmp_path: Path, words: int, told: bool
) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 77, "total_tokens": 82}
    message = {"role": "assistant", "content": "tide " * words}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = reply(json.dumps(json.loads(PLAIN) | {"choices": [choice], "usage": usage}).encode())
    left, sent = threading.Event(), threading.Event()

    def slow(connection: socket.socket, request: Received) -> None:
        connection.sendall(body[: len(body) // 2])
        left.wait(10)
        time.sleep(0.1)
        for at in range(len(body) // 2, len(body), 100_000):
            connection.sendall(body[at : at + 100_000])
        sent.set()

    with RawProvider(slow) as raw, running(tmp_path, DRAIN + integration(raw.port)) as gateway:
        with gateway.connect() as client:
            client.sendall(post(chat()))
            assert until(lambda: len(raw.requests) == 1)
            time.sleep(0.1)
        left.set()
        assert sent.wait(10)
        time.sleep(0.2)
    (outcome,) = [each for each in Said(tmp_path / ".tidegate").records if isinstance(each, Outcome)]
    assert outcome.client_left
    assert outcome.used in (outcome.provider, outcome.counted)
    if told:  # else the answer is larger than what is held for reading it as a whole
        assert outcome.provider is not None
        assert outcome.provider.output == 77
    else:
        assert outcome.counted is not None
        assert words <= outcome.counted.output <= words + 300
