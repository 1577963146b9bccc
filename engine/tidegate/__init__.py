"""Tidegate governs every call an organisation makes to large language models.

A request walks through seven verbs, one folder each; `pipeline.py` joins them:

    accept -> identify -> decide -> limit -> forward -> count -> record

`wire/` holds the providers' dialects, `serve/` the processes, `cli/` the commands.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
