"""`tidegate serve`: the gateway, until it is told to stop."""

import os
from pathlib import Path

from tidegate.configuration import load
from tidegate.settings import Settings


def serve(config: Path | None) -> None:
    """Load the settings and run the supervisor, which loads them again on SIGHUP."""

    def reload() -> Settings:
        return load(config, os.environ)

    settings = reload()
    # after the settings, so that a wrong file is told at once
    from tidegate.serve import supervisor

    supervisor.run(settings, reload)
