"""The gateways that are measured, the provider behind them, and the requests they get.

Every contestant has one worker, reuses its upstream connections, and writes no access log. nginx is the yardstick: a
plain reverse proxy that looks into nothing. It is set up as well as we can: bodies stay in memory, and answers pass
without being collected first, as event streams need it. Tidegate has everything on: a virtual key, the policies that
come with it and their four limits, counting, and evidence. Other gateways for calls to models are in peers.py.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.report import ROOT
from bench.rig import BUILD, BenchError, Process, Rig, first_answer, free_port, wait_for_port
from tidegate.record.places import Places
from tidegate.serve.ledger import memory_place

MODEL = "gpt-4o-mini"
SYSTEM = "You are a helpful assistant. Answer briefly and cite the policy document when a question is about expenses."
QUESTION = "Which expenses of a journey must be filed with a receipt, until when, and who decides when one is missing? "
CREDENTIAL = "sk-bench"  # the provider's, which the gateway has; what clients send is a virtual key
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "User-Agent": "bench",
}
SMALL = 512  # bytes of a request's body


def headers(key: str) -> dict[str, str]:
    """What every request has."""
    return {**HEADERS, "Authorization": f"Bearer {key}"}


@dataclass(frozen=True)
class Gateway:
    """A contestant that has answered its first request."""

    process: Process
    port: int
    key: str  # that its clients send
    start: float  # seconds from exec to that answer


Start = Callable[[Rig, str], Gateway]  # in front of an upstream's origin


def call(size: int, **fields: object) -> bytes:
    """A chat completion request's body of about `size` bytes."""

    def body(prompt: str) -> bytes:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
        return json.dumps({"model": MODEL, "messages": messages, "temperature": 0.7, **fields}).encode()

    missing = size - len(body(""))
    return body((QUESTION * (missing // len(QUESTION) + 1))[:missing])


def paced(*, events: int, milliseconds: int) -> bytes:
    """A request for a stream of `events` content events, one every so many milliseconds."""
    return call(SMALL, max_tokens=events, seed=milliseconds, stream=True, stream_options={"include_usage": True})


def write_request(rig: Rig, name: str, body: bytes, key: str) -> Path:
    """The whole HTTP request as the load client sends it."""
    fields = {"Host": "127.0.0.1", **headers(key), "Content-Length": str(len(body))}
    head = "".join(f"{field}: {value}\r\n" for field, value in fields.items())
    path = rig.directory / f"{name}.http"
    path.write_bytes(b"POST /v1/chat/completions HTTP/1.1\r\n" + head.encode() + b"\r\n" + body)
    return path


def start_provider(rig: Rig) -> str:
    """The stub provider; its origin."""
    port = free_port()
    stub = rig.start("stub", [str(BUILD / "stub"), str(port)], under_test=False)
    wait_for_port(stub, port)
    return f"http://127.0.0.1:{port}"


NGINX = """
daemon off;
worker_processes 1;
{user}
pid {directory}/pid;
error_log stderr error;
events {{ worker_connections 24000; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_buffer_size 1m;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  upstream provider {{ server {authority}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 600s; }}
  server {{
    listen 127.0.0.1:{port}{tls} backlog=4096;
    {certificate}
    location / {{
      proxy_pass {scheme}://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


def _nginx(rig: Rig, name: str, upstream: str, *, under_test: bool, certificate: str = "") -> tuple[Process, int]:
    port = free_port()
    directory = rig.directory / f"nginx-{port}"
    directory.mkdir()
    scheme, _, authority = upstream.partition("://")
    configuration = directory / "nginx.conf"
    configuration.write_text(
        NGINX.format(
            user="user root;" if os.geteuid() == 0 else "",  # else its worker may not enter the temporary directory
            directory=directory,
            port=port,
            tls=" ssl" if certificate else "",
            certificate=certificate,
            scheme=scheme,
            authority=authority,
        )
    )
    command = ["nginx", "-p", str(directory), "-c", str(configuration), "-e", "stderr"]
    return rig.start(name, command, under_test=under_test), port


def start_tls_provider(rig: Rig, provider: str) -> tuple[str, Path]:
    """The provider behind TLS, ended by an nginx whose CPU is not counted; its origin and its certificate."""
    key, certificate = rig.directory / "key.pem", rig.directory / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    files = f"ssl_certificate {certificate}; ssl_certificate_key {key};"
    process, port = _nginx(rig, "tls", provider, under_test=False, certificate=files)
    wait_for_port(process, port)
    return f"https://127.0.0.1:{port}", certificate


def start_nginx(rig: Rig, upstream: str) -> Gateway:
    """nginx as a reverse proxy."""
    began = time.monotonic()
    process, port = _nginx(rig, "nginx", upstream, under_test=True)
    return started(process, port, began, CREDENTIAL)


TIDEGATE = """
data = "{directory}/data"

[serve]
listen = ["127.0.0.1:{port}"]
admin = "127.0.0.1:{admin}"
workers = 1
connections = 12000

[identify]
anonymous = false

[policy]
path = "{directory}/policies"

[record]
evidence = "{evidence}"

[integration.stub]
provider = "openai"
base_url = "{upstream}/v1"
credential = "env://BENCH_CREDENTIAL"
private = true
"""
# the policies that come with Tidegate as they are, and numbers that no load of ours reaches
AMPLE = {"requests_per_minute": 10**9, "tokens_per_minute": 10**12, "concurrent": 10**6, "usd_per_day": 10**9}


def start_tidegate(rig: Rig, upstream: str, evidence: str = "response") -> Gateway:
    """Tidegate with one integration, everything on."""
    port, admin = free_port(), free_port()
    directory = rig.directory / f"tidegate-{port}"
    shutil.copytree(ROOT / "policies", directory / "policies")
    data = json.loads((directory / "policies" / "data.json").read_text())
    data["defaults"] |= AMPLE
    (directory / "policies" / "data.json").write_text(json.dumps(data))
    rig.leaves(memory_place(Places(directory / "data" / "ledger"), os.getuid()))  # it may end with much to make up for
    configuration = directory / "tidegate.toml"
    configuration.write_text(
        TIDEGATE.format(directory=directory, port=port, admin=admin, upstream=upstream, evidence=evidence)
    )
    env = {
        "PYTHONPATH": str(ROOT / "engine"),
        "SSL_CERT_FILE": str(rig.directory / "certificate.pem"),
        "BENCH_CREDENTIAL": CREDENTIAL,
    }
    tidegate = [sys.executable, "-m", "tidegate"]
    create = [*tidegate, "keys", "create", "--quiet", "--config", str(configuration)]
    made = subprocess.run(create, check=True, capture_output=True, text=True, env=os.environ | env)
    command = [*tidegate, "serve", "--config", str(configuration)]
    began = time.monotonic()
    return started(rig.start("tidegate", command, under_test=True, env=env), port, began, made.stdout.strip())


def start_tidegate_async(rig: Rig, upstream: str) -> Gateway:
    """The same where nothing waits for its record."""
    return start_tidegate(rig, upstream, "async")


def started(process: Process, port: int, began: float, key: str) -> Gateway:
    content = first_answer(process, port, call(SMALL), headers(key))
    took = time.monotonic() - began
    if json.loads(content).get("object") != "chat.completion":
        raise BenchError(f"{process.name} answered {content[:300]!r}")
    return Gateway(process, port, key, took)
