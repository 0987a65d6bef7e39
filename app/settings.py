"""Every setting: its type, its default and the reason for it.

Read once, from the environment, by the composition root, the command line and gunicorn.conf.py; the hub and
the relay are handed plain values. `docs/settings.md` is generated from this file (`python -m app.cli settings`).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import SettingsError

KIB, MIB = 1024, 1024 * 1024


def is_loopback(host: str) -> bool:
    """True for localhost and the loopback addresses of IPv4 and IPv6."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _names(value: Any) -> Any:
    """'a, b' as ('a', 'b'): lists come from the environment separated by commas."""
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


def _prefix(value: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", value):
        raise ValueError(
            "starts with / and does not end with one, like /hub: letters, digits and . _ ~ - between"
        )
    return value


def _v1(value: str) -> str:
    if value and not re.match(
        r"https?://([^/?#@]*@)?(\[[0-9A-Fa-f:.]+\]|[^][/?#@:\s]+)(:[0-9]+)?(/|$)", value
    ):
        raise ValueError("is an http:// or https:// address, like https://api.example.com/v1")
    return value.rstrip("/")


def _long(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value()) < 32:
        raise ValueError("needs at least 32 characters, or none at all to keep /admin closed")
    return value


def _header(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()  # a file's last line break
    if not text.isascii() or not text.isprintable():
        raise ValueError("holds what no header can carry: a line break or a letter beyond ASCII")
    return SecretStr(text)


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not re.fullmatch(
            r"\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*|[^][:/?#@*\s]+", name
        ):
            raise ValueError(f"are names or addresses alone, without port, like chat.example, not {name}")
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        if origin != "null" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/A-Z*@\s]+", origin):
            raise ValueError(f"are written as browsers send them, like https://shop.example, not {origin}")
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for network in value:
        if network != "none":
            ipaddress.ip_network(network, strict=False)  # its ValueError says what is wrong
    if "none" in value and len(value) > 1:
        raise ValueError("are either networks or `none`, not both")
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
Count = Annotated[int, Field(ge=1)]
# Clocks overflow somewhere beyond a year; nobody means to wait that long.
YEAR = 366 * 86_400
Seconds = Annotated[float, Field(gt=0, le=YEAR, allow_inf_nan=False)]


class Settings(BaseSettings):
    """All settings of one process, frozen. Build it with `Settings.load()`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True
    )

    # Where it listens and who may come
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Anything but loopback needs `AUTH=open` in so many words: there is no log-in yet.",
    )
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    auth: Literal["", "open"] = Field(
        "", description="`open`: whoever reaches the port may use it. Empty means the same, on loopback only."
    )
    allowed_hosts: Annotated[Names, AfterValidator(_hosts)] = Field(
        (),
        description="Further `Host` names to answer to, by comma. Loopback and `HOST` always are; others get 403, so that no foreign name can be pointed at this server (DNS rebinding).",
    )
    cors_origins: Annotated[Names, AfterValidator(_origins)] = Field(
        (),
        description="Origins of other sites whose pages may call this server, by comma, like `https://shop.example`. Others get 403.",
    )
    admin_token: Annotated[SecretStr, AfterValidator(_header), AfterValidator(_long)] = Field(
        SecretStr(""),
        description="Bearer token of `/admin`, at least 32 characters. Empty: `/admin` is closed.",
    )
    trusted_proxies: Annotated[Names, AfterValidator(_networks)] = Field(
        (),
        description="Addresses or networks of the proxies in front, by comma, whose `X-Forwarded-For` is believed; `none`: there is no proxy, browsers come straight here. Set, streams are capped by address.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is written to stderr, beside gunicorn's own lines."
    )
    url_prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        "", description="Put before every path, like `/chat`, where a proxy serves more than this."
    )
    web_concurrency: Count = Field(
        1, description="Workers. More than 1 is refused: in memory, a client's mailbox lives in one process."
    )

    # Who answers
    upstream_url: Annotated[str, AfterValidator(_v1)] = Field(
        "",
        repr=False,  # user:password@ may stand in it
        description="An OpenAI-compatible server, up to and with `/v1`. Empty: the embedded model answers.",
    )
    upstream_key: Annotated[SecretStr, AfterValidator(_header)] = Field(
        SecretStr(""), description="Its key, sent as Bearer."
    )
    upstreams: str = Field(
        "",
        description="A JSON file with several upstreams, in the place of `UPSTREAM_URL` and what belongs to it: docs/upstreams.md.",
    )
    upstream_model: str = Field("", description="The model to ask for, where a request names none.")
    upstream_context: int = Field(
        0,
        ge=0,
        description="Tokens the model holds; the oldest turns of a conversation are left out to fit. 0: send all, the upstream knows.",
    )

    upstream_environment: bool = Field(
        False,
        description="Whether `HTTPS_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE` and the like of the environment hold for upstreams. No SOCKS.",
    )

    # The clocks of an answer
    connect_timeout: Seconds = Field(10.0, description="Seconds to reach the upstream.")
    first_timeout: Seconds = Field(
        300.0, description="Seconds until the first text: models think for 30 to 300."
    )
    content_timeout: Seconds = Field(120.0, description="Seconds between two texts.")
    byte_timeout: Seconds = Field(300.0, description="Seconds without a single byte, comments included.")
    total_timeout: Seconds = Field(1800.0, description="Seconds for a whole answer.")
    wait_timeout: Seconds = Field(
        300.0, description="Seconds in line; then the question ends with the error `busy`."
    )

    # Trying again, before the first text only
    retry_attempts: Count = Field(
        3, description="Tries of each upstream for one answer, before its first text."
    )
    retry_base: Seconds = Field(
        0.5,
        description="Seconds of the first wait, doubled each time, with full jitter, so that many clients do not come back at once.",
    )
    retry_budget: Seconds = Field(
        60.0,
        description="Seconds from the start of an answer until which an upstream that failed may be asked again.",
    )
    retry_after_max: Seconds = Field(
        30.0,
        description="The longest `Retry-After` that is obeyed; an upstream that asks for more is not asked again.",
    )

    # How large
    answers_worker: Count = Field(
        500, description="Answers at once in this process: a thread each. Further questions wait in line."
    )
    answers_client: Count = Field(
        3, description="Answers at once for one client; its further questions wait in line."
    )
    answers_waiting: Count = Field(
        200,
        description="Questions in line, of which one client may have a tenth; further ones are turned away (503, 429).",
    )
    on_leave: Literal["continue", "cancel"] = Field(
        "continue",
        description="What becomes of an answer whose client has no open stream for `LEAVE_GRACE`, where the request doesn't say: `continue`, so that it is there when people come back, or `cancel`.",
    )
    leave_grace: Seconds = Field(
        60.0,
        description="Seconds without any open stream after which a client counts as gone: long enough for a reload or a tunnel.",
    )
    answers_unread: Count = Field(
        100,
        description="Answers that may go on with their client gone; beyond, those longest alone end as `left`.",
    )
    answer_tokens: Count = Field(32_768, description="Deltas of one answer; then it ends with `length`.")
    answer_bytes: Count = Field(2 * MIB, description="Bytes of one answer; then it ends with `length`.")
    upstream_event_bytes: Count = Field(
        8 * MIB, description="Bytes of one event of the upstream; a larger one is an error, not memory."
    )
    message_bytes: Count = Field(1 * MIB, description="Bytes of the `data` of one message.")
    body_bytes: Count = Field(1280 * KIB, description="Bytes of a request's body.")
    conversations: Count = Field(
        1_000, description="Conversations kept in memory; the least recently used goes first."
    )

    # Mailboxes and connections
    mailbox_events: Count = Field(
        2_000, description="Events a mailbox keeps; adjacent deltas of one answer count as one."
    )
    mailbox_bytes: Count = Field(4 * MIB, description="Bytes a mailbox keeps.")
    mailbox_age: Seconds = Field(
        600.0, description="Seconds a mailbox keeps an event: a phone comes out of a tunnel in less."
    )
    broadcast_events: Count = Field(1_000, description="Events the broadcast log keeps.")
    broadcast_bytes: Count = Field(
        64 * MIB, description="Bytes the broadcast log keeps: one for the whole process."
    )
    broadcast_age: Seconds = Field(600.0, description="Seconds the broadcast log keeps an event.")
    mailboxes: Count = Field(50_000, description="Clients known at once; then the longest idle goes first.")
    client_memory: Seconds = Field(
        60.0, description="Seconds a client without connection, answer or event is remembered."
    )
    memory_bytes: Count = Field(
        512 * MIB,
        description="All mailboxes and texts together. Beyond, the oldest handed events of the longest idle go (their cursors get `reset`); where there are none, `send` and `chat` get 503.",
    )
    connections_worker: Count = Field(10_000, description="Open streams of this process.")
    connections_client: Count = Field(10, description="Open streams of one client: tabs and devices.")
    connections_address: Count = Field(
        200,
        description="Open streams of one address (IPv6: of one /64). Counted where `TRUSTED_PROXIES` is set.",
    )
    heartbeat: float = Field(
        15.0,
        ge=1,
        le=30,
        description="Seconds of silence before a comment is sent, to the second: proxies and our own browser client give a stream up at 60.",
    )
    lifetime: Seconds = Field(
        1800.0,
        description="Seconds after which a stream is asked to come back, × U(0.8, 1.0), so that load spreads over servers anew and none lives for ever; never while an answer of its client runs.",
    )
    outlet: Literal["auto", "socket", "generator"] = Field(
        "auto",
        description="How bytes leave. `socket`: the stream's own socket, taken from gunicorn's gevent worker, one send for all that gathered. `generator`: the server's way, any WSGI server. `auto`: the first where it can work; the log says which, and why.",
    )
    slow_reader: Seconds = Field(
        30.0,
        description="Seconds in which a reader must take something of what is written to it; then it is cut, and comes back where it was.",
    )
    retry_ms: Count = Field(
        2_000,
        description="The `retry:` a stream begins with, ± 50 %: milliseconds before a browser comes back.",
    )
    idempotency_keys: Count = Field(
        100_000,
        description="Ids of `send`, of `broadcast` and of answers remembered at once; then calls that bring a new one get 503.",
    )
    drain_grace: float = Field(
        25.0,
        gt=0,
        le=25,
        description="Seconds that running answers may take after SIGTERM; below gunicorn's `graceful_timeout` of 30.",
    )

    @classmethod
    def load(cls, **given: Any) -> Settings:
        """Settings from the environment, overridden by `given`; raises SettingsError in one sentence."""
        try:
            settings = cls(**given)
        except ValidationError as error:
            lines = (f"{str(e['loc'][0]).upper()}: {_plain(e['msg'])}" for e in error.errors())
            raise SettingsError("; ".join(lines)) from None
        settings.check()
        return settings

    def check(self) -> None:
        """What no single field can say."""
        if not is_loopback(self.host) and self.auth != "open":
            raise SettingsError(
                f"HOST={self.host} lets others in and there is no log-in: set AUTH=open if that is meant, "
                "or leave HOST at 127.0.0.1"
            )
        if self.upstreams and self.upstream_url:
            raise SettingsError("UPSTREAMS and UPSTREAM_URL are both set: put the one into the other's file")
        if self.upstreams and (
            self.upstream_key.get_secret_value() or self.upstream_model or self.upstream_context
        ):
            raise SettingsError(
                "UPSTREAM_KEY, UPSTREAM_MODEL and UPSTREAM_CONTEXT say nothing beside UPSTREAMS: put them into its file"
            )
        if self.web_concurrency > 1:
            raise SettingsError(
                f"WEB_CONCURRENCY={self.web_concurrency} would split the mailboxes over processes that do not "
                "know each other: use 1; one worker carries 10,000 streams"
            )


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
