"""regopy in a process of its own: it and google-re2 in one process corrupt each other's memory.

Run as `python -m bench.regopy` it takes one JSON value a line: a policy's name loads that policy and answers with its
decision; a number decides that often and answers with the microseconds of one decision.
"""

import json
import subprocess
import sys
import time
from subprocess import PIPE
from typing import Any

from bench.subjects import Subject, subjects


class Regopy:
    """The process, as seen from the benchmark."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", __name__], stdin=PIPE, stdout=PIPE, text=True)

    def ask(self, question: str | int) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def load(self, subject: Subject) -> Any:
        """The policy's decision."""
        return self.ask(subject.name)

    def timed(self, repeats: int) -> float:
        """Microseconds that the loaded policy takes for a decision."""
        return float(self.ask(repeats))

    def stop(self) -> None:
        self.process.communicate()


def main() -> None:
    """Answers until the input ends."""
    from regopy import Input, Interpreter  # here, so that it stays out of the benchmark's own process

    known = {subject.name: subject for subject in subjects()}
    for line in sys.stdin:
        question = json.loads(line)
        if isinstance(question, str):
            subject = known[question]
            interpreter = Interpreter()
            interpreter.add_module(subject.name, subject.source)
            interpreter.add_data(subject.documents)
            entry = subject.entry
            bundle = interpreter.build(None, [entry])
            interpreter.set_input(Input(subject.input))
            answer = json.loads(str(interpreter.query_bundle_entrypoint(bundle, entry)))["expressions"][0]
        else:
            start = time.perf_counter()
            for _ in range(question):
                interpreter.set_input(Input(subject.input))
                interpreter.query_bundle_entrypoint(bundle, entry)
            answer = (time.perf_counter() - start) / question * 1e6
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
