"""decide: a call and its caller get a decision.

input      what a policy is told; reading: the same, straight from the gateway's own values
contract   what a policy may say; checks: whether it does, before it runs; shapes: what Structs say, in words
bundle     modules and data from files, and their digest; documents: the data files
compiled   a bundle as functions; cache: those functions on disk
policy     a bundle that can be asked; live: one that follows its files; admission: one that reads calls as they are
known      what it said before, by what it asked; fields: one field of a call; standings: `input.limits`; ruling
"""
