"""This server beside others that push events, on one core each in turn: `python -m bench.hubs`."""
