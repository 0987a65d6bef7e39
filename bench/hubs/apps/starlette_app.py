"""sse-starlette as its documentation shows it: a queue and a generator for each stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from pacing import beats
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

queues: dict[asyncio.Queue[str], None] = {}  # in the order in which they came
tasks: set[asyncio.Task[None]] = set()


async def sub(request: Request) -> EventSourceResponse:
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues[queue] = None

    async def events() -> AsyncIterator[dict[str, str]]:
        try:
            yield {"comment": "ok"}
            while True:
                yield {"data": await queue.get()}
        finally:
            del queues[queue]

    return EventSourceResponse(events(), ping=15)


async def pub(request: Request) -> Response:
    text = (await request.body()).decode()
    for queue in queues:
        queue.put_nowait(text)
    return Response(status_code=204)


async def produce(request: Request) -> Response:
    seconds, start = float(request.query_params["seconds"]), time.monotonic_ns()
    for number, queue in enumerate(queues):
        task = asyncio.create_task(play(queue, number, seconds, start))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    return Response(status_code=204)


async def play(queue: asyncio.Queue[str], number: int, seconds: float, start: int) -> None:
    for due, text in beats(number, seconds, start):
        if (wait := due - time.monotonic_ns()) > 0:
            await asyncio.sleep(wait / 1e9)
        queue.put_nowait(f'{{"content":"{text}"}}')


app = Starlette(
    routes=[
        Route("/sub", sub),
        Route("/pub", pub, methods=["POST"]),
        Route("/produce", produce, methods=["POST"]),
    ]
)
