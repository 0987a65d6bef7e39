"""A certificate for 127.0.0.1 that nobody vouches for but itself, made by the command openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(folder: Path) -> Path:
    """A file in `folder` with the certificate and its key. FileNotFoundError where there is no openssl."""
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout key"
    about = "-out cert -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(f"{made} {about}".split(), cwd=folder, check=True, capture_output=True)
    both = folder / "both"
    both.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return both
