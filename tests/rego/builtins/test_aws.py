"""providers.aws.sign_req, with the request and the signature of AWS's own test suite for SigV4."""

import pytest

from tests.rego.builtins.calls import call, problem

CREDENTIALS = {
    "aws_access_key": "AKIDEXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "aws_service": "service",
    "aws_region": "us-east-1",
}
REQUEST = {"method": "GET", "url": "https://example.amazonaws.com/"}
MOMENT = 1_440_938_160_000_000_000  # 2015-08-30T12:36:00Z
SCOPE = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"


def test_the_vanilla_request_of_the_test_suite() -> None:
    signed = call("providers.aws.sign_req", REQUEST, CREDENTIALS, MOMENT)
    signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    assert signed == REQUEST | {
        "headers": {
            "host": "example.amazonaws.com",
            "x-amz-date": "20150830T123600Z",
            "Authorization": f"{SCOPE},SignedHeaders=host;x-amz-date,Signature={signature}",
        }
    }


def test_headers_that_a_proxy_may_change_are_not_signed() -> None:
    headers = {"User-Agent": "a", "Authorization": "b", "X-Amzn-Trace-Id": "c", "My-Header": "d"}
    signed = call("providers.aws.sign_req", REQUEST | {"headers": headers}, CREDENTIALS, MOMENT)["headers"]
    assert "SignedHeaders=host;my-header;x-amz-date," in signed["Authorization"]
    assert signed["User-Agent"] == "a"


def test_only_s3_and_glacier_are_told_the_digest_of_the_body() -> None:
    for service, is_told in (("s3", True), ("glacier", True), ("execute-api", False)):
        signed = call("providers.aws.sign_req", REQUEST, CREDENTIALS | {"aws_service": service}, MOMENT)
        assert ("x-amz-content-sha256" in signed["headers"]) is is_told, service


def test_a_body_is_its_json_and_a_raw_body_goes_before_it() -> None:
    plain = authorization({"raw_body": '{"a":[1,2]}'})
    assert authorization({"body": {"a": [1, 2]}}) == plain
    assert authorization({"body": {"b": 1}, "raw_body": '{"a":[1,2]}'}) == plain
    assert authorization({"body": {"a": [1, 3]}}) != plain
    assert authorization({"body": "<"}) == authorization({"raw_body": r'"\u003c"'}), "as Go writes JSON"


def authorization(parts: dict[str, object]) -> str:
    return str(call("providers.aws.sign_req", REQUEST | parts, CREDENTIALS, MOMENT)["headers"]["Authorization"])


def test_a_session_token_and_an_unsigned_payload() -> None:
    options = {"aws_session_token": "T", "aws_service": "s3", "disable_payload_signing": True}
    headers = call("providers.aws.sign_req", REQUEST, CREDENTIALS | options, MOMENT)["headers"]
    assert headers["x-amz-security-token"] == "T"
    assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"


WRONG = [
    (({}, CREDENTIALS, 0), 'operand 1 missing required request parameters(s): {"method", "url"}'),
    ((REQUEST | {"url": 1}, CREDENTIALS, 0), 'operand 1 invalid values for required request parameters(s): {"url"}'),
    (
        (REQUEST, {"aws_region": "x", "aws_service": "y"}, 0),
        'operand 2 missing required AWS config parameters(s): {"aws_access_key", "aws_secret_access_key"}',
    ),
    ((REQUEST, CREDENTIALS, 1.5), "operand 3 could not convert time_ns value into a unix timestamp"),
    ((REQUEST, CREDENTIALS, 2**63), "operand 3 could not convert time_ns value into a unix timestamp"),
    ((REQUEST, CREDENTIALS, "0"), "operand 3 must be number but got string"),
    (([], CREDENTIALS, 0), "operand 1 must be object but got array"),
]


@pytest.mark.parametrize(("operands", "expected"), WRONG)
def test_wrong_operands(operands: tuple[object, ...], expected: str) -> None:
    assert problem("providers.aws.sign_req", *operands) == f"eval_type_error: providers.aws.sign_req: {expected}"
