"""limit: a decision takes what it may, and settles afterwards."""
