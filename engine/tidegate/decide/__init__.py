"""decide: a call and its caller get a decision."""
