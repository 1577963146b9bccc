# METADATA
# description: Which tools a tenant's calls may offer to the model, and with which arguments.
package bench.tools

default allow := false

allow if count(violations) == 0

tenant := data.tenants[input.caller.tenant]

granted := {tool | some tool in tenant.tools} | {tool | some role in input.caller.roles; some tool in data.roles[role]}

names contains tool.name if some tool in input.tools

violations contains {"code": "not_granted", "tool": name} if {
	some name in names
	not name in granted
}

violations contains {"code": "too_many", "limit": tenant.max_tools} if {
	count(input.tools) > tenant.max_tools
}

violations contains {"code": "network", "tool": tool.name, "host": tool.arguments.host} if {
	some tool in input.tools
	tool.kind == "http"
	not host_allowed(tool.arguments.host)
}

violations contains {"code": "path", "tool": tool.name} if {
	some tool in input.tools
	tool.kind == "file"
	contains(tool.arguments.path, "..")
}

violations contains {"code": "forbidden_pair", "tools": pair} if {
	some pair in data.forbidden_pairs
	pair[0] in names
	pair[1] in names
}

host_allowed(host) if {
	some pattern in tenant.hosts
	glob.match(pattern, ["."], host)
}

decision := {"allow": allow, "violations": [found | some found in violations], "tools": sort([name | some name in names])}
