"""EDGE: HTTP in, HTTP out.

The only place, with the command line, that knows Flask.
"""
