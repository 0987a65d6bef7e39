"""One client: what counts as handed to it, which of its streams count, and what is told of it."""

from __future__ import annotations

import pytest

from app.hub.client import Client
from app.hub.connection import Connection
from app.hub.events import make_event
from app.hub.mailbox import Mailbox
from tests.hub.kit import ROOMY, Text

EPOCH = "0123abcd"


@pytest.fixture
def client() -> Client:
    """Three events, of which the first was handed."""
    box = Mailbox(ROOMY, 0, Text)
    for number, kind in enumerate(("message", "message", "[DONE]"), start=1):
        box.append(make_event(EPOCH, number, kind, "", b"{}", 0.0))
    box.handed = 1
    return Client("c", box, 0.0)


def connect(client: Client, written: int) -> Connection:
    connection = Connection("id", "c", written=written)
    client.connections.append(connection)
    return connection


def test_handed_is_what_an_ended_stream_had_taken_or_an_open_one_was_written(client: Client) -> None:
    assert client.mark == 1
    connect(client, 0)
    assert client.mark == 1
    connect(client, 2)
    assert client.mark == 2


def test_a_stream_that_is_about_to_end_is_no_open_one(client: Client) -> None:
    ended, stays = connect(client, 0), connect(client, 0)
    ended.end("closed")
    assert client.open == [stays]


def test_idle_is_who_has_neither_a_stream_nor_a_running_answer(client: Client) -> None:
    assert client.idle
    connect(client, 0).end("gone")
    assert not client.idle, "its outlet still holds it"
    client.connections.clear()
    client.mailbox.append(make_event(EPOCH, 4, "started", "g", b"{}", 0.0), {"generationId": "g"})
    assert not client.idle


def test_what_is_told_of_a_client(client: Client) -> None:
    connect(client, 0)
    connect(client, 0).end("closed")
    assert client.view(EPOCH) == {
        "clientId": "c",
        "connections": 1,
        "waiting": 1,
        "lastEventId": "0123abcd.3",
        "generations": [],
    }
