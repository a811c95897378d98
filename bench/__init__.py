"""Latency and cost of the service at real time: `python -m bench --help`.

scenario.py    what is driven, and when every frame is due
talks.py       speech, as requests that are serialised once and shared
server.py      the process that is measured; floor.py is the least such a process can do
driver.py      the process that sends on time and listens; stream.py is one of its calls
account.py     events of a stream → lags, finals, faults
histogram.py   times of all streams and runs, merged
machine.py     versions, cores, processes
report.py      runs → the table and latest.json
"""
