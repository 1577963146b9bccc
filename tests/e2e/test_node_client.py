"""The official `openai` Node client through a gateway. `node/client.mjs` acts, this file judges."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.place import Place, fits
from tests.providers import until

NODE = Path(__file__).parent / "node"


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if shutil.which("node") is None:
        pytest.skip("`node` is absent: apt-get install nodejs npm")
    if not (NODE / "node_modules" / "openai").is_dir():
        pytest.skip("the npm package `openai` is absent: cd tests/e2e/node && npm install --no-package-lock")


def run(place: Place, behaviour: str) -> Any:
    """What the client saw."""
    command = ["node", "client.mjs", f"{place.gateway.url}/v1", behaviour]
    ended = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_plain_and_streamed_choices_say_the_same(place: Place) -> None:
    plain, streamed = run(place, "plain"), run(place, "streaming")
    assert plain["texts"] == streamed["texts"]
    assert plain["texts"][0] != plain["texts"][1]
    assert plain["usage"] == streamed["usage"]
    assert plain["id"].startswith("req_")


def test_tools(place: Place) -> None:
    plain, streamed = run(place, "tools")
    assert plain == streamed
    assert fits(json.loads(plain))


def test_embeddings_completions_and_models(place: Place) -> None:
    seen = run(place, "others")
    assert seen["norm"] == pytest.approx(1)
    assert len(seen["text"].split()) == 3
    assert "simulated-fast" in seen["models"]


def test_responses(place: Place) -> None:
    seen = run(place, "responses")
    assert seen["plain"] == seen["streamed"] != ""
    assert seen["last"] == "response.completed"


def test_responses_with_tools(place: Place) -> None:
    plain, streamed = run(place, "responsesTools")
    assert plain == streamed
    assert fits(json.loads(plain))


def test_the_providers_own_errors_are_passed_on(place: Place) -> None:
    seen = run(place, "errors")
    assert [(error["status"], error["kind"]) for error in seen] == [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, "InternalServerError"),
        (529, "InternalServerError"),
    ]
    assert [error["code"] for error in seen[:5]] == [
        None,
        "invalid_api_key",
        "unsupported_country_region_territory",
        "not_found",
        "rate_limit_exceeded",
    ]
    assert all(error["requestID"].startswith("req_") for error in seen)


def test_our_own_refusals(place: Place) -> None:
    calls = place.ledger.calls
    assert [(error["kind"], error["code"]) for error in run(place, "refusals")] == [
        ("BadRequestError", "bad_body"),
        ("NotFoundError", "not_found"),
        ("BadRequestError", "bad_body"),
    ]
    assert place.ledger.calls == calls


def test_retry_after_is_obeyed(place: Place) -> None:
    calls = place.ledger.calls
    seen = run(place, "retries")
    assert (seen["error"]["kind"], place.ledger.calls - calls) == ("RateLimitError", 2)
    assert seen["waited"] >= 1000  # without it the client waits at most half a second


def test_what_breaks_raises(place: Place) -> None:
    calls = place.ledger.calls
    seen = run(place, "broken")
    error = seen["error"]
    assert (error["kind"], error["status"], error["code"]) == ("InternalServerError", 502, "upstream_truncated")
    chat, responses = seen["streams"][::2], seen["streams"][1::2]
    ours = ["upstream_timeout", "upstream_truncated", "upstream_truncated", "upstream_malformed"]
    assert chat == [*ours, "APIError"]
    assert responses == [*ours, "error"]  # the provider's own event, which this client hands over
    assert place.ledger.calls - calls == 2 + 10


def test_a_client_whose_time_is_over(place: Place) -> None:
    seen = run(place, "timeout")
    assert (seen["plain"]["kind"], seen["after"]) == ("APIConnectionTimeoutError", 1)


@pytest.mark.parametrize(("behaviour", "seen"), [("abort", 3), ("leave", 6)])
def test_a_client_that_leaves_a_stream_ends_it_at_the_provider(place: Place, behaviour: str, seen: int) -> None:
    left, ended = place.ledger.streams_abandoned, place.ledger.streams_ended
    assert run(place, behaviour)["seen"] >= seen
    assert until(lambda: place.ledger.streams_abandoned == left + 1, 5)
    assert place.ledger.streams_ended == ended
