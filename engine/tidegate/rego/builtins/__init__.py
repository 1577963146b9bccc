"""The builtin functions, one module per group of OPA's list; each registers its functions here.

A builtin takes values (`values.py`) and gives one back, or UNDEFINED. It raises `OperandError` for an operand of a
wrong type and `BuiltinError` for anything else it cannot do. It never changes an operand, and what it makes may share
parts with them. Impure ones, and those whose result can be much larger than their operands, take the `Evaluation`
first: they spend its budget before they work, and the moment and the random numbers are its own.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TypeVar

from msgspec import Struct

Function = TypeVar("Function", bound=Callable[..., Any])


class Builtin(Struct, frozen=True):
    """One builtin as the checker and the code generation see it."""

    name: str
    signature: str  # "haystack: string, needle: string -> boolean"; types as OPA writes them: array[any], set[string]
    call: Callable[..., Any]
    evaluation: bool = False  # takes the Evaluation first
    pure: bool = True  # the same operands give the same result in every evaluation, so that it can be done beforehand
    deprecated: str | None = None  # what to use instead
    specialised: Callable[..., Any] | None = None  # of all operands but the last: a function of that one, if a string

    @property
    def arity(self) -> int:
        """How many operands it has."""
        params = self.signature.rpartition("->")[0].strip()
        count, depth = int(bool(params)), 0
        for char in params:
            depth += (char in "[<") - (char in "]>")
            count += char == "," and depth == 0
        return count


# What a gateway must not do inside a decision, and why. The checker refuses a call to one of these with the reason.
REFUSED: Final = {
    "http.send": "a decision is a function of its input and data, and may not wait for the network",
    "net.lookup_ip_addr": "a decision is a function of its input and data, and may not wait for the network",
    "opa.runtime": "it would show the environment of the process, and with it the secrets kept there",
    "test.sleep": "a decision may not wait",
}


def builtin(
    name: str,
    signature: str,
    *,
    evaluation: bool = False,
    pure: bool = True,
    deprecated: str | None = None,
    specialised: Callable[..., Any] | None = None,
) -> Callable[[Function], Function]:
    """Registers the function below it."""

    def register(function: Function) -> Function:
        TABLE.register(Builtin(name, signature, function, evaluation, pure, deprecated, specialised))
        return function

    return register


# The modules beside this one, and what each registers. A group is imported with the first look at one of its builtins:
# most policies call a few, and some groups need much (regular expressions, certificates, YAML).
GROUPS: Final = {
    "aggregates": "count sum product max min sort all any",
    "arrays": "array.concat array.flatten array.reverse array.slice",
    "aws": "providers.aws.sign_req",
    "bits": "bits.and bits.or bits.xor bits.negate bits.lsh bits.rsh",
    "comparison": "eq equal neq lt lte gt gte internal.member_2 internal.member_3",
    "crypto": (
        "crypto.md5 crypto.sha1 crypto.sha256 crypto.hmac.md5 crypto.hmac.sha1 crypto.hmac.sha256 crypto.hmac.sha512 "
        "crypto.hmac.equal"
    ),
    "encoding": (
        "base64.encode base64.decode base64.is_valid base64url.encode base64url.encode_no_pad base64url.decode "
        "hex.encode hex.decode urlquery.encode urlquery.decode urlquery.encode_object urlquery.decode_object"
    ),
    "glob": "glob.match glob.quote_meta",
    "graph": "graph.reachable graph.reachable_paths walk",
    "graphql": (
        "graphql.parse_query graphql.parse_schema graphql.parse graphql.parse_and_verify graphql.is_valid "
        "graphql.schema_is_valid"
    ),
    "json": "json.marshal json.marshal_with_options json.unmarshal json.is_valid",
    "jsonpatch": "json.patch",
    "jsonpaths": "json.filter json.remove",
    "jsonschema": "json.match_schema json.verify_schema",
    "jwt": (
        "io.jwt.decode io.jwt.verify_rs256 io.jwt.verify_rs384 io.jwt.verify_rs512 io.jwt.verify_ps256 "
        "io.jwt.verify_ps384 io.jwt.verify_ps512 io.jwt.verify_es256 io.jwt.verify_es384 io.jwt.verify_es512 "
        "io.jwt.verify_eddsa io.jwt.verify_hs256 io.jwt.verify_hs384 io.jwt.verify_hs512 io.jwt.decode_verify "
        "io.jwt.encode_sign io.jwt.encode_sign_raw"
    ),
    "net": (
        "net.cidr_contains net.cidr_intersects net.cidr_overlap net.cidr_is_valid net.cidr_expand net.cidr_merge "
        "net.cidr_contains_matches"
    ),
    "numbers": "plus minus mul div rem abs ceil floor round numbers.range numbers.range_step rand.intn format_int",
    "objects": "object.get object.keys object.filter object.remove object.union object.union_n object.subset",
    "output": "internal.print trace",
    "parsing": "rego.parse_module",
    "regex": (
        "regex.match re_match regex.is_valid regex.find_n regex.find_all_string_submatch_n regex.split regex.replace "
        "regex.template_match regex.globs_match"
    ),
    "semver": "semver.is_valid semver.compare",
    "sets": "and or union intersection set_diff",
    "sprintf": "sprintf",
    "strings": (
        "contains startswith endswith strings.any_prefix_match strings.any_suffix_match strings.count indexof "
        "indexof_n lower upper substring split trim trim_left trim_right trim_prefix trim_suffix trim_space "
        "strings.reverse concat replace strings.replace_n internal.template_string"
    ),
    "templates": "strings.render_template",
    "time": (
        "time.now_ns time.date time.clock time.weekday time.format time.parse_ns time.parse_rfc3339_ns time.add_date "
        "time.diff time.parse_duration_ns"
    ),
    "types": (
        "type_name is_null cast_null is_boolean cast_boolean is_number is_string cast_string is_array is_object "
        "cast_object is_set cast_array cast_set to_number"
    ),
    "units": "units.parse units.parse_bytes",
    "uuid": "uuid.rfc4122 uuid.parse",
    "x509": (
        "crypto.x509.parse_certificates crypto.x509.parse_and_verify_certificates "
        "crypto.x509.parse_and_verify_certificates_with_options crypto.x509.parse_certificate_request "
        "crypto.x509.parse_keypair crypto.x509.parse_rsa_private_key crypto.parse_private_keys"
    ),
    "yaml": "yaml.marshal yaml.unmarshal yaml.is_valid",
}


class Table(Mapping[str, Builtin]):
    """All builtins by name. Names are known without any module."""

    def __init__(self, groups: Mapping[str, str]) -> None:
        self._group_of = {name: group for group, names in groups.items() for name in names.split()}
        self._registered: dict[str, Builtin] = {}

    def register(self, builtin: Builtin) -> None:
        self._registered[builtin.name] = builtin

    def __getitem__(self, name: str) -> Builtin:
        found = self._registered.get(name)
        if found is None:
            import_module(f"{__name__}.{self._group_of[name]}")
            found = self._registered[name]
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._group_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._group_of)

    def __len__(self) -> int:
        return len(self._group_of)


def _installed() -> dict[str, str]:
    """The groups without those that need an extra which is not installed; their builtins are refused."""
    if find_spec("graphql") is not None:
        return GROUPS
    why = "it needs the package `graphql-core`: `pip install 'graphql-core>=3.3'`"
    REFUSED.update(dict.fromkeys(GROUPS["graphql"].split(), why))
    return {group: names for group, names in GROUPS.items() if group != "graphql"}


TABLE: Final = Table(_installed())
