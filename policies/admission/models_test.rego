# METADATA
# title: Tests of the models
package tidegate.models_test

import data.tidegate.admission
import data.tidegate.call_test

cases := [
	{"note": "on the list", "tenant": "acme", "model": "gpt-4o-mini", "codes": set()},
	{"note": "not on the list", "tenant": "acme", "model": "o3", "codes": {"model_not_allowed"}},
	{"note": "a list of the tenant's own", "tenant": "labs", "model": "o3", "codes": set()},
	{"note": "a tenant nobody wrote down", "tenant": "other", "model": "gpt-4o", "codes": set()},
	{"note": "no tenant", "tenant": null, "model": "o3", "codes": {"model_not_allowed"}},
	{"note": "no model", "tenant": "acme", "model": null, "codes": {"model_not_allowed"}},
]

codes(changes) := found if {
	found := {reason.code | some reason in admission.deny} with input as call_test.call(changes)
		with data.defaults as call_test.defaults
		with data.tenants as call_test.tenants
}

test_each_model if {
	every case in cases {
		codes({"caller": {"tenant": case.tenant}, "request": {"model": case.model}}) == case.codes
	}
}

test_the_list_of_models_needs_none if {
	codes({"request": {"endpoint": "models", "model": null}}) == set()
}
