"""forward: an allowed call reaches a provider, and its answer the client.

The files follow the depth of the call: `way` picks the integration and writes the request, `origin` finds a connection,
`upstream` carries the call over it, `answer` reads what comes back, `relay` passes it on. `guard` says which addresses
may be dialled.
"""
