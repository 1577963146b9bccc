# METADATA
# title: Limits and budgets
# description: The buckets that a call draws from. Where data.json says null there is no such limit.
package tidegate.admission

import data.tidegate.tenant

# Callers of a tenant that have no key share one bucket.
limit contains {
	"name": "requests",
	"key": [input.caller.tenant, input.caller.key],
	"measure": "requests",
	"max": most,
	"per": "1m",
	"exceed": "throttle",
} if {
	most := tenant.settings.requests_per_minute
	most != null
}

limit contains {
	"name": "tokens",
	"key": [input.caller.tenant],
	"measure": "tokens",
	"max": most,
	"per": "1m",
	"exceed": "throttle",
} if {
	most := tenant.settings.tokens_per_minute
	most != null
}

limit contains {
	"name": "concurrent",
	"key": [input.caller.tenant],
	"measure": "concurrent",
	"max": most,
	"exceed": "throttle",
} if {
	most := tenant.settings.concurrent
	most != null
}

limit contains {
	"name": "budget",
	"key": [input.caller.tenant],
	"measure": "usd",
	"max": most,
	"per": "day",
	"tz": "UTC",
	"exceed": "block",
} if {
	most := tenant.settings.usd_per_day
	most != null
}

warn contains {
	"code": "budget_nearly_spent",
	"message": sprintf("of today's %v dollars %v are left", [tenant.settings.usd_per_day, left]),
} if {
	used := input.limits.budget.used
	is_number(used)
	used > nearly_all
	left := tenant.settings.usd_per_day - used
}

# Of a tenant's budget all but a tenth.
nearly_all := tenant.settings.usd_per_day * 0.9 if is_number(tenant.settings.usd_per_day)

warn contains {
	"code": "expensive_call",
	"message": sprintf("this call can cost %v dollars", [input.estimate.usd]),
} if {
	is_number(input.estimate.usd)
	input.estimate.usd > tenant.settings.usd_per_call
}
