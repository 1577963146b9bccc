# METADATA
# title: Tests of the limits
package tidegate.limits_test

import data.tidegate.admission
import data.tidegate.call_test

limits(changes) := found if {
	found := {limit.name: limit | some limit in admission.limit} with input as call_test.call(changes)
		with data.defaults as call_test.defaults
		with data.tenants as call_test.tenants
}

warnings(changes) := found if {
	found := {reason.code | some reason in admission.warn} with input as call_test.call(changes)
		with data.defaults as call_test.defaults
		with data.tenants as call_test.tenants
}

test_the_four_limits if {
	found := limits({})
	object.keys(found) == {"requests", "tokens", "concurrent", "budget"}
	found.requests.key == ["acme", "k1"]
	found.budget.key == ["acme"]
	found.budget.max == 1000
}

test_a_tenant_without_a_budget if {
	object.keys(limits({"caller": {"tenant": "labs"}})) == {"requests", "tokens", "concurrent"}
}

test_warnings if {
	warnings({}) == set()
	warnings({"estimate": {"usd": 3}}) == {"expensive_call"}
	warnings({"limits": {"budget": {"used": 901}}}) == {"budget_nearly_spent"}
	warnings({"limits": {"budget": {"used": 899}}}) == set()
	warnings({"limits": {"budget": {"used": 900}}}) == set()
	warnings({"limits": {"budget": {"used": 900.01}}}) == {"budget_nearly_spent"}
	warnings({"limits": {"budget": {"used": null}}, "estimate": {"usd": null}}) == set()
	warnings({"caller": {"tenant": "labs"}, "limits": {"budget": {"used": 5000}}}) == set()
}
