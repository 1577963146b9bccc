"""Benchmarks that other people can repeat: each is one module, run as `python -m bench.NAME`, with one result file.

`rig` runs processes on chosen cores and reads what they cost, `contestants` says how each gateway is started,
`report` turns pairs of numbers into lines with a verdict; `gateway` is the first benchmark. README.md explains.
"""
