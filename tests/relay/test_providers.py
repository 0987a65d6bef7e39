"""Every entry of docs/upstreams.md is answered by its own provider's server, and refused by all others."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.errors import SettingsError, UpstreamError
from app.local_model import LocalModel
from app.relay.deltas import Delta, Finished, Message, Usage
from app.relay.upstream import Upstream
from app.upstreams import Entry, load
from tests.relay import heard
from tests.relay.providers import PROVIDERS, Said
from tests.rig.provider import ProviderServer

DOCUMENT = (Path(__file__).parents[2] / "docs/upstreams.md").read_text()
BLOCKS = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", DOCUMENT, re.M | re.S)]
ENTRIES = {block["name"]: block for block in BLOCKS if isinstance(block, dict)}
FILES = [block for block in BLOCKS if isinstance(block, list)]
KEYS = {name: f"key-of-{name}-0123456789" for name in PROVIDERS}
WRONG = "wrong-key-9876543210"
# Whoever asks it is answered.
KEYLESS = {"ollama"}
# A deployment has its model in its path.
OPTIONAL = {("azure-deployment", "model"), ("azure-2024-06-01", "model")}
# What an entry says besides its address: without any one of these no answer is had.
NEEDED = [
    (name, field)
    for name, written in ENTRIES.items()
    for field in ("path", "headers", "key_env", "model", "body")
    if field in written and (name, field) not in OPTIONAL
]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """The address of each provider's server."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(ProviderServer(provider, KEYS[name])).address
            for name, (provider, _) in PROVIDERS.items()
        }


def entry(name: str, address: str, folder: Path, without: str = "", **env: str) -> Entry:
    """The entry of the document as the app loads it. Of its address scheme, host and port are others."""
    written = {field: value for field, value in ENTRIES[name].items() if field != without}
    written["url"] = re.sub(r"^https?://[^/]+", address, written["url"])
    file = folder / "upstreams.json"
    file.write_text(json.dumps([written]))
    (loaded,) = load(str(file), {written.get("key_env", ""): KEYS[name], **env})
    return loaded


def answer(entry: Entry, **options: Any) -> Said:
    """A whole answer of this upstream."""
    message, usage, reasons = Message(), None, []
    asked = {**options, "messages": [{"role": "user", "content": "hi"}]}
    if entry.model:
        asked["model"] = entry.model
    for item in heard(Upstream(**entry.arguments()), asked):
        if isinstance(item, Delta):
            message.add(item.data)
        elif isinstance(item, Usage):
            usage = item.data
        elif isinstance(item, Finished):
            reasons.append(item.reason)
    assert reasons[1:] == [""], "one reason, and [DONE] after it"
    data = message.data()
    return Said(data["content"], data.get("reasoning", ""), usage, reasons[0])


def test_the_document_has_an_entry_for_each_provider_and_no_other() -> None:
    assert ENTRIES.keys() == PROVIDERS.keys()


def test_every_whole_file_in_the_document_is_taken(tmp_path: Path) -> None:
    assert FILES
    for items in FILES:
        (tmp_path / "upstreams.json").write_text(json.dumps(items))
        env = {item["key_env"]: WRONG for item in items if "key_env" in item}
        assert [entry.name for entry in load(str(tmp_path / "upstreams.json"), env)]


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_whole_answer_is_had_with_the_documents_entry(
    name: str, servers: dict[str, str], tmp_path: Path
) -> None:
    assert answer(entry(name, servers[name], tmp_path)) == PROVIDERS[name][1]


@pytest.mark.parametrize(
    ("name", "other"), [(name, other) for name in PROVIDERS for other in PROVIDERS if name != other]
)
def test_the_entry_for_one_provider_is_refused_by_the_others(
    name: str, other: str, servers: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(UpstreamError) as refused:
        answer(entry(name, servers[other], tmp_path))
    assert refused.value.code in ("auth", "upstream_status")
    assert not refused.value.retryable


@pytest.mark.parametrize(("name", "field"), NEEDED)
def test_nothing_stands_in_an_entry_that_is_not_needed(
    name: str, field: str, servers: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises((UpstreamError, SettingsError)):
        answer(entry(name, servers[name], tmp_path, without=field))


@pytest.mark.parametrize(("name", "field"), sorted(OPTIONAL))
def test_what_may_be_left_out_may_be_left_out(
    name: str, field: str, servers: dict[str, str], tmp_path: Path
) -> None:
    assert answer(entry(name, servers[name], tmp_path, without=field)) == PROVIDERS[name][1]


@pytest.mark.parametrize("name", sorted(PROVIDERS.keys() - KEYLESS))
def test_a_wrong_key_is_said_and_never_shown(
    name: str, servers: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Though the servers repeat it in what they refuse it with."""
    caplog.set_level("DEBUG")
    wrong = entry(name, servers[name], tmp_path, **{ENTRIES[name]["key_env"]: WRONG})
    with pytest.raises(UpstreamError) as refused:
        answer(wrong)
    assert refused.value.code == "auth"
    assert not refused.value.retryable
    shown = "".join(traceback.format_exception(refused.value))
    assert "answered 401" in shown
    assert WRONG not in f"{shown} {refused.value!r} {wrong!r} {Upstream(**wrong.arguments())!r} {caplog.text}"


def test_a_field_that_the_document_keeps_out_is_kept_out_whoever_sends_it(
    servers: dict[str, str], tmp_path: Path
) -> None:
    """OpenAI's reasoning models refuse `max_tokens`, and pages send it."""
    loaded = entry("openai", servers["openai"], tmp_path)
    assert answer(loaded, max_tokens=5) == PROVIDERS["openai"][1]
    with pytest.raises(UpstreamError, match="Unrecognized request argument supplied: temperature"):
        answer(loaded, temperature=0.5)


@pytest.mark.model
def test_a_real_llama_cpp_answers_the_entry_for_it(model: LocalModel, tmp_path: Path) -> None:
    address = model.url.removesuffix("/v1")
    said = answer(entry("llama.cpp", address, tmp_path, LLAMA_KEY=model.key), max_tokens=4)
    assert said.text
    assert said.reason == "length"
    assert said.usage
    assert said.usage["completion_tokens"] == 4
    with pytest.raises(UpstreamError, match="Invalid API Key") as refused:
        answer(entry("llama.cpp", address, tmp_path, LLAMA_KEY=WRONG))
    assert refused.value.code == "auth"
