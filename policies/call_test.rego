# METADATA
# title: A call for the tests
# description: An input that every rule lets pass, and what a test lays over it; data for it.
package tidegate.call_test

call(changes) := object.union(
	{
		"version": 1,
		"phase": "admission",
		"caller": {"tenant": "acme", "key": "k1", "user": null, "roles": [], "ip": null, "mode": "key"},
		"request": {
			"endpoint": "chat.completions",
			"model": "gpt-4o-mini",
			"stream": false,
			"max_tokens": 100,
			"n": 1,
			"messages": [{"role": "user", "text": "hello", "parts": []}],
			"tools": [{"name": "search"}],
			"bytes": 200,
		},
		"estimate": {"prompt_tokens": 9, "prompt_kind": "exact", "output_tokens": 100, "usd": 0.01},
		"findings": [],
		"limits": {},
	},
	changes,
)

defaults := {
	"models": ["gpt-4o*"],
	"tools": ["search", "read_*"],
	"max_tokens": 1000,
	"answers": 2,
	"bytes": 5000,
	"requests_per_minute": 60,
	"tokens_per_minute": 10000,
	"concurrent": 8,
	"usd_per_day": 1000,
	"usd_per_call": 2,
}

tenants := {
	"acme": {},
	"labs": {"models": ["gpt-4o*", "o3"], "usd_per_day": null},
}
