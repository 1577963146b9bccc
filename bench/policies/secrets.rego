# METADATA
# description: Personal and secret data in prompts, by keywords and by patterns.
package bench.secrets

texts contains message.text if {
	some message in input.messages
	message.role != "system"
}

lowered contains lower(text) if some text in texts

keyword_hits contains keyword if {
	some keyword in data.keywords
	some text in lowered
	contains(text, keyword)
}

findings contains {"detector": "email"} if {
	some text in texts
	regex.match(`[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+`, text)
}

findings contains {"detector": "iban"} if {
	some text in texts
	regex.match(`\b[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\b`, text)
}

findings contains {"detector": "card"} if {
	some text in texts
	regex.match(`\b[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{4}\b`, text)
}

findings contains {"detector": "key"} if {
	some text in texts
	regex.match(`\b(sk|pk|ghp)[-_][A-Za-z0-9]{16,}\b`, text)
}

findings contains {"detector": "private_key"} if {
	some text in texts
	contains(text, "-----BEGIN ")
}

findings contains {"detector": "keyword", "word": word} if some word in keyword_hits

block if {
	some finding in findings
	finding.detector in {"key", "private_key"}
}

block if count(keyword_hits) >= data.max_keywords

default action := "allow"

action := "block" if {
	block
} else := "redact" if {
	count(findings) > 0
}

decision := {"action": action, "findings": [finding | some finding in findings]}
