"""What types cannot say about settings: addresses, credentials, URLs, model names, and what must not come together.

Each check yields the key and what is wrong with it; the reading adds where the key was set. A check never repeats a
credential or a base URL. A credential that is read here is thrown away again: only its reference is kept.
"""

import ipaddress
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tidegate.configuration.keys import Key, listed, shown
from tidegate.errors import SettingsError
from tidegate.settings import Integration, Prices, Serve, Settings, Vocabulary

Address = tuple[str, int] | str
Problems = Iterator[tuple[Key, str]]

ANONYMOUS = ("identify", "anonymous")
_ADDRESSES = "expected `host:port`, `[v6]:port` or `unix:/path`"
_LONGEST_SOCKET_PATH = 107  # sun_path of Linux, less its closing zero
_PRICES = "prices such as `input=2.50 output=10`, dollars a million tokens"
_PRICE = re.compile(
    r"(input|cached|cache_write|cache_write_1h|input_audio|input_image|output|reasoning|output_audio|output_image"
    r"|web_search|request)=([0-9]{1,7}(?:\.[0-9]{1,8})?)|(context|max_output)=([1-9][0-9]{0,8})"
)
_REFERENCE = re.compile(r"env://([A-Za-z_][A-Za-z0-9_]*)")
# the last label is no number: resolvers take `127.1` or `2130706433` for addresses
_HOST_NAME = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z_][A-Za-z0-9_-]{0,62}")


