"""Between WebSockets and a server: browsers and telephone providers speak to it (docs/bridge.md).

`Bridge` is the process, `Relay` one WebSocket with its call, `messages` what is said in which words.
Needs aiohttp: ``pip install "affectstream[bridge]"``.
"""
