"""What of a conversation a model can hold: the newest turns, the instructions, and room for the answer.

Pure. Tokens are estimated from above, since one too many makes an upstream refuse the whole question.
"""

from __future__ import annotations

from typing import Any

import orjson

# English comes to 4 letters a token, names and capitals to 2.5. Digits, signs and line breaks are one each in
# many vocabularies, letters of other scripts one a byte.
_LETTERS = 2.5
_WORDS = str.maketrans("", "", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
# What a chat template puts around each message, in tokens.
_AROUND = 8


def tokens(message: dict[str, Any]) -> int:
    """About how many tokens a message takes with all that stands in it, rather too many than too few."""
    rest = {name: value for name, value in message.items() if name not in ("role", "content")}
    content = message.get("content")
    text = content if isinstance(content, str) else orjson.dumps(content).decode()
    text += orjson.dumps(rest).decode() if rest else ""
    others = text.translate(_WORDS)
    letters = len(text) - len(others)
    return int(letters / _LETTERS) + len(others.encode()) + _AROUND


def fit(messages: list[dict[str, Any]], context: int, answer: int) -> list[dict[str, Any]]:
    """`messages` without their oldest turns, so that they and `answer` tokens fit into `context`.

    Instructions (system, developer) stay, and so does the last message, even where it alone is too long:
    then the upstream says so. `context` 0: all of them.
    """
    if not context:
        return messages
    last = len(messages) - 1
    fixed = {i for i, m in enumerate(messages) if m["role"] in ("system", "developer") or i == last}
    room = context - answer - sum(tokens(messages[i]) for i in fixed)
    kept = set(fixed)
    for i in range(last - 1, -1, -1):
        if i in fixed:
            continue
        room -= tokens(messages[i])
        if room < 0:
            break
        kept.add(i)
    return _from_a_question([messages[i] for i in sorted(kept)])


def _from_a_question(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A conversation doesn't begin with an answer whose question was left out: templates refuse that."""
    begun, told = False, []
    for i, message in enumerate(messages):
        begun = begun or message["role"] == "user" or i == len(messages) - 1
        if begun or message["role"] in ("system", "developer"):
            told.append(message)
    return told
