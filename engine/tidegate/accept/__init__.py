"""accept: bytes become requests, each with one meaning."""
