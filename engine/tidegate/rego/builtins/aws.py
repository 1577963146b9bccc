"""providers.aws.sign_req: an HTTP request with the headers of AWS Signature Version 4 added.

A pure function of the request, the credentials and the moment. The header `x-amz-content-sha256` is added for the two
services that ask for it.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.formats import is_url
from tidegate.rego.builtins.json import marshalled
from tidegate.rego.builtins.operands import number, object_
from tidegate.rego.builtins.text import utf8
from tidegate.rego.errors import BuiltinError, OperandError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import Value, json_text

_NAME = "providers.aws.sign_req"
_REQUIRED = ("aws_access_key", "aws_region", "aws_secret_access_key", "aws_service")
_HASHED_BODY_IN_HEADER = ("s3", "glacier")
# what a proxy between here and AWS may change is not signed
_UNSIGNED = ("authorization", "user-agent", "x-amzn-trace-id")


@builtin(
    _NAME,
    "request: object[string: any], aws_config: object[string: any], time_ns: number -> object[any: any]",
    evaluation=True,
)
def sign_request(evaluation: Evaluation, request: Value, configuration: Value, time_ns: Value) -> Value:
    request, configuration = object_(_NAME, 1, request), object_(_NAME, 2, configuration)
    _check_strings(2, "AWS config", configuration, _REQUIRED)
    moment = _moment(number(_NAME, 3, time_ns))
    _check_strings(1, "request", request, ("method", "url"))
    given = request.get("headers", {})
    if type(given) is not dict:
        raise OperandError(f"{_NAME}: operand 1 must be object with `headers` an object")
    unsigned_body = configuration.get("disable_payload_signing", False)
    if type(unsigned_body) is not bool:
        raise OperandError(f"{_NAME}: operand 2 invalid value for 'disable_payload_signing' in AWS config")
    headers = {str(name): held if type(held) is str else "" for name, held in given.items()}
    evaluation.spend(evaluation.weigh(request.get("body")))
    payload = "UNSIGNED-PAYLOAD" if unsigned_body else hashlib.sha256(_body(request)).hexdigest()
    return {**request, "headers": _signed(request, headers, configuration, moment, payload)}


def _check_strings(position: int, what: str, holder: dict[str, Value], names: tuple[str, ...]) -> None:
    for fault, wrong in (
        ("missing", [name for name in names if name not in holder]),
        ("invalid values for", [name for name in names if type(holder.get(name, "")) is not str]),
    ):
        if wrong:
            listed = ", ".join(json_text(name) for name in wrong)
            raise OperandError(f"{_NAME}: operand {position} {fault} required {what} parameters(s): {{{listed}}}")


def _moment(time_ns: Value) -> datetime:
    if type(time_ns) is not int or not 0 <= time_ns < 2**63:
        raise OperandError(f"{_NAME}: operand 3 could not convert time_ns value into a unix timestamp")
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)


def _signed(
    request: dict[str, Value], headers: dict[str, str], credentials: dict[str, str], moment: datetime, payload: str
) -> dict[str, str]:
    service = credentials["aws_service"]
    if not is_url(request["url"]):
        raise BuiltinError(f"{_NAME}: the URL cannot be read")
    url = urlsplit(request["url"])
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    added = {"host": url.netloc.rpartition("@")[2], "x-amz-date": stamp}
    if service in _HASHED_BODY_IN_HEADER:
        added["x-amz-content-sha256"] = payload
    if credentials.get("aws_session_token"):
        added["x-amz-security-token"] = credentials["aws_session_token"]
    # where the request has one of the headers already, it is its value that AWS's own signers sign
    signed = added | {name.lower(): held for name, held in headers.items() if name.lower() not in _UNSIGNED}
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        (
            request["method"],
            quote(utf8(url.path), safe="/%~:@!$&'()*+,;=[]"),
            url.query,
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            payload,
        )
    )
    scope = f"{stamp[:8]}/{credentials['aws_region']}/{service}/aws4_request"
    digest = hashlib.sha256(utf8(canonical)).hexdigest()
    signature = _signature(credentials, stamp, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}")
    credential = f"{credentials['aws_access_key']}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}"
    return headers | {"Authorization": authorization} | added


def _body(request: dict[str, Value]) -> bytes:
    if "raw_body" in request:
        raw = request["raw_body"]
        return utf8(raw) if type(raw) is str else b""
    return utf8(marshalled(request["body"])) if "body" in request else b""


def _signature(credentials: dict[str, str], stamp: str, text: str) -> str:
    secret = utf8("AWS4" + credentials["aws_secret_access_key"])
    for part in (stamp[:8], credentials["aws_region"], credentials["aws_service"], "aws4_request"):
        secret = hmac.digest(secret, utf8(part), "sha256")
    return hmac.digest(secret, utf8(text), "sha256").hex()
