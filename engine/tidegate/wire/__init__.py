"""The dialects: how each provider's clients write a call, read an error and end a stream."""
