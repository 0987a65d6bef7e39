"""Every way a stream ends, and what is said then.

Pure; a table. A stream's `ending` is one of these words.
"""

from __future__ import annotations

from typing import NamedTuple


class Ending(NamedTuple):
    """How a stream ends: whether `closing` is said, and whether the reader is asked back."""

    said: bool
    reconnect: bool


# [protocol §2] every way a stream ends. Any end but these is a lost network, after which readers come back.
ENDINGS = {
    "done": Ending(said=False, reconnect=False),  # `[DONE]` was the last word
    "closed": Ending(said=True, reconnect=False),  # somebody called close
    "shutdown": Ending(said=True, reconnect=True),  # the process goes
    "lifetime": Ending(said=True, reconnect=True),  # was open for long enough
    "slow": Ending(said=True, reconnect=True),  # took nothing for too long; hears it if it wakes up
    "gone": Ending(said=False, reconnect=True),  # the peer left; nobody reads what is said
}
