"""Virtual keys on a real gateway, with the official clients, while it runs."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.gateway import Gateway, chat, post, read_answer, running
from tests.identify.making import id_of, make, now, revoke, rotate
from tests.providers import RawProvider, always, integration, reply, until

CLOSED = "[identify]\nanonymous = false\n"
HOUSE, OWN = "sk-house-canary", "sk-own-canary"
SIMULATED = '[integration.sim]\nprovider = "simulated"\n'
QUESTION: Any = [{"role": "user", "content": "hi"}]
COMPLETION = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    }
).encode()
MESSAGE = json.dumps(
    {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "content": [{"type": "text", "text": "hello"}],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
).encode()


def data(gateway: Gateway) -> Path:
    return gateway.folder / ".tidegate"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two workers, keys required, the simulated provider."""
    with running(tmp_path_factory.mktemp("keys"), CLOSED + SIMULATED, workers=2) as made:
        assert "there is no virtual key yet" in made.log
        workers = made.worker_pids()
        yield made
        assert made.worker_pids() == workers


def gpt(gateway: Gateway, key: str, **more: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=2, timeout=15, **more)


def claude(gateway: Gateway, **more: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway.url, max_retries=2, timeout=15, **more)


def ask_gpt(client: openai.OpenAI, model: str = "m") -> str:
    return client.chat.completions.create(model=model, messages=QUESTION).choices[0].message.content or ""


def ask_claude(client: anthropic.Anthropic) -> str:
    (block,) = client.messages.create(model="m", messages=QUESTION, max_tokens=9).content
    assert block.type == "text"
    return block.text


def refusal(call: Any) -> tuple[int, str, int]:
    """Status and code of a refusal, and how often the client tried."""
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as refused:
        call()
    error = refused.value
    assert error.response.headers["x-should-retry"] == "false"
    body: Any = error.body
    code = body["code"] if "code" in body else body["error"]["message"].rpartition("(")[2].rstrip(")")
    return error.status_code, code, 1 + int(error.request.headers["x-stainless-retry-count"])


def test_the_official_clients_are_served(gateway: Gateway) -> None:
    key = make(data(gateway))
    with gpt(gateway, key) as one, claude(gateway, api_key=key) as two, claude(gateway, auth_token=key) as three:
        assert ask_gpt(one)
        assert one.models.list().data
        assert ask_claude(two)
        assert ask_claude(three)
        with one.chat.completions.create(model="m", messages=QUESTION, stream=True) as stream:
            assert list(stream)


@pytest.mark.parametrize("state", ["unknown", "wrong", "expired", "revoked", "not one of ours"])
def test_the_official_clients_are_refused_once(gateway: Gateway, state: str) -> None:
    key = make(data(gateway), expires=now() if state == "expired" else 0)
    if state == "revoked":
        revoke(data(gateway), key)
    given, code = {
        "unknown": ("tg_000000000000_" + "S" * 43, "key_invalid"),
        "wrong": (key[:-1] + ("A" if key[-1] != "A" else "B"), "key_invalid"),
        "expired": (key, "key_expired"),
        "revoked": (key, "key_revoked"),
        "not one of ours": (OWN, "unauthenticated"),
    }[state]
    with gpt(gateway, given) as one, claude(gateway, api_key=given) as two:
        assert refusal(lambda: ask_gpt(one)) == (401, code, 1)
        assert refusal(lambda: ask_claude(two)) == (401, code, 1)


def test_a_revocation_holds_for_the_next_request_of_every_worker(gateway: Gateway) -> None:
    """Eight connections stay open; they are spread over both workers."""
    for _ in range(5):
        key = make(data(gateway))
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(gpt(gateway, key)) for _ in range(8)]
            assert all(ask_gpt(client) for client in clients)
            revoke(data(gateway), key)
            assert {refusal(lambda client=client: ask_gpt(client)) for client in clients} == {(401, "key_revoked", 1)}


