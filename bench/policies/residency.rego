# METADATA
# description: Where a call may be answered, by the caller's network and the class of the data.
package bench.residency

default decision := {"allow": false, "region": null, "reasons": ["no region is allowed"]}

network := name if {
	some name, ranges in data.networks
	some range in ranges
	net.cidr_contains(range, input.caller.ip)
}

class := "restricted" if {
	some tag in input.tags
	tag in data.restricted_tags
} else := "internal" if {
	network == "office"
} else := "public"

regions contains region.name if {
	some region in data.regions
	class in region.classes
	region.jurisdiction in data.jurisdictions[input.caller.country]
	input.model in region.models
}

blocked contains "unknown network" if not network

blocked contains "guest network" if {
	network == "guest"
	class != "public"
}

blocked contains sprintf("no region for %s data in %s", [class, input.caller.country]) if count(regions) == 0

preferred := region if {
	some region in data.preference
	region in regions
	not earlier(region)
}

earlier(region) if {
	some i, name in data.preference
	name == region
	some j, other in data.preference
	j < i
	other in regions
}

decision := {"allow": true, "region": preferred, "reasons": []} if {
	count(blocked) == 0
} else := {"allow": false, "region": null, "reasons": sort([reason | some reason in blocked])} if {
	count(blocked) > 0
}
