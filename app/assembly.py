"""The composition root: makes one of each part, hands each what it may not know, and mounts the web on them.

Called by `create_app` only.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask, Response, request
from flask_cors import CORS

from app import upstreams
from app.chat.conversations import Conversations
from app.hub.hub import Hub
from app.hub.limits import Limits
from app.hub.log import Retention
from app.hub.sweep import Sweep
from app.relay.clocks import Allowed
from app.relay.deltas import Message, merge
from app.relay.generation import Generation
from app.relay.inlets import Inlets, Read, in_thread
from app.relay.places import Bounds
from app.relay.relay import Relay
from app.relay.retry import RetryPolicy
from app.relay.upstream import Upstream
from app.relay.watch import Leaving
from app.relay.worker import Size, Worker
from app.settings import Settings
from app.web import admin, assets, chat, ops, pages, problems, sse, streams
from app.web.address import Addresses
from app.web.built import Assets
from app.web.door import Door
from app.web.files import Files
from app.web.guard import ALWAYS, Guard
from app.web.parts import NAME, Parts
from app.web.request_ids import HEADER, request_id
from app.web.streams import Streams


def assemble(settings: Settings) -> Flask:
    """A Flask application on its own hub, relay and conversations."""
    app = Flask("app", template_folder="../templates", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.body_bytes
    app.extensions[NAME] = make_parts(settings)
    problems.register(app)
    guard = Guard(settings)
    app.before_request(lambda: guard.check(request.environ, request.endpoint))
    app.after_request(_harden)
    app.teardown_request(streams.give_back)
    for module in (sse, chat, admin, pages, assets, ops):
        app.register_blueprint(module.bp, url_prefix=settings.url_prefix + (module.bp.url_prefix or ""))
    if settings.cors_origins:
        CORS(
            app,
            # Compiled, for it takes what looks like an expression, http://[::1], for one.
            origins=[re.compile(rf"{re.escape(origin)}\Z") for origin in settings.cors_origins],
            always_send=False,
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID", "Cache-Control", HEADER],
            expose_headers=["Retry-After", HEADER],
            max_age=7200,
        )
    door = Door(app, app.extensions[NAME], guard, f"{settings.url_prefix}/sse/createConnect")
    app.wsgi_app = door  # type: ignore[method-assign]  # Flask's own way to put something in front
    return app


def make_parts(settings: Settings) -> Parts:
    """Hub, relay and conversations as the settings want them; the relay is handed `publish`, not the hub."""
    hub = Hub(_limits(settings), Message, merge)
    conversations = Conversations(settings.conversations)
    relay = _relay(settings, hub, partial(chat.keep, conversations))
    hub.upkeep.elsewhere = relay.held
    return Parts(
        settings,
        hub,
        Sweep(hub.upkeep),
        relay,
        conversations,
        Streams(hub, settings.outlet),
        Addresses(settings.trusted_proxies),
        Files(),
        Assets(settings.url_prefix),
    )


def _relay(settings: Settings, hub: Hub, keep: Callable[[Generation], None]) -> Relay:
    retry = RetryPolicy(
        settings.retry_attempts, settings.retry_base, settings.retry_budget, settings.retry_after_max
    )
    size = Size(settings.answer_tokens, settings.answer_bytes)
    return Relay(
        Worker(_upstreams(settings), hub.publish, keep, size=size, retry=retry),
        bounds=Bounds(
            worker=settings.answers_worker,
            client=settings.answers_client,
            waiting=settings.answers_waiting,
            known=settings.idempotency_keys,
        ),
        allowed=Allowed(
            first=settings.first_timeout,
            content=settings.content_timeout,
            bytes=settings.byte_timeout,
            total=settings.total_timeout,
            waiting=settings.wait_timeout,
        ),
        leaving=Leaving(hub.listening, settings.leave_grace, settings.answers_unread),
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        mailbox=Retention(settings.mailbox_events, settings.mailbox_bytes, settings.mailbox_age),
        news=Retention(settings.broadcast_events, settings.broadcast_bytes, settings.broadcast_age),
        clients=settings.mailboxes,
        connections=settings.connections_worker,
        connections_client=settings.connections_client,
        connections_address=settings.connections_address,
        memory=settings.memory_bytes,
        heartbeat=settings.heartbeat,
        lifetime=settings.lifetime,
        slow=settings.slow_reader,
        retry_ms=settings.retry_ms,
        client_memory=settings.client_memory,
        keys=settings.idempotency_keys,
    )


def _upstreams(settings: Settings) -> list[Upstream]:
    """Those of the file, the best first, or the one of UPSTREAM_URL. Raises SettingsError."""
    shared: dict[str, Any] = {
        "connect_timeout": settings.connect_timeout,
        "read_timeout": settings.total_timeout,
        "max_event": settings.upstream_event_bytes,
        "environment": settings.upstream_environment,
        "read": _reading(),
    }
    if settings.upstreams:
        entries = upstreams.load(settings.upstreams, os.environ)
        return [Upstream(**entry.arguments(), **shared) for entry in entries]
    return [
        Upstream(
            settings.upstream_url,
            settings.upstream_key.get_secret_value(),
            settings.upstream_model,
            context=settings.upstream_context,
            **shared,
        )
    ]


def _reading() -> Read:
    """How upstreams are read: where threads are greenlets on their event loop, else each in its thread."""
    if "gevent.monkey" not in sys.modules:
        return in_thread
    from app.hub.loop import GeventLoop, epoll, rules

    return Inlets(lambda: (GeventLoop(), epoll())).read if rules() else in_thread


def _harden(response: Response) -> Response:
    response.headers.update(ALWAYS)
    if response.mimetype != "text/event-stream":  # whose heads are alike, and made once for many
        response.headers[HEADER] = request_id(request.headers.get(HEADER, ""))
    return response
