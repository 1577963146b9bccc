# METADATA
# description: Tiered budgets of tenant, team and user, and the limits they lead to.
package bench.budgets

plan := data.plans[data.tenants[input.caller.tenant].plan]

scopes := {
	"tenant": {"spent": input.spent.tenant, "budget": plan.tenant_usd},
	"team": {"spent": input.spent.team, "budget": object.get(plan.team_usd, input.caller.team, plan.default_team_usd)},
	"user": {"spent": input.spent.user, "budget": plan.user_usd},
}

ratio[scope] := used if {
	some scope, account in scopes
	account.budget > 0
	used := (account.spent + input.estimate.usd) / account.budget
}

deny contains {"code": "budget_exceeded", "scope": scope} if {
	some scope, used in ratio
	used > 1
}

warn contains {"code": "budget_near", "scope": scope, "percent": round(used * 100)} if {
	some scope, used in ratio
	used > plan.warn_at
	used <= 1
}

limit contains {"name": "requests", "max": plan.requests_per_minute, "per": "1m"}

limit contains {"name": "tokens", "max": tokens, "per": "1m"} if {
	some tier in plan.tiers
	ratio.tenant >= tier.from
	ratio.tenant < tier.to
	tokens := tier.tokens_per_minute
}

max_output := min([plan.max_output, input.request.max_tokens])

action := "block" if {
	count(deny) > 0
} else := "warn" if {
	count(warn) > 0
} else := "allow"

decision := {
	"action": action,
	"deny": [reason | some reason in deny],
	"warn": [reason | some reason in warn],
	"limit": [bucket | some bucket in limit],
	"max_output": max_output,
}
