"""identify: a call gets its caller.

caller     the step: which key the call carries, whether it is good, what else the caller says of the call
held       the keys in force in one process, and how a change gets there
keyfile    the file in the data directory, as the commands change it
keys       what a key is made of, and what can happen to one
"""
