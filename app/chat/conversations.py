"""Conversations: what was said, by whom, in memory.

The calls here are all that a database must bring.
Knows no HTTP and no model. `_lock` guards `_conversations`; nothing is called under it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.errors import NotFound

Message = dict[str, Any]


@dataclass
class Conversation:
    """Messages in order: `{role, content}`, an assistant's also `generationId` and how it ended.

    Times are Unix seconds.
    """

    id: str
    client_id: str
    created: float
    updated: float
    messages: list[Message] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """`{id, title, created, updated, messages: n}`; the title is the first thing asked."""
        first = next((m.get("content") for m in self.messages if m["role"] == "user"), "")
        title = " ".join(first[:400].split())[:80] if isinstance(first, str) else ""
        count = len(self.messages)
        return {**self._head(), "title": title, "messages": count}

    def whole(self) -> dict[str, Any]:
        """`{id, created, updated, messages: [...]}`."""
        return {**self._head(), "messages": list(self.messages)}

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "created": round(self.created, 3), "updated": round(self.updated, 3)}


class Conversations:
    """At most `limit`, the least recently used going first."""

    def __init__(self, limit: int, wall: Callable[[], float] = time.time) -> None:
        self._limit, self._wall = limit, wall
        self._lock = threading.Lock()
        self._conversations: OrderedDict[str, Conversation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._conversations)

    def create(self, conversation_id: str, client_id: str) -> None:
        """A new, empty conversation."""
        now = self._wall()
        with self._lock:
            while len(self._conversations) >= self._limit:
                self._conversations.popitem(last=False)
            self._conversations[conversation_id] = Conversation(conversation_id, client_id, now, now)

    def ask(self, conversation_id: str, client_id: str, asked: list[Message], anew: bool) -> list[Message]:
        """Adds what is asked, or with `anew` puts it in the place of what is stored; returns all of it.

        Raises NotFound.
        """
        with self._lock:
            conversation = self._own(conversation_id, client_id)
            conversation.messages = [*([] if anew else conversation.messages), *asked]
            conversation.updated = self._wall()
            return list(conversation.messages)

    def add(self, conversation_id: str, message: Message) -> None:
        """Adds one message; nothing where the conversation was deleted meanwhile."""
        with self._lock:
            conversation = self._conversations.get(conversation_id)
            if conversation:
                self._conversations.move_to_end(conversation_id)
                conversation.messages = [*conversation.messages, message]
                conversation.updated = self._wall()

    def get(self, conversation_id: str, client_id: str) -> dict[str, Any]:
        """The whole conversation, see `Conversation.whole`. Raises NotFound."""
        with self._lock:
            return self._own(conversation_id, client_id).whole()

    def list(self, client_id: str) -> list[dict[str, Any]]:
        """The client's own, the most recent first, see `Conversation.summary`."""
        with self._lock:
            own = [c for c in self._conversations.values() if c.client_id == client_id]
        return [c.summary() for c in sorted(own, key=lambda c: c.updated, reverse=True)]

    def delete(self, conversation_id: str, client_id: str) -> None:
        """Raises NotFound."""
        with self._lock:
            self._own(conversation_id, client_id)
            del self._conversations[conversation_id]

    def _own(self, conversation_id: str, client_id: str) -> Conversation:
        """Needs the lock. Another's is as unknown as none: ids are not to be tried out."""
        conversation = self._conversations.get(conversation_id)
        if conversation is None or conversation.client_id != client_id:
            raise NotFound("No such conversation of this client", field="conversationId")
        self._conversations.move_to_end(conversation_id)
        return conversation
