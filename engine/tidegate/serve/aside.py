"""Work of the start in a process of its own: what it imports takes memory there alone, and no worker inherits it."""

import os
from collections.abc import Callable

from tidegate.errors import StartError, TidegateError


def aside(what: str, work: Callable[[], None]) -> Callable[[], None]:
    """Begins the work. The function that this gives waits for its end, and raises a StartError where it failed;
    `what` is the beginning of the words for a failure that nobody foresaw.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        flaw = ""
        try:
            os.close(read)
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

    def wait() -> None:
        with os.fdopen(read, "rb") as pipe:
            flaw = pipe.read().decode()
        _, status = os.waitpid(child, 0)
        if status:
            raise StartError(flaw or f"{what}: its process was ended by signal {os.WTERMSIG(status)}")

    return wait
