"""A call gets its caller.

Until virtual keys exist, whoever holds a provider key of their own calls in their own name, and everybody else is
anonymous where the settings allow it.
"""

from tidegate.errors import Unauthenticated
from tidegate.model import Call, Caller
from tidegate.settings import Identify

BYOK = Caller("default", "byok")
NO_KEY = frozenset((b"", b"bearer"))
ANONYMOUS = Caller("default", "anonymous")


def identify(call: Call, settings: Identify) -> Caller:
    """The caller; raises Unauthenticated where a key is needed and none came."""
    for field in call.route.dialect.key_fields:
        if call.headers.get(field, b"").lower() not in NO_KEY:
            return BYOK
    if not settings.anonymous:
        raise Unauthenticated("this gateway needs a key, and the call carries none")
    return ANONYMOUS
