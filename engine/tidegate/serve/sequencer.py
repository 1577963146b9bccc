"""The process that owns the ledger: it brings the workers' journals into the log and answers for subjects' keys.

Workers do not wait for it but for the key of a subject they have not met. When it dies, journals grow until its
successor goes on where the log is.
"""

import os
import select
from collections.abc import Callable
from pathlib import Path

from tidegate.record.layout import find
from tidegate.record.sequencer import Say
from tidegate.record.sequencing import Step, Taken, sequence
from tidegate.record.subject_service import SubjectService
from tidegate.record.subject_store import SubjectStore


def run(
    folder: Path,
    stop: int,
    say: Say,
    memory: Path | None = None,
    ready: Callable[[], object] = lambda: None,
    taken: Taken = lambda positions: None,
    calmly: Callable[[Step], None] = lambda step: step(),
) -> None:
    """Works until the file `stop` is readable or at its end; then once more what is durable by then, and returns.

    `folder` has the ledger, `memory` the rings of the journals' writers, where they are elsewhere. `ready` is called
    when workers are answered; `taken` is told how far the journals are in; `calmly` does what is not
    behind. StartError when there is no ledger, or another process writes it.
    """
    layout = find(folder)
    held = layout.hold()
    try:
        service = SubjectService(lambda: SubjectStore(layout.subjects), layout.socket)
        try:
            ready()
            wait = lambda seconds: bool(select.select([stop], [], [], seconds)[0])  # noqa: E731
            sequence(layout, service, wait, say, memory, taken, calmly)
        finally:
            service.stop()
    finally:
        os.close(held)