def test_a_stream_that_began_goes_on_to_its_end(gateway: Gateway) -> None:
    key = make(data(gateway))
    with gpt(gateway, key) as client:
        stream = client.chat.completions.create(model="simulated-pace-20+words-20", messages=QUESTION, stream=True)
        next(stream)
        revoke(data(gateway), key)
        assert len(list(stream)) > 10
        assert refusal(lambda: ask_gpt(client)) == (401, "key_revoked", 1)


def test_a_rotation_with_an_overlap(gateway: Gateway) -> None:
    first = make(data(gateway))
    second = rotate(data(gateway), first, 2)
    with gpt(gateway, first) as old, gpt(gateway, second) as new:
        assert ask_gpt(old)
        assert ask_gpt(new)
        time.sleep(2.1)
        assert refusal(lambda: ask_gpt(old)) == (401, "key_expired", 1)
        assert ask_gpt(new)


def test_changes_under_load_fail_no_call(gateway: Gateway) -> None:
    key = make(data(gateway))
    over = threading.Event()
    wrong: list[object] = []
    served = [0, 0]

    def call(number: int) -> None:
        with gateway.connect() as connection:
            while not over.is_set():
                connection.sendall(post(chat("m"), fields=f"Authorization: Bearer {key}\r\n"))
                answer = read_answer(connection)
                served[number] += 1
                if answer.status != 200:
                    wrong.append(answer)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(2)]
    for caller in callers:
        caller.start()
    for _ in range(40):
        other = make(data(gateway))
        rotate(data(gateway), other, 60)
        revoke(data(gateway), other)
    over.set()
    for caller in callers:
        caller.join()
    assert not wrong
    assert min(served) > 10


# a key beside the provider's


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, RawProvider, RawProvider]]:
    """One provider with the house's credential, one that gets the caller's own key; in both dialects."""
    with RawProvider(always(reply(COMPLETION))) as one, RawProvider(always(reply(MESSAGE))) as two:
        ways = "".join(
            integration(provider.port, dialect, name=f"{kind}-{dialect}", models=[kind], **keys)
            for dialect, provider in (("openai", one), ("anthropic", two))
            for kind, keys in (("house", {"credential": "env://HOUSE"}), ("own", {}))
        )
        folder = tmp_path_factory.mktemp("estate")
        with running(folder, CLOSED + ways, env={"HOUSE": HOUSE}) as gateway:
            yield gateway, one, two


def sent(provider: RawProvider) -> dict[str, str]:
    """The fields of the one request that a provider got."""
    (request,) = provider.requests
    provider.requests.clear()
    return request.fields


def test_an_own_key_passes_through_and_the_virtual_one_never_does(
    estate: tuple[Gateway, RawProvider, RawProvider],
) -> None:
    gateway, one, two = estate
    key = make(data(gateway))
    proof = {"x-tidegate-key": key}
    with (
        gpt(gateway, OWN, default_headers=proof) as client,
        claude(gateway, api_key=OWN, default_headers=proof) as other,
    ):
        for model, secret in (("own", OWN), ("house", HOUSE)):
            ask_gpt(client, model)
            fields = sent(one)
            assert fields["authorization"] == f"Bearer {secret}"
            assert not [value for value in fields.values() if key[16:] in value]
            other.messages.create(model=model, messages=QUESTION, max_tokens=9)
            fields = sent(two)
            carried = {fields.get("x-api-key", ""), fields.get("authorization", "").removeprefix("Bearer ")}
            assert carried == {secret, ""}, "clients of different versions use either field"
            assert not [value for value in fields.values() if key[16:] in value]


