"""Fuzzes the framing and the walker: `python -m tests.count.fuzz_meter [libFuzzer's options]`, for instance
`-max_total_time=60`.

Atheris leads the input along the branches of the oracle, which has to read it too; the meter must agree with it after
every read. The first byte says which endpoint, the second how the stream is cut.
"""

import sys

import atheris

with atheris.instrument_imports(include=["tests.count.wire"]):
    from tests.count import wire  # noqa: F401

from tests.count import documents, metered
from tidegate.count._meter import Meter


def one_input(given: bytes) -> None:
    if len(given) < 3:
        return
    endpoint = documents.ENDPOINTS[given[0] % len(documents.ENDPOINTS)]
    size, stream = given[1] % 64 + 1, given[2:]
    wrong = metered.difference(Meter, endpoint, stream, metered.cut(stream, size))
    if wrong is not None:
        raise AssertionError(f"{endpoint} in reads of {size}: {wrong}")


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
