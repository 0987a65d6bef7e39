"""The hub under stress: scenarios with hard invariants on a real gunicorn and real sockets, seedable.

`python -m bench.stress` runs them; bench/README.md says how, and what each of them must show.
"""
