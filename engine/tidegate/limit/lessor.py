"""The thread that asks Redis or Valkey for leases, so that nobody else waits for it.

Questions that have come together travel together. A question that fails is answered with None and never repeated here:
whether it had arrived is not known, and the node's next one tells all that it needs to. While the server is away it is
tried again a few times a second.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from tidegate.limit.leases import Grant, Lease

BATCH: Final = 256  # questions in one round trip
AGAIN: Final = 0.25  # s between two attempts while the server is away
SCRIPT: Final = files("tidegate.limit").joinpath("lease.lua").read_text()

Arguments = Sequence[str | int | float]


class Question(NamedTuple):
    """What is asked for a lease."""

    lease: Lease
    arguments: Arguments


class Answer(NamedTuple):
    """What came back; None: nothing did."""

    lease: Lease
    grant: Grant | None


class Server(NamedTuple):
    """The server has come, with its time in microseconds and the era of its memory; None: it is away."""

    now: int | None
    era: str = ""


class Lessor(threading.Thread):
    """Carries questions to the server, and answers back; `told` is called in this thread with all there is to know."""

    def __init__(
        self, url: str, prefix: str, node: str, *, timeout: float, beat: float, told: Callable[[Answer | Server], None]
    ) -> None:
        super().__init__(name="tidegate-lessor", daemon=True)
        # redis' own retries would repeat questions, and wait
        self._redis: Any = redis.Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )
        self._prefix = prefix
        self._node = node
        self._beat = beat
        self._told = told
        self._digest = ""
        self._era = ""
        self._here: bool | None = None
        self._closing = False
        self._questions: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self.calls = 0  # scripts run, for those who count

    def ask(self, question: Question) -> None:
        """Returns at once; the answer is told."""
        self._questions.put(question)

    def close(self) -> None:
        """Sends what was asked before, unless the server is away or goes, then ends."""
        self._closing = True
        self._questions.put(None)
        if self.is_alive():
            self.join()

    def run(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._collect()
            self._travel(batch)
        self._redis.close()

    def _collect(self) -> tuple[list[Question], bool]:
        """The questions that wait, after one has come or it is time to say that the node lives."""
        batch: list[Question] = []
        try:
            question = self._questions.get(timeout=self._beat if self._here else min(AGAIN, self._beat))
            while question is not None:
                batch.append(question)
                if len(batch) == BATCH:
                    return batch, True
                question = self._questions.get_nowait()
        except queue.Empty:
            return batch, True
        return batch, False

    def _travel(self, batch: list[Question]) -> None:
        if self._closing and self._here is False:
            return
        try:
            if not self._here or not batch:
                self._alive()
            answers = self._run([self._call(question) for question in batch])
        except (RedisError, OSError):
            answers = [None] * len(batch)
            if self._here is not False:
                self._here = False
                self._told(Server(None))
        for question, answer in zip(batch, answers, strict=True):
            lost = answer is None or isinstance(answer, Exception)
            self._told(Answer(question.lease, None if lost else Grant(*map(int, answer))))

    def _alive(self) -> None:
        """Says that this node lives, and hears whether the server is still the one it was."""
        [(era, now)] = self._run([(1, self._prefix + "fleet", self._node, self._era)])
        known, self._era = self._era, era.decode()
        if not self._here or known != self._era:
            self._here = True
            self._told(Server(now, self._era))

    def _call(self, question: Question) -> tuple[str | int | float, ...]:
        era, *rest = question.arguments
        return (2, self._prefix + "fleet", self._prefix + question.lease.key, self._node, era, *rest)

    def _run(self, calls: Sequence[tuple[str | int | float, ...]]) -> list[Any]:
        """One round trip; a server that does not know the script yet is given it, and asked again what it refused."""
        if not calls:
            return []
        answers = self._send(calls)
        unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            self._digest = self._redis.script_load(SCRIPT)
            for place, answer in zip(unknown, self._send([calls[place] for place in unknown]), strict=True):
                answers[place] = answer
        for answer in answers:  # loading, read-only, out of memory: a server that cannot answer is as good as away
            if isinstance(answer, Exception) and not str(answer).startswith("LATE"):
                raise answer
        return answers

    def _send(self, calls: Sequence[tuple[str | int | float, ...]]) -> list[Any]:
        self.calls += len(calls)
        self._digest = self._digest or self._redis.script_load(SCRIPT)
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(self._digest, *call)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers
