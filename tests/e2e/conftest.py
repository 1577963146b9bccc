"""One gateway and one provider for the tests of a file."""

from collections.abc import Iterator

import pytest

from tests.e2e.place import FORWARD, Place, placed


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with placed(tmp_path_factory.mktemp("place"), FORWARD) as both:
        yield both
