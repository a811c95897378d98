"""What finding utterances costs without a network, and with what people use: `python -m bench.vad --help`.

__main__.py    rows in alternation, figures, table
row.py         a row's process: real talks at real time, its own processor time
stages.py      the server's detector and segmenters, fed as the peers are
ours.py        the server's pipeline and sessions, without gRPC and without scoring
silero.py      the least that Silero VAD can cost: one batch a tick; and a plain loop over streams
livekit.py     LiveKit Agents' two VADs (in .venv-integrations)
pipecat.py     a Pipecat pipeline with its VADProcessor (in .venv-integrations)
"""
