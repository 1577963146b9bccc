"""limit: a decision takes what it may, and settles afterwards.

    limits = Limits(path, workers=4, worker=0)      shared memory; without a path, of this process and its children
    bucket = limits.prepare(limit, owner)           -> Bucket, kept by whoever asks often; draws nothing
    hold = limits.acquire([(bucket, amount), ...])  -> Hold or Refusal (which is false), all or nothing, never waits
    hold.grow([total, ...])                         -> None or Refusal; totals, so that saying it twice is once
    hold.settle([actual, ...])                      -> the overdraft of each bucket, `()` when there is none
    hold.settle([actual, ...], seq)                 the same, as that record of the worker's journal says
    hold.drawn                                      what records say of it: (key, measure, held, end in seconds)
    hold.release()                                  nothing was used
    hold.renew()                                    the call lives: its deadline moves on
    limits.state(bucket)                            -> State(remaining, reset), disturbing nothing

Amounts are whole numbers of the bucket's unit: calls, tokens, micro-cents. `Bucket` has `limit`, `max` and `burst` in
that unit; a `Refusal` has `exceeded`, for every limit that refused one `Exceeded(limit, remaining, retry, never)`, the
strongest first, and `action` and `retry` for all of them together. Times are nanoseconds.

units      what a limit's numbers are in whole numbers; windows: days, weeks and months of a time zone
_words.h   the words of shared memory and their orders; _table: places, workers, reaping, reclaiming
_draw      buckets, and holds on several of them; refusal: why a draw was refused; mapping: where the table lives
limits     the table as a program sees it; hold: what the gateway's path calls
fleet      the same for several machines, by leases: what a node may spend; lessor: who gets them; lease.lua: who grants
headers    what a caller is told about its limits, as header lines; refused: and of a refusal, as an error
"""
