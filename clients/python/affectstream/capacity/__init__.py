"""How much of everything some number of calls takes: a cost model, and a simulation of the queues in it.

`figures` is what was measured, `assumptions` what was not. `core` simulates a server process, `batcher` an
inference server, `estimate` adds up, `check` holds the simulation against what was measured.
"""
