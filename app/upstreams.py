"""Several upstreams, from the file that the setting UPSTREAMS names, each checked before the first answer.

Called by the composition root, which makes an Upstream of each Entry. The file says where keys are, in which
environment variables, and never what they are: it may be shown, mailed and committed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from app.errors import SettingsError
from app.keyless import bears, check_address, says_secret, texts

_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^][/?#@:\s]+)(:[0-9]+)?"
# What the relay sets itself, or what is between two machines and not between the two programs.
_RELAYS_OWN = frozenset(
    {
        *("accept", "accept-encoding", "content-encoding", "content-length", "content-type", "expect"),
        *("connection", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        "upgrade",
    }
)


def address(value: str) -> str:
    """The address of an upstream, without its last slash. ValueError: it is none, or holds more than one."""
    if re.match(r"https?://[^/?#]*@", value):
        raise ValueError(
            "holds a user or a password: leave them out, and send the header Authorization: Basic {key}"
        )
    check_address(value)
    if "?" in value or "#" in value:
        raise ValueError("has a query: that belongs into path")
    if not re.fullmatch(rf"https?://{_HOST}(/[!-~]*)?", value):
        raise ValueError("is an http:// or https:// address, like https://api.example.com/v1")
    return value.rstrip("/")


def _name(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("is of printable characters, without a space at either end")
    return value


def _path(value: str) -> str:
    if not re.fullmatch(r"/[!-~]*", value) or "#" in value:
        raise ValueError("begins with / and follows the url, like /chat/completions?api-version=1")
    check_address(value)
    return value


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ValueError(f"{name!r} is no header's name: letters, digits and - only")
        if name.lower() in _RELAYS_OWN:
            raise ValueError(f"{name} is set by the relay: leave it out")
        if bears(value) or ("{key}" not in value and says_secret(name)):
            raise ValueError(f"{name} is a secret: write {{key}} in its place, and where it is into key_env")
        if not re.fullmatch(r"[ -~]*", value) or value != value.strip():
            raise ValueError(f"{name} holds what no header can carry: a line break or a letter beyond ASCII")
    return headers


def _body(body: dict[str, Any]) -> dict[str, Any]:
    for name in ("messages", "stream"):
        if name in body:
            raise ValueError(f"{name} is set by the relay: leave it out")
    if "model" in body:
        raise ValueError("model is a field of its own, beside body")
    if body.get("stream_options") is not None:
        raise ValueError("stream_options is set by the relay: null keeps it out, nothing else")
    for name, text in texts(body):
        if bears(text) or (text and says_secret(name)):
            raise ValueError(f"{name!r} is a secret: send it in headers, with {{key}} in its place")
    return body


class Entry(BaseModel):
    """One upstream of the file, its key beside it.

    `order`: lower ones are tried first; `context`: tokens the model holds, 0: send all, the upstream knows.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_name)]
    url: Annotated[str, AfterValidator(address)]
    path: Annotated[str, AfterValidator(_path)] = "/chat/completions"
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field({}, repr=False)
    key_env: str = ""
    model: Annotated[str, AfterValidator(_name)] = ""
    body: Annotated[dict[str, Any], AfterValidator(_body)] = Field({}, repr=False)
    ca: str = ""
    context: int = Field(0, ge=0)
    order: int = 0
    _key: SecretStr = PrivateAttr(SecretStr(""))

    @field_validator("key_env")
    @classmethod
    def _names_a_variable(cls, value: str, info: ValidationInfo) -> str:
        # Capitals only, so that a key that was put here by mistake is not repeated in the error.
        if not re.fullmatch(r"([A-Z_][A-Z0-9_]*)?", value):
            raise ValueError("is the name of an environment variable, in capitals, not the key itself")
        key = _key_of(value, info.context)
        if value and not key:
            raise ValueError(f"names {value}, which is not set: export it, or leave key_env out")
        if not re.fullmatch(r"[ -~]*", key):
            raise ValueError(f"{value} holds what no header can carry: a line break or a letter beyond ASCII")
        return value

    @field_validator("ca")
    @classmethod
    def _holds_certificates(cls, value: str, info: ValidationInfo) -> str:
        """A path is taken from where the file is, not from where the server was started."""
        path = Path((info.context or {}).get("folder", ""), value)
        try:
            if value and not re.search(rb"-----BEGIN (TRUSTED )?CERTIFICATE-----", path.read_bytes()):
                raise ValueError(f"{path} holds no certificate in PEM form")
        except OSError as error:
            raise ValueError(f"{path} can't be read: {error.strerror}") from None
        return str(path.absolute()) if value else ""

    @model_validator(mode="after")
    def _has_a_key_for_its_headers(self) -> Entry:
        if not self.key_env and any("{key}" in value for value in self.headers.values()):
            raise ValueError("headers hold {key}, and there is no key_env to say where it is")
        return self

    def model_post_init(self, context: Any) -> None:
        self._key = SecretStr(_key_of(self.key_env, context))

    @property
    def key(self) -> SecretStr:
        return self._key

    def arguments(self) -> dict[str, Any]:
        """What app.relay.upstream.Upstream is made of, besides clocks and bounds; the key is among it."""
        return {**self.model_dump(exclude={"key_env", "order"}), "key": self.key.get_secret_value()}


