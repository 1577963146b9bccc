"""Work in a process of its own: what it imports takes memory there alone, and no worker inherits it."""

import os
import signal
from collections.abc import Callable

from tidegate.errors import StartError, TidegateError


class Aside:
    """Work that has begun; its file is readable when it is done. `what` is the beginning of the words for a failure
    that nobody foresaw.
    """

    def __init__(self, what: str, work: Callable[[], None]) -> None:
        self._what = what
        self._read, write = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            flaw = ""
            try:
                signal.set_wakeup_fd(-1)  # signals are the parent's
                os.close(self._read)
                work()
            except TidegateError as error:
                flaw = error.message
            except BaseException as error:
                flaw = f"{what}: {type(error).__name__}: {error}"
            finally:
                with os.fdopen(write, "wb") as pipe:
                    pipe.write(flaw.encode())
                os._exit(1 if flaw else 0)
        os.close(write)

    def fileno(self) -> int:
        """For a selector."""
        return self._read

    def wait(self) -> None:
        """Waits for its end; raises a StartError where it failed."""
        with os.fdopen(self._read, "rb") as pipe:
            flaw = pipe.read().decode()
        _, status = os.waitpid(self._child, 0)
        if status:
            raise StartError(flaw or f"{self._what}: its process was ended by signal {os.WTERMSIG(status)}")
