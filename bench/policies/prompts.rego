# METADATA
# description: The shape of a conversation; roles in order, parts of known kinds, sizes within bounds.
package bench.prompts

roles := {"system", "developer", "user", "assistant", "tool"}

well_formed if {
	every message in input.messages {
		message.role in roles
		is_string(message.text)
		every part in message.parts {
			part.kind in {"text", "image", "file"}
			part.bytes <= data.max_part_bytes
		}
	}
}

problem contains "malformed" if not well_formed

problem contains "system prompt is not first" if {
	some i, message in input.messages
	message.role == "system"
	i > 0
}

problem contains "no system prompt" if not input.messages[0].role == "system"

problem contains sprintf("message %d repeats the role %s", [i, message.role]) if {
	some i, message in input.messages
	i > 0
	message.role == input.messages[i - 1].role
	message.role in {"user", "assistant"}
}

problem contains "the last word is not the user's" if {
	last := input.messages[count(input.messages) - 1]
	not last.role in {"user", "tool"}
}

problem contains "a tool answers nobody" if {
	some i, message in input.messages
	message.role == "tool"
	not asked(message.call, i)
}

asked(call, before) if {
	some j, message in input.messages
	j < before
	message.role == "assistant"
	call in message.calls
}

characters := sum([count(message.text) | some message in input.messages])

images := count([1 | some message in input.messages; some part in message.parts; part.kind == "image"])

problem contains "too long" if characters > data.max_characters

problem contains "too many images" if images > data.max_images

decision := {"ok": count(problem) == 0, "problems": problem, "characters": characters, "images": images}
