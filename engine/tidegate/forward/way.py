"""The ways to the providers: which integration serves a call, and the request as that provider shall see it.

The upstream request is written from scratch: our own framing and host, the integration's credential or else the
caller's own key, and the few fields on the dialect's list. Nothing else of the client's head leaves, least of all a
virtual key. The body leaves as it came, except for edits, and an edit is a splice: every other byte stays.
"""

import ssl
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from tidegate.clock import Clock
from tidegate.configuration import credential
from tidegate.errors import Forbidden, NotFound, PolicyFailed, ProviderKeyMissing
from tidegate.forward._request import Form
from tidegate.forward.origin import Origin
from tidegate.forward.request import asks_usage, rewritten
from tidegate.model import Call, Caller
from tidegate.settings import Integration, Settings
from tidegate.wire.dialect import Dialect, Route
from tidegate.wire.spoken import SPOKEN

PUBLIC: Final = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
AUTHORIZING: Final = frozenset((b"authorization", b"x-api-key"))


class Way:
    """One integration, ready to carry calls."""

    def __init__(
        self, name: str, integration: Integration, origin: Origin, base: str, secret: str, provider: str
    ) -> None:
        self.name = name
        self.models = integration.models
        self.aliases = integration.aliases
        self._include_usage = integration.include_usage
        self.provider = provider  # whose tokens and prices are meant
        self.dialects = SPOKEN[integration.provider]
        self.origin = origin
        self._secret = secret
        self._keyless = integration.provider == "simulated"  # it takes calls without any key
        default_port = 443 if base.startswith("https") else 80
        parts = urlsplit(base)
        host = parts.hostname or ""
        shown = f"[{host}]" if ":" in host else host
        plain = (parts.port or default_port) == default_port
        self._host = (shown if plain else f"{shown}:{parts.port}").encode()
        path = parts.path.rstrip("/").removesuffix("/v1")  # routes begin with /v1; a base URL may end with it
        self._path = path.encode()
        self._forms: dict[Route, Form] = {}

    def serves(self, model: str) -> bool:
        """Whether this integration may be asked for `model`."""
        if model in self.aliases or model in self.models:
            return True
        return any(pattern.endswith("*") and model.startswith(pattern[:-1]) for pattern in self.models)

    def model(self, asked: str) -> str:
        """The provider's own name of a model."""
        return self.aliases.get(asked, asked)

    def admits(self, caller: Caller) -> bool:
        """Whether the caller's key may use this integration."""
        return not caller.integrations or self.name in caller.integrations

    def lacks_key(self, caller: Caller) -> bool:
        """Whether the provider wants a key that neither the settings nor the caller have."""
        return caller.mode == "key" and not self._secret and not self._keyless

    def head(self, call: Call, length: int) -> bytes:
        """The request's head, from its first line to the empty one."""
        form = self._forms.get(call.route)
        if form is None:
            form = self._forms[call.route] = self._form(call.route)
        return form.head(call.headers, call.query, length)

    def asks_usage(self, call: Call) -> bool:
        """Whether its stream is asked for usage."""
        return asks_usage(call, self._include_usage)

    def body(self, call: Call, model: str, most: int | None) -> tuple[bytes, tuple[str, ...]]:
        """The request's body and what was changed in it: the model where the provider has another name for the one
        that is asked for, the most tokens of an answer where there are to be fewer, and a stream's usage.
        """
        return rewritten(call, model, most, self.provider, self._include_usage)

    def _form(self, route: Route) -> Form:
        """What is the same for every call of a route, and the fields to look for."""
        fields = b" HTTP/1.1\r\nHost: %b\r\nAccept-Encoding: identity" % self._host
        if self._secret:
            fields += b"\r\n" + route.dialect.authorization(self._secret)
        if route.body is not None:
            fields += b"\r\nContent-Type: application/json"
        forwarded = [name for name in route.dialect.forwarded if not (self._secret and name in AUTHORIZING)]
        start = b"%b %b%b" % (route.method, self._path, route.path)
        return Form(start, fields, forwarded, AUTHORIZING, route.body is not None)


class Ways:
    """All integrations of a snapshot of the settings."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        environ: Mapping[str, str],
        simulated: Callable[[], str] | None,
        seller: Callable[[str], str],
    ) -> None:
        """`simulated` gives the built-in provider's base URL, `seller` says whose base URL one is, if anybody's."""
        self._ways: list[Way] = []
        secrets = {  # before the first origin, which stays on the clock until it is closed: one may be missing
            name: credential(each.credential, environ) if each.credential else ""
            for name, each in settings.integration.items()
        }
        origins: dict[tuple[str, int, bool, bool], Origin] = {}
        tls: ssl.SSLContext | None = None
        for name, integration in settings.integration.items():
            base = integration.base_url or PUBLIC.get(integration.provider, "")
            private = integration.private
            if not base:
                assert simulated is not None
                base, private = simulated(), True
            parts = urlsplit(base)
            secure = parts.scheme == "https"
            if secure and tls is None:
                tls = ssl.create_default_context()
            key = (parts.hostname or "", parts.port or (443 if secure else 80), secure, private)
            if key not in origins:
                origins[key] = Origin(key[0], key[1], tls if secure else None, private, settings.forward, clock)
            provider = "simulated" if integration.provider == "simulated" else seller(base) or name
            self._ways.append(Way(name, integration, origins[key], base, secrets[name], provider))
        self._origins = origins
        self.most = len(origins) * settings.forward.connections  # connections to providers at a time

    def choose(self, call: Call, caller: Caller, model: str) -> Way:
        """The first integration that speaks the call's dialect, serves the model and is open to the caller."""
        dialect = call.route.dialect
        closed = False
        for way in self._ways:
            if dialect in way.dialects and (not way.models or (call.fields is not None and way.serves(model))):
                if not way.admits(caller):
                    closed = True
                    continue
                if way.lacks_key(caller):
                    raise ProviderKeyMissing(
                        f"the integration `{way.name}` has no credential: send your provider's key where clients put"
                        " it, and the virtual key in x-tidegate-key"
                    )
                return way
        if closed:
            raise Forbidden(f"the key `{caller.key}` may not use the integration that serves this call")
        if call.fields is None:
            raise NotFound(f"no integration speaks the dialect of {dialect.name}")
        raise NotFound(f"no integration that speaks the dialect of {dialect.name} serves the model `{model[:100]}`")

    def named(self, name: str, call: Call, caller: Caller) -> Way:
        """The integration that a policy names. Raises PolicyFailed where the call cannot go there."""
        for way in self._ways:
            if way.name == name:
                if call.route.dialect not in way.dialects:
                    raise PolicyFailed(f"the integration `{name}` does not speak the dialect of the call")
                if not way.admits(caller) or way.lacks_key(caller):
                    raise PolicyFailed(f"the integration `{name}` is not open to the caller's key")
                return way
        raise PolicyFailed(f"there is no integration `{name}`, and the policy sends the call there")

    def models(self, dialect: Dialect, caller: Caller) -> tuple[str, ...] | None:
        """The names that the settings list for a dialect and a caller; None where a provider must be asked."""
        ways = [way for way in self._ways if dialect in way.dialects and way.admits(caller)]
        if not ways or any(not way.models for way in ways):
            return None
        names = [n for way in ways for n in (*way.models, *way.aliases) if not n.endswith("*")]
        return tuple(dict.fromkeys(names))

    def close(self) -> None:
        """These settings are no longer in force: kept connections close."""
        for origin in self._origins.values():
            origin.close()
