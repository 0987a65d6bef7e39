"""wsgi:app behind middlewares, as people put them: each `app` here is one that gunicorn can serve.

It is the application that tells what it holds (tests/rig/probe.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.rig.probe import app

Environ = dict[str, Any]
Start = Callable[..., Any]


class Counted:
    """An iterable of one's own around the application's, that counts and closes as it should."""

    def __init__(self, items: Iterable[bytes]) -> None:
        self._items, self._iterator, self.count = items, iter(items), 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data = next(self._iterator)
        self.count += len(data)
        return data

    def close(self) -> None:
        close = getattr(self._items, "close", None)
        if close:
            close()


def counting(environ: Environ, start: Start) -> Iterable[bytes]:
    return Counted(app(environ, start))


def heading(environ: Environ, start: Start) -> Iterable[bytes]:
    """Adds a header; what the server's start_response gave back is given on."""

    def begin(status: str, headers: list[tuple[str, str]], *exc: object) -> Any:
        return start(status, [*headers, ("X-Wrapped", "yes")], *exc)

    return app(environ, begin)


def hiding(environ: Environ, start: Start) -> Iterable[bytes]:
    """What start_response gives back is a function of its own."""

    def begin(status: str, headers: list[tuple[str, str]], *exc: object) -> Callable[[bytes], None]:
        write = start(status, headers, *exc)
        return lambda data: write(data)

    return app(environ, begin)


class Late(Counted):
    """Holds each item back until the next one is there, as one does who wants to know the last."""

    def __init__(self, items: Iterable[bytes]) -> None:
        super().__init__(items)
        self._held = b""

    def __next__(self) -> bytes:
        while True:
            following = next(self._iterator, b"")
            data, self._held = self._held, following
            if data:
                return data
            if not following:
                raise StopIteration


def holding_back(environ: Environ, start: Start) -> Iterable[bytes]:
    return Late(app(environ, start))


def gathering(environ: Environ, start: Start) -> Iterable[bytes]:
    """The first two items leave as one."""
    items = app(environ, start)

    def gathered() -> Iterator[bytes]:
        iterator = iter(items)
        yield next(iterator, b"") + next(iterator, b"")
        yield from iterator

    made = Counted(gathered())
    made.close = getattr(items, "close", lambda: None)  # type: ignore[method-assign]
    return made
