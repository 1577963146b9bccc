"""record: what happened is written for ever."""
