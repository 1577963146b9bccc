"""The entry point of `tidegate`, and what a user sees of an error.

* Whatever Tidegate explains itself is one block on stderr, `tidegate: <message>`, and exit code 2, like wrong usage.
* An interrupt is exit code 130, without a word; so is a reader of the output that left early (`| head`), with code 1.
  An output that cannot be written otherwise, such as a file on a full disk, is explained.
* Anything else is a bug: one line with its type and place, never its text, which might hold a secret; exit code 70.

Importing typer and rich would add half to the time until the gateway's first answer, so the two ways in which a service
manager starts it are recognised without them. They lead to the same function.
"""

import errno
import gc
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from tidegate.errors import TidegateError

UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def main() -> None:
    """Run the command that `sys.argv` asks for."""
    if isinstance(sys.stdout, TextIOWrapper):  # what a terminal cannot show must not lose the rest: a key is said once
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _run(sys.argv[1:])
    except TidegateError as error:
        _end(2, error.message)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE and error.filename is None:
            drop_output()
            _end(2, f"the output cannot be written: {os.strerror(error.errno).lower()}")
        _end(70, f"{type(error).__name__} at {_place(error)}: this is a bug in Tidegate, please report this line")


def drop_output() -> None:
    """What is still to be written goes nowhere, and does not fail again as the program ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _run(arguments: list[str]) -> None:
    match arguments:
        case ["serve"]:
            _serve(None)
        case ["serve", "--config", file] if file and not file.startswith("-"):
            _serve(Path(file))
        case _:
            from tidegate.cli.commands import app

            app(arguments or ["--help"], prog_name="tidegate")


def _serve(config: Path | None) -> None:
    gc.disable()  # until all is there that stays: looking for garbage among it is a fifth of what importing costs
    from tidegate.cli.serve import serve

    serve(config)


def _end(code: int, message: str) -> None:
    print(f"tidegate: {message}", file=sys.stderr)
    sys.exit(code)


def _place(error: Exception) -> str:
    """File and line of the innermost frame."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "an unknown place"
