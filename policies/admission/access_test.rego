# METADATA
# title: Tests of who may call
package tidegate.access_test

import data.tidegate.admission
import data.tidegate.call_test

codes(changes, anonymous) := found if {
	found := {reason.code | some reason in admission.deny} with input as call_test.call(changes)
		with data.anonymous as anonymous
		with data.defaults as call_test.defaults
		with data.tenants as call_test.tenants
}

test_a_key_passes if codes({}, false) == set()

test_without_a_key if {
	codes({"caller": {"mode": "anonymous"}}, false) == {"anonymous_not_allowed"}
	codes({"caller": {"mode": "anonymous"}}, true) == set()
}
