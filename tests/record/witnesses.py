"""A witness as C2SP tlog-witness describes it, small enough to read, and ways in which one may misbehave."""

import base64
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.record.logs import NOW
from tidegate.record.checkpoints import parse_checkpoint
from tidegate.record.keys import PrivateKey
from tidegate.record.merkle import ProofError, verify_consistency
from tidegate.record.notes import NoteError, Signature, Verifier, open_note

Answer = tuple[int, str, bytes]  # status, content type, body


class WitnessServer:
    """Cosigns what grows out of what it has seen. `behave` answers instead, if it is set."""

    def __init__(self, key: PrivateKey, logs: dict[str, Verifier]) -> None:
        self.key = key
        self.logs = logs
        self.seen: dict[str, tuple[int, bytes]] = {}
        self.asked: list[bytes] = []
        self.behave: Callable[[bytes], Answer] | None = None
        witness = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                witness.asked.append(body)
                if self.path != "/prefix/add-checkpoint":
                    return self.send_error(404)
                status, kind, answer = (witness.behave or witness.answer)(body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                return None

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/prefix/"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, body: bytes) -> Answer:
        """The specification's checks, in its order."""
        head, _, note = body.decode().partition("\n\n")
        old_line, *lines = head.split("\n")
        assert old_line.startswith("old ")
        old, proof = int(old_line[4:]), [base64.b64decode(line, validate=True) for line in lines]
        assert len(proof) <= 63
        origin = note.split("\n")[0]
        if origin not in self.logs:
            return 404, "text/plain", b""
        try:
            checkpoint = parse_checkpoint(open_note(note, [self.logs[origin]]).text)
        except NoteError:
            return 403, "text/plain", b""
        size, root = self.seen.get(origin, (0, b""))
        if old > checkpoint.size:
            return 400, "text/plain", b""
        if old != size:
            return 409, "text/x.tlog.size", f"{size}\n".encode()
        if old == checkpoint.size and size and root != checkpoint.root:
            return 409, "text/plain", b""
        try:
            if old:
                verify_consistency(old, checkpoint.size, proof, root, checkpoint.root)
            assert old or not proof
        except ProofError:
            return 422, "text/plain", b""
        self.seen[origin] = (checkpoint.size, checkpoint.root)
        raw = self.key.key_id + self.key.sign(checkpoint.text, NOW)
        return 200, "text/plain", Signature(self.key.name, raw).line.encode()
