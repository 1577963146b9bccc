# METADATA
# title: Tests of the caps
package tidegate.caps_test

import data.tidegate.admission
import data.tidegate.call_test

cases := [
	{"note": "as it should be", "request": {}, "codes": set()},
	{"note": "as many tokens as may be", "request": {"max_tokens": 1000}, "codes": set()},
	{"note": "too many tokens", "request": {"max_tokens": 1001}, "codes": {"max_tokens_too_high"}},
	{"note": "too many answers", "request": {"n": 3}, "codes": {"too_many_answers"}},
	{"note": "too large", "request": {"bytes": 5001}, "codes": {"request_too_large"}},
	{"note": "tools on the list", "request": {"tools": [{"name": "search"}, {"name": "read_file"}]}, "codes": set()},
	{"note": "another tool", "request": {"tools": [{"name": "search"}, {"name": "rm"}]}, "codes": {"tool_not_allowed"}},
	{"note": "a tool without a name", "request": {"tools": [{"name": null}]}, "codes": {"tool_not_allowed"}},
	{"note": "nothing is said", "request": {"max_tokens": null, "n": null, "bytes": null}, "codes": set()},
]

codes(changes) := found if {
	found := {reason.code | some reason in admission.deny} with input as call_test.call(changes)
		with data.defaults as call_test.defaults
		with data.tenants as call_test.tenants
}

lowered(changes) := found if {
	found := admission.max_output with input as call_test.call(changes)
		with data.defaults as call_test.defaults
		with data.tenants as call_test.tenants
}

test_each_cap if {
	every case in cases {
		codes({"request": case.request}) == case.codes
	}
}

test_a_request_without_a_maximum_gets_one if {
	lowered({"request": {"max_tokens": null}}) == 1000
	not lowered({"request": {"max_tokens": 10}})
	not lowered({"request": {"max_tokens": null, "endpoint": "embeddings"}})
}
