"""PUSH: who is connected, what each was sent.

Knows no Flask, no HTTP server, no language model.
"""