def _key_of(variable: str, context: Any) -> str:
    """What the environment holds, without a file's last line break; "" for no variable."""
    env: Mapping[str, str] = (context or {}).get("env", {})
    return env.get(variable, "").strip() if variable else ""


def load(path: str, env: Mapping[str, str]) -> list[Entry]:
    """The upstreams of the file at `path`, in the order in which they are tried; keys come from `env`.

    Raises SettingsError, in a sentence that says which entry and field are wrong, and never what a key is.
    """
    context = {"env": env, "folder": Path(path).absolute().parent}
    try:
        entries = [_entry(number, item, context) for number, item in enumerate(_items(path), 1)]
        if twice := _twice([entry.name for entry in entries]):
            raise ValueError(f"{twice[0]!r} is the name of two entries, and nothing else tells them apart")
    except ValueError as error:
        raise SettingsError(f"UPSTREAMS={path}: {error}") from None
    return sorted(entries, key=lambda entry: entry.order)


def _items(path: str) -> list[Any]:
    try:
        raw = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")  # as some editors begin a file
    except OSError as error:
        raise ValueError(f"it can't be read ({error.strerror}): give the path of a JSON file") from None
    try:
        items = orjson.loads(raw)
        orjson.dumps(items)  # as each request will be
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    except orjson.JSONEncodeError:
        raise ValueError("it is nested too deeply to be sent: 250 levels will do") from None
    if not isinstance(items, list) or not items:
        raise ValueError('it is not a list of upstreams, like [{"name": "a", "url": "https://a.example/v1"}]')
    json.loads(raw, object_pairs_hook=_each_once)
    return items


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    """Of two fields of one name a parser takes one in silence, and the other was meant."""
    if twice := _twice([name for name, _ in pairs]):
        raise ValueError(f"{twice[0]!r} stands twice in one object: keep one")


def _twice(names: list[str]) -> list[str]:
    return [name for name in names if names.count(name) > 1]


def _entry(number: int, item: Any, context: dict[str, Any]) -> Entry:
    name = item.get("name") if isinstance(item, dict) else None
    which = f"entry {number}" + (f" ({name[:200]!r})" if isinstance(name, str) else "")
    try:
        return Entry.model_validate(item, context=context)
    except ValidationError as error:
        said = "; ".join(_said(e["type"], e["loc"], e["msg"]) for e in error.errors())
        raise ValueError(f"{which}: {said}") from None


def _said(kind: str, where: tuple[int | str, ...], message: str) -> str:
    """`field: what is wrong with it`; no field where it is the whole entry."""
    return ": ".join(filter(None, (".".join(map(str, where)), _plain(kind, where, message))))


def _plain(kind: str, where: tuple[int | str, ...], message: str) -> str:
    """pydantic's message, in words that follow a field's name."""
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden" and says_secret(str(where[-1])):
        return "may not stand in the file: put it into an environment variable, and its name into key_env"
    if kind == "extra_forbidden":
        return f"is no field of an upstream: there are {', '.join(Entry.model_fields)}"
    if kind == "model_type":
        return "is not an object with name and url"
    return re.sub("(Input|String) should", "has to", message.removeprefix("Value error, "))
