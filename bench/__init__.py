"""Latency and cost of the service at real time: `python -m bench --help`.

    scenario.py    what is driven, and when every frame is due
    talks.py       speech, as requests that are serialised once and shared
    server.py      the process that is measured; floor.py and floor_websocket.py: the least such can do
    driver.py      the process that sends on time and listens; told a job and answering a run (job.py)
    stream.py      one of its calls, over channel.py; pace.py has the one timer of all of them
    account.py     events of a stream → lags, finals, faults
    histogram.py   times of all streams and runs, merged
    machine.py     versions, cores, processes
    measure.py     all runs, in alternation
    figures.py     the runs of a scenario → its figures
    report.py      figures → the tables and latest.json; summary.py names those that one asks for
    plan.py        what is measured, quickly or for the docs; backends.py: the Tritons behind it
    recorded.py    a Triton that only remembers how late a real one was
    capacity.py    the most streams a core; overload.py: twice as many; memory.py: what each holds
    overhead.py    the service above raw Triton
    commands.py    compare, readme, plots

vad/              VAD and segmentation without a network, ours and others'
neighbour.py      what one tenant's flood (flood.py) does to another
gpu.py stands alone: the large model on a GPU.
"""