def test_the_house_pays_for_a_virtual_key_in_the_clients_field(
    estate: tuple[Gateway, RawProvider, RawProvider],
) -> None:
    gateway, one, two = estate
    key = make(data(gateway))
    with gpt(gateway, key) as client, claude(gateway, api_key=key) as other, claude(gateway, auth_token=key) as third:
        ask_gpt(client, "house")
        assert sent(one)["authorization"] == f"Bearer {HOUSE}"
        for each in (other, third):
            each.messages.create(model="house", messages=QUESTION, max_tokens=9)
            fields = sent(two)
            assert (fields["x-api-key"], "authorization" in fields) == (HOUSE, False)


def test_a_virtual_key_is_never_sent_in_the_place_of_a_providers(
    estate: tuple[Gateway, RawProvider, RawProvider],
) -> None:
    gateway, one, two = estate
    key = make(data(gateway))
    with gpt(gateway, key) as client, claude(gateway, api_key=key) as other:
        assert refusal(lambda: ask_gpt(client, "own")) == (401, "provider_key_missing", 1)
        told = refusal(lambda: other.messages.create(model="own", messages=QUESTION, max_tokens=9))
        assert told == (401, "provider_key_missing", 1)
    assert not one.requests + two.requests


def test_a_provider_that_wants_no_key_gets_none(tmp_path: Path) -> None:
    with RawProvider(always(reply(COMPLETION))) as provider:
        with running(tmp_path, CLOSED + integration(provider.port, "simulated")) as gateway:
            key = make(data(gateway))
            with gpt(gateway, key) as client:
                ask_gpt(client)
        assert "authorization" not in sent(provider)


def test_a_key_may_be_kept_to_some_integrations(estate: tuple[Gateway, RawProvider, RawProvider]) -> None:
    gateway, one, _ = estate
    key = make(data(gateway), integrations=("house-openai",))
    with gpt(gateway, key) as client:
        ask_gpt(client, "house")
        assert sent(one)["authorization"] == f"Bearer {HOUSE}"
        assert refusal(lambda: ask_gpt(client, "own")) == (403, "forbidden", 1)
        assert [model.id for model in client.models.list()] == ["house"]
    assert not one.requests


def test_no_secret_is_ever_said(estate: tuple[Gateway, RawProvider, RawProvider]) -> None:
    """Keys in every place, right and wrong; neither an answer, nor the log, nor the provider knows one."""
    gateway, one, two = estate
    good, ended = make(data(gateway)), make(data(gateway))
    revoke(data(gateway), ended)
    secrets = [HOUSE, OWN, good[16:], ended[16:], "S" * 43]
    values = [good, ended, f"tg_000000000000_{'S' * 43}", good + "x", f'"{good}"', f"{good} {good}", OWN, "tg_" + OWN]
    names = ["Authorization: Bearer ", "authorization:", "X-Api-Key: ", "x-tidegate-key: ", "Api-Key: "]
    names += ["x-session-id: a ", "x-tidegate-tags: ,", "x-tidegate-user: \x80", "x-tidegate-parent-run: "]
    answers = []
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/nothing"):
        for value in values:
            fields = [f"{name}{value}\r\n" for name in names]
            for lines in (*fields, *(f"x-tidegate-key: {good}\r\n{line}" for line in fields), fields[0] * 2):
                request = post(chat("own"), path).replace(b"Host: gateway\r\n", f"Host: x\r\n{lines}".encode("latin-1"))
                answers.append(gateway.ask(request))
    assert {answer.status for answer in answers} == {200, 400, 401, 404}
    told = str([answer.body for answer in answers]) + str([answer.fields for answer in answers]) + gateway.log
    assert not [secret for secret in secrets if secret in told]
    seen = str([request.head for provider in (one, two) for request in provider.requests])
    assert OWN in seen, "which shows that the provider was reached"
    assert not [secret for secret in (good[16:], ended[16:], "S" * 43) if secret in seen]
    one.requests.clear()
    two.requests.clear()


# what policies read, and what happens to files


