"""What drawing an answer costs a browser: `python -m bench.front`."""
