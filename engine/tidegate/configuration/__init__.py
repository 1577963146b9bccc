"""`tidegate.toml` and the environment become `Settings`; every problem they have is told in one error.

The rules:

* The Structs of `settings.py` are the one list of keys. What a key takes, how its variable is called and which words
  describe it all follow from its type (`keys.py`).
* Defaults, then the file, then the environment (`reading.py`): `accept.body` is overridden by `TIDEGATE_ACCEPT_BODY`.
  A variable that is no key is an error, like a key of the file that is none: a limit that was misspelt must not look
  like one that is set.
* A problem says where it stands, which key it is, what was expected and what was found. Free text in the place of
  something else is named by its type alone, and credentials and base URLs are never repeated: they may be secrets.
* Credentials stay references (`env://NAME`) in `Settings`; whoever needs the value asks `credential`.
* Where others than this machine can reach a listener, every call must prove whose it is (`checks.py`).
"""

from tidegate.configuration.checks import address, credential, exposure, is_local
from tidegate.configuration.reading import Loaded, Source, load, read, unchecked

__all__ = ["Loaded", "Source", "address", "credential", "exposure", "is_local", "load", "read", "unchecked"]
