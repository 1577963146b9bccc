# METADATA
# title: Models
# description: A tenant uses the models of its list, and no others. A `*` in the list stands for any text.
package tidegate.admission

import data.tidegate.tenant

deny contains {
	"code": "model_not_allowed",
	"message": sprintf("tenant `%v` may not use the model `%v`", [input.caller.tenant, input.request.model]),
} if {
	input.request.endpoint != "models"
	not model_allowed
}

model_allowed if {
	is_string(input.request.model)
	some pattern in tenant.settings.models
	glob.match(pattern, null, input.request.model)
}