def address(text: str) -> Address:
    """`host:port` or `[v6]:port` as (host, port), `unix:/path` as the path; port 0 is any free port."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or not path.isprintable() or len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            raise SettingsError(f"expected `unix:` and an absolute path of at most {_LONGEST_SOCKET_PATH} bytes")
        return path
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise SettingsError(_ADDRESSES)
    return _host(host), int(port)


def _host(text: str) -> str:
    """An address in its one canonical form, or a name."""
    bracketed = text.startswith("[") and text.endswith("]")
    try:
        return str(ipaddress.IPv6Address(text[1:-1]) if bracketed else ipaddress.IPv4Address(text))
    except ValueError:
        if bracketed or not _HOST_NAME.fullmatch(text):
            raise SettingsError(_ADDRESSES) from None
        return text.lower()


def is_local(where: Address) -> bool:
    """Whether this machine alone reaches an address: a Unix socket, `localhost`, or a loopback address."""
    if isinstance(where, str) or where[0] == "localhost":
        return True
    try:
        return ipaddress.ip_address(where[0]).is_loopback
    except ValueError:  # a name: what it stands for may change
        return False


def credential(reference: str, environ: Mapping[str, str]) -> str:
    """The secret that `env://NAME` stands for; no message of this function holds it."""
    name = _REFERENCE.fullmatch(reference)
    if not name:
        raise SettingsError("expected `env://NAME`, the name of a variable that holds the credential")
    secret = environ.get(name[1], "")
    if not secret.strip():
        raise SettingsError(f"the variable `{name[1]}` is {'empty' if name[1] in environ else 'not set'}")
    if not secret.isascii() or not secret.isprintable():
        raise SettingsError(f"the variable `{name[1]}` holds a control character, or one that is not ASCII")
    return secret


def problems(settings: Settings, environ: Mapping[str, str], wrong: Collection[Key]) -> Problems:
    """Everything that cannot work; `wrong` are the keys already known to be wrong, which stand at their defaults."""
    yield from _check_paths(settings)
    yield from _check_listeners(settings.serve)
    yield from _check_prices(settings.prices)
    for name, vocabulary in settings.vocabulary.items():
        yield from _check_vocabulary(("vocabulary", name), vocabulary)
    for name, integration in settings.integration.items():
        yield from _check_integration(("integration", name), integration, environ)
    yield from _check_exposure(settings, wrong)


def _check_paths(settings: Settings) -> Problems:
    if not settings.data or not settings.data.isprintable():
        yield ("data",), "expected the path of a folder"
    for key, path in (("path", settings.policy.path), ("shadow", settings.policy.shadow)):
        if path and (not path.isprintable() or not Path(path).exists()):
            yield ("policy", key), f"there is no file or folder `{shown(path)}`"
    if tls := settings.serve.tls:
        for key, path in (("certificate", tls.certificate), ("key", tls.key)):
            if not path.isprintable() or not Path(path).is_file():
                yield ("serve", "tls", key), f"there is no file `{path}`"


def _check_listeners(serve: Serve) -> Problems:
    if not serve.listen:
        yield ("serve", "listen"), "expected at least one address"
    taken: set[Address] = set()
    for key, text in (*((("serve", "listen"), text) for text in serve.listen), (("serve", "admin"), serve.admin)):
        try:
            where = address(text)
        except SettingsError as error:
            yield key, f"{error}, found `{shown(text)}`"
            continue
        if where in taken:
            yield key, f"`{shown(text)}` is listed already"
        if key == ("serve", "admin") and (isinstance(where, str) or not is_local(where)):
            yield key, f"expected a loopback address and a port, found `{shown(text)}`"
        if isinstance(where, str) or where[1]:  # port 0 is another port each time
            taken.add(where)


def _check_prices(prices: Prices) -> Problems:
    if prices.file and (not prices.file.isprintable() or not Path(prices.file).is_file()):
        yield (
            ("prices", "file"),
            f"there is no file `{shown(prices.file)}`; `tidegate prices update --output FILE` writes one",
        )
    if prices.unknown != "deny":
        stated = _stated(prices.unknown)
        if not stated.get("input") or not stated.get("output"):
            yield ("prices", "unknown"), f"expected `deny`, or {_PRICES}, neither of them 0"
    if odd := [model for model, text in prices.override.items() if not _stated(text)]:
        yield ("prices", "override"), f"expected {_PRICES}, for {listed(odd)}"
    if odd := [model for model in prices.override if not _names_model(model.removesuffix("*"))]:
        yield ("prices", "override"), f"expected model names, or beginnings that end in `*`, found {listed(odd)}"


def _stated(text: str) -> dict[str, float]:
    """The prices and limits of a text by their names; nothing where it is wrong, or leaves input or output open."""
    words = [_PRICE.fullmatch(word) for word in text.split(" ")]
    stated = {word[1] or word[3]: float(word[2] or word[4]) for word in words if word}
    return stated if len(stated) == len(words) and stated.keys() >= {"input", "output"} else {}


def _check_vocabulary(section: Key, vocabulary: Vocabulary) -> Problems:
    if not vocabulary.path.isprintable() or not Path(vocabulary.path).is_file():
        yield (*section, "path"), f"there is no file `{shown(vocabulary.path)}`"
    if not vocabulary.models:
        yield (*section, "models"), "expected at least one model"
    yield from _check_models((*section, "models"), vocabulary.models)


def _check_models(key: Key, models: Sequence[str]) -> Problems:
    if odd := [model for model in models if model != "*" and not _names_model(model.removesuffix("*"))]:
        yield key, f"expected model names, or beginnings that end in `*`, found {listed(odd)}"


def _check_integration(section: Key, integration: Integration, environ: Mapping[str, str]) -> Problems:
    if integration.base_url and (flaw := _flaw_of_url(integration.base_url)):
        yield (*section, "base_url"), f"expected an http or https URL {flaw}"
    if integration.credential:
        try:
            credential(integration.credential, environ)
        except SettingsError as error:
            yield (*section, "credential"), error.message
    yield from _check_models((*section, "models"), integration.models)
    if odd := [name for pair in integration.aliases.items() for name in pair if not _names_model(name)]:
        yield (*section, "aliases"), f"expected model names on both sides, found {listed(odd)}"


def _names_model(text: str) -> bool:
    return text != "" and "*" not in text and " " not in text and text.isprintable()


def _flaw_of_url(url: str) -> str:
    """What keeps a base URL from being one, or nothing. urlsplit drops some characters silently, so they come first."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "of printable ASCII characters"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "with a valid host and port"
    if parts.scheme not in ("http", "https"):
        return "that begins with `http://` or `https://`"
    if "@" in parts.netloc:
        return "without a user name or password"
    if not host or port == 0:
        return "with a valid host and port"
    return "without a query or fragment" if "?" in url or "#" in url else ""


def _check_exposure(settings: Settings, wrong: Collection[Key]) -> Problems:
    if ANONYMOUS not in wrong and (flaw := exposure(settings)):
        yield ("serve", "listen"), flaw


def exposure(settings: Settings) -> str:
    """What is wrong where others than this machine reach a listener: they could call without saying who they are."""
    public = [text for text in settings.serve.listen if _is_public(text)]
    if not public or not settings.identify.anonymous:
        return ""
    return (
        f"{listed(public)} can be reached from outside while `identify.anonymous` is true; bind a loopback address, or"
        " set identify.anonymous = false and give virtual keys to the callers (`tidegate keys create`)"
    )


def _is_public(text: str) -> bool:
    try:
        return not is_local(address(text))
    except SettingsError:
        return False  # told already
