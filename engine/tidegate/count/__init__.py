"""count: what streams by is metered."""
