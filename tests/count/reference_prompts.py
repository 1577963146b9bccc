"""The published formulas once more, over the reference tokenizer and plain dicts, as straightforwardly as they read."""

from typing import Any

from tests.count import reference

Document = Any


class Prompt:
    """Counts the body of a chat completion."""

    def __init__(self, encoding: str, per_message: int, per_name: int, per_function: int) -> None:
        self.encoding = reference.encoding(encoding)
        self.per_message, self.per_name, self.per_function = per_message, per_name, per_function

    def text(self, text: str | None) -> int:
        return len(self.encoding.encode_ordinary(text or ""))

    def chat(self, body: Document) -> int:
        tokens = 3 + sum(self.message(message) for message in body["messages"])
        tools = [tool["function"] for tool in body.get("tools", [])]
        if tools:
            tokens += 12 + sum(self.function(function) for function in tools)
        choice = body.get("tool_choice")
        if isinstance(choice, dict):
            tokens += 7 + self.text(choice["function"]["name"])
        elif choice == "none":
            tokens += 1
        return tokens

    def message(self, message: Document) -> int:
        tokens = self.per_message + self.text(message["role"])
        content = message.get("content")
        if isinstance(content, str):
            tokens += self.text(content)
        else:
            tokens += sum(self.text(part["text"]) for part in content or [])
        if "name" in message:
            tokens += self.per_name + self.text(message["name"])
        for call in message.get("tool_calls", []):
            tokens += 3 + self.text(call["function"]["name"]) + self.text(call["function"]["arguments"])
        return tokens

    def function(self, function: Document) -> int:
        description = function.get("description", "")
        if description.endswith("."):
            description = description[:-1]
        tokens = self.per_function + self.text(function["name"] + ":" + description)
        return tokens + self.properties(function.get("parameters", {}).get("properties", {}))

    def properties(self, properties: Document) -> int:
        if not properties:
            return 0
        tokens = 3
        for name, schema in properties.items():
            description = schema.get("description", "")
            if description.endswith("."):
                description = description[:-1]
            tokens += 3 + self.text(f"{name}:{schema['type']}:{description}")
            if "enum" in schema:
                tokens += -3 + sum(3 + self.text(str(value)) for value in schema["enum"])
            tokens += self.properties(schema.get("properties", {}))
        return tokens


MODELS = {
    "gpt-4o": Prompt("o200k_base", 3, 1, 7),
    "gpt-4o-mini-2024-07-18": Prompt("o200k_base", 3, 1, 7),
    "ft:gpt-4o-2024-08-06:acme::x": Prompt("o200k_base", 3, 1, 7),
    "gpt-4.1": Prompt("o200k_base", 3, 1, 7),
    "o3": Prompt("o200k_base", 3, 1, 7),
    "claude-sonnet-4-5": Prompt("o200k_base", 3, 1, 7),
    "gpt-4-turbo": Prompt("cl100k_base", 3, 1, 10),
    "gpt-3.5-turbo-0125": Prompt("cl100k_base", 3, 1, 10),
    "gpt-3.5-turbo-0301": Prompt("cl100k_base", 4, -1, 10),
}
