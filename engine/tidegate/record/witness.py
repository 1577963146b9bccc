"""Asking witnesses to cosign the log's checkpoints (C2SP tlog-witness), over HTTP or by files that somebody carries.

A witness remembers the newest checkpoint that it has seen of a log and signs only what grows out of it, so that a log
with its signature cannot show different histories to different people. It is sent a checkpoint, the size of the last
one it has signed, and the proof that leads from there; it answers with its signature, or with the size it remembers.

Each witness is asked by a thread of its own. One that is slow or away delays nobody: its signature is not there.

By files: `request` makes what a witness is to be given, `add_cosignatures` takes what it has answered.
"""

import base64
import http.client
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tidegate.errors import TidegateError
from tidegate.record.checkpoints import parse_checkpoint
from tidegate.record.merkle import consistency_proof
from tidegate.record.notes import (
    NoteError,
    Verifier,
    add_signatures,
    make_note,
    open_note,
    parse_signatures,
    split_note,
)
from tidegate.record.tiles import tile_nodes

ANSWER_MAX: Final = 1 << 16
INTERVAL: Final = 10.0  # s; a witness need not see every checkpoint, each one vouches for all before it
TIMEOUT: Final = 5.0  # s for one question, from the connection to the last byte
PATH: Final = "/add-checkpoint"


class WitnessError(TidegateError):
    """A witness did not cosign: it is away, or it says why not."""

    code = "witness"
    side = "upstream"
    status = 502


class Stale(WitnessError):
    """The witness remembers another size than the one it was told; `size` is what it remembers."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the witness has seen {size} entries")
        self.size = size


@dataclass(frozen=True)
class Witness:
    """Where a witness takes checkpoints, and the keys that it signs with."""

    url: str
    verifiers: tuple[Verifier, ...]
    timeout: float = TIMEOUT


def request(folder: Path, note: str, old: int) -> bytes:
    """What a witness that remembers `old` entries is given, to make it cosign this checkpoint of the log."""
    size = parse_checkpoint(split_note(note)[0]).size
    if not 0 <= old <= size:
        raise WitnessError(f"a witness that has seen {old} entries cannot be shown a log of {size}")
    proof = consistency_proof(tile_nodes(folder, size), old, size) if 0 < old < size else []
    lines = [f"old {old}", *(base64.b64encode(node).decode() for node in proof), "", note]
    return "\n".join(lines).encode()


def add_cosignatures(note: str, answer: bytes, verifiers: Sequence[Verifier]) -> str:
    """The checkpoint with the signatures that a witness has answered; those of unknown keys are left out."""
    try:
        offered = make_note(split_note(note)[0], parse_signatures(answer.decode()))
        return add_signatures(note, open_note(offered, verifiers).signatures)
    except (NoteError, UnicodeDecodeError) as error:
        raise WitnessError(f"the witness's answer is not a cosignature: {error}") from error


def ask(witness: Witness, body: bytes) -> bytes:
    """Sends a request and gives the lines that the witness answers. Redirects are refusals."""
    try:
        url = urlsplit(witness.url)
        kind = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}[url.scheme]
        connection = kind(url.hostname or " ", url.port, timeout=witness.timeout)  # a space is no host
    except (KeyError, ValueError, http.client.InvalidURL) as error:
        raise WitnessError(f"`{witness.url}` is not the URL of a witness") from error
    deadline = time.monotonic() + witness.timeout
    try:
        connection.request("POST", url.path.rstrip("/") + PATH, body, {"Content-Type": "text/plain; charset=utf-8"})
        with connection.getresponse() as response:
            answer = _read(response, deadline)
    except (OSError, http.client.HTTPException, ssl.SSLError) as error:
        raise WitnessError(f"the witness at {url.hostname} is away: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if response.status == http.client.CONFLICT and response.headers.get_content_type() == "text/x.tlog.size":
        digits = answer.removesuffix(b"\n")
        if digits.isdigit() and len(digits) < 20:
            raise Stale(int(digits))
    if response.status != http.client.OK:
        raise WitnessError(f"the witness at {url.hostname} refuses the checkpoint with status {response.status}")
    return answer


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """The whole answer, up to a bound in bytes and time: the timeout of a socket is only that of one read."""
    answer = b""
    while piece := response.read1(ANSWER_MAX):
        answer += piece
        if len(answer) > ANSWER_MAX or time.monotonic() > deadline:
            raise WitnessError("the witness's answer is too long, or takes too long")
    return answer


class Asker(threading.Thread):
    """Shows the published checkpoint to a witness from time to time, until it has cosigned it.

    `cosigned` is called in this thread with a note that has its signature (for `Log.cosign`, in the log's thread);
    `failed` with the error when it did not sign. A witness that hangs keeps this thread, and nobody else.
    """

    def __init__(
        self,
        folder: Path,
        witness: Witness,
        cosigned: Callable[[str], None],
        failed: Callable[[WitnessError], None],
        interval: float = INTERVAL,
    ) -> None:
        super().__init__(name="tidegate-witness", daemon=True)
        self._folder = folder
        self._witness = witness
        self._cosigned = cosigned
        self._failed = failed
        self._interval = interval
        self._seen = 0  # how many entries of the log it has signed for, as far as we know
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ends the thread after the question that is under way, without waiting for it."""
        self._stopped.set()

    def run(self) -> None:
        shown = ""
        while not self._stopped.wait(self._interval):
            try:
                note = (self._folder / "checkpoint").read_text(errors="replace")
                text = split_note(note)[0]
                if text == shown:
                    continue
                signed = add_cosignatures(note, self._ask(note), self._witness.verifiers)
            except WitnessError as error:
                self._failed(error)
            except (OSError, TidegateError) as error:  # the log's own checks say what is wrong with its files
                self._failed(WitnessError(f"the witness could not be asked: {error}"))
            else:
                shown = text
                self._seen = parse_checkpoint(text).size
                self._cosigned(signed)

    def _ask(self, note: str) -> bytes:
        try:
            return ask(self._witness, request(self._folder, note, self._seen))
        except Stale as stale:  # it has been asked before, by an earlier run of this log
            self._seen = stale.size
            return ask(self._witness, request(self._folder, note, stale.size))
