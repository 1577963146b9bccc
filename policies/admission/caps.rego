# METADATA
# title: Caps
# description: How large one call may be, and which tools it may offer.
package tidegate.admission

import data.tidegate.tenant

deny contains {
	"code": "max_tokens_too_high",
	"message": sprintf("at most %v tokens may be asked for, not %v", [most, input.request.max_tokens]),
} if {
	most := tenant.settings.max_tokens
	input.request.max_tokens > most
}

# A request that names no maximum gets the tenant's.
max_output := tenant.settings.max_tokens if {
	input.request.max_tokens == null
	input.request.endpoint in {"chat.completions", "completions", "responses", "messages"}
}

deny contains {
	"code": "too_many_answers",
	"message": sprintf("at most %v answers may be asked for, not %v", [most, input.request.n]),
} if {
	most := tenant.settings.answers
	input.request.n > most
}

deny contains {
	"code": "request_too_large",
	"message": sprintf("a request may have %v bytes, not %v", [most, input.request.bytes]),
} if {
	most := tenant.settings.bytes
	input.request.bytes > most
}

deny contains {
	"code": "tool_not_allowed",
	"message": sprintf("tenant `%v` may not offer the tool `%v`", [input.caller.tenant, tool.name]),
} if {
	not all_tools_allowed
	some tool in input.request.tools
	not tool_allowed(tool.name)
}

all_tools_allowed if "*" in tenant.settings.tools

tool_allowed(name) if {
	is_string(name)
	some pattern in tenant.settings.tools
	glob.match(pattern, null, name)
}