def test_policies_read_the_key_and_what_the_client_says(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "p.rego").write_text(
        "package tidegate.admission\n\n"
        'deny contains {"code": "told", "message": json.marshal([input.caller, input.run])} '
        'if not "ops" in input.caller.roles\n'
    )
    folder = tmp_path / "g"
    with running(folder, f'{CLOSED}{SIMULATED}[policy]\npath = "{tmp_path / "policy"}"\n') as gateway:
        ops, dev = make(data(gateway), roles=("ops",)), make(data(gateway), roles=("dev",), tags=("t",), user="ann")
        headers = {"x-session-id": "s1", "x-tidegate-tags": "a,b", "x-tidegate-parent-run": "0" * 26}
        with gpt(gateway, ops) as client:
            assert ask_gpt(client)
        denied = pytest.raises(openai.PermissionDeniedError)
        with gpt(gateway, dev, default_headers=headers) as client, denied as refused:
            ask_gpt(client)
        body: Any = refused.value.body
        caller, run = json.loads(body["message"].removeprefix("`told`: "))
        assert run.pop("id") == refused.value.response.headers["x-tidegate-run-id"]
        assert run == {"session": "s1", "parent": "0" * 26, "tags": ["t", "a", "b"]}
        wanted = {"tenant": "acme", "key": id_of(dev), "user": "ann", "roles": ["dev"], "ip": "127.0.0.1"}
        assert caller == {**wanted, "mode": "key"}


def test_keys_that_cannot_be_read_are_told_and_come_back(tmp_path: Path) -> None:
    with running(tmp_path, CLOSED + SIMULATED) as gateway:
        key = make(data(gateway))
        path, aside = data(gateway) / "keys.jsonl", data(gateway) / "aside"
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0) as client:
            assert ask_gpt(client)
            path.write_bytes(path.read_bytes() + b"nonsense\n")
            assert until(lambda: "the keys that were read last stay in force" in gateway.log)
            assert ask_gpt(client)
            path.write_bytes(path.read_bytes().removesuffix(b"nonsense\n"))
            path.rename(aside)
            assert until(lambda: "bytes that were written are not there" in gateway.log)
            assert ask_gpt(client), "nothing was announced since"
            aside.rename(path)
            revoke(data(gateway), make(data(gateway)))
            assert ask_gpt(client)
        (data(gateway) / "keys.pepper").chmod(0o644)
    broken = Gateway(tmp_path, CLOSED + SIMULATED)
    with pytest.raises(AssertionError, match="others may read or change it"):
        broken.start()


def test_a_successor_of_a_dead_worker_knows_the_keys_of_now(tmp_path: Path) -> None:
    with running(tmp_path, CLOSED + SIMULATED) as gateway:
        first, second = make(data(gateway)), make(data(gateway))
        (worker,) = gateway.worker_pids()
        revoke(data(gateway), first)
        os.kill(worker, signal.SIGKILL)
        assert until(lambda: gateway.worker_pids() not in ([], [worker]))
        assert until(lambda: gateway.ask_admin("/readyz")[0] == 200)
        with gpt(gateway, first) as old, gpt(gateway, second) as new:
            assert ask_gpt(new)
            assert refusal(lambda: ask_gpt(old)) == (401, "key_revoked", 1)


def test_a_reload_cannot_open_a_public_address_to_nobody_in_particular(tmp_path: Path) -> None:
    with running(tmp_path, CLOSED + SIMULATED) as gateway:
        text = gateway.file.read_text()
        public = text.replace(f'"127.0.0.1:{gateway.port}"', f'"0.0.0.0:{gateway.port}"')
        gateway.file.write_text(public)
        gateway.stop()
        gateway.start()
        gateway.file.write_text(text.replace("anonymous = false", "anonymous = true"))
        gateway.process.send_signal(signal.SIGHUP)
        assert until(lambda: "settings not reloaded: `0.0.0.0" in gateway.log)
        assert gateway.ask(post(chat("m"))).status == 401
