# METADATA
# title: Who may call
# description: Callers without a key of any kind pass only where data.json lets them.
package tidegate.admission

deny contains {
	"code": "anonymous_not_allowed",
	"message": "calls without a key are not served here",
} if {
	input.caller.mode == "anonymous"
	not data.anonymous
}
