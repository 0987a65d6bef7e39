"""The scenarios by what they try: importing this registers them all, in the order of the table."""

from bench.stress.scenarios import whole, cursors, leaving, ending, limits  # noqa: F401, I001
