"""identify: a call gets its caller."""
