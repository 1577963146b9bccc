"""Keep-alive comments: a stream that is silent for long stays alive for the proxies in between, and stays true."""

from pathlib import Path

from tests.gateway import chat, post, read_all, running

COMMENT = b": keep-alive\n\n"


def stream(folder: Path, settings: str) -> bytes:
    """All bytes of a stream whose provider falls silent after three events, until the gateway gives it up."""
    with running(folder, f"[forward]\nidle_timeout = 3.5\n{settings}") as gateway, gateway.connect(20) as connection:
        body = chat("simulated-stall-3", stream=True, max_tokens=10)
        connection.sendall(post(body, fields="Connection: close\r\n"))
        return read_all(connection)


def test_a_silent_stream_gets_comments_between_its_events(tmp_path: Path) -> None:
    received = stream(tmp_path, "comment = 0.5\n")
    events = received.count(b"\ndata: ")
    assert received.count(COMMENT) >= 2
    assert events == 3 + 1, "three events and the error that ends the stream"
    assert b"upstream_timeout" in received
    assert received.index(COMMENT) < received.index(b"upstream_timeout")
    assert b"[DONE]" not in received


def test_without_the_setting_nothing_is_added(tmp_path: Path) -> None:
    assert COMMENT not in stream(tmp_path, "")
