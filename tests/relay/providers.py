"""The providers of docs/upstreams.md as their servers are: what they demand, how they refuse and stream.

Chunks are as the providers send them, down to the fields that nobody needs, with texts made short. Used by
test_providers.py, which knows them by the `name` of their entry in the document.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.rig.provider import Json, Provider

DONE = "data: [DONE]"
WITH_USAGE = {"stream_options": {"include_usage": True}}
USAGE = {"prompt_tokens": 11, "completion_tokens": 8, "total_tokens": 19}
SAFE = {"filtered": False, "severity": "safe"}
FILTERED = {"hate": SAFE, "self_harm": SAFE, "sexual": SAFE, "violence": SAFE}


@dataclass(frozen=True)
class Said:
    """A whole answer, as it has to arrive."""

    text: str
    reasoning: str = ""
    usage: Json | None = None
    reason: str = "stop"


def events(*said: Json | str) -> tuple[bytes, ...]:
    """Objects as data, texts as they are."""
    lines = (
        item if isinstance(item, str) else f"data: {json.dumps(item, ensure_ascii=False)}" for item in said
    )
    return tuple(f"{line}\n\n".encode() for line in lines)


def chunk(envelope: Json, delta: Json, finish: str | None = None, choice: Json | None = None) -> Json:
    return {**envelope, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **(choice or {})}]}


def by_openai(status: int, why: str, key: str) -> Json:
    code = {401: "invalid_api_key", 404: "model_not_found"}.get(status)
    return {"error": {"message": why, "type": "invalid_request_error", "param": None, "code": code}}


def by_azure(status: int, why: str, key: str) -> Json:
    return {"error": {"code": str(status), "message": f"Access denied or not found. {why}"}}


def by_deepseek(status: int, why: str, key: str) -> Json:
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    return {
        "error": {"message": f"{why} ({key})", "type": kind, "param": None, "code": "invalid_request_error"}
    }


def by_openrouter(status: int, why: str, key: str) -> Json:
    return {"error": {"message": why, "code": status, "metadata": {"headers": {"Authorization": key}}}}


def by_ollama(status: int, why: str, key: str) -> Json:
    kind = {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
    return {"error": {"message": why, "type": kind, "param": None, "code": None}}


def by_vllm(status: int, why: str, key: str) -> Json:
    if status == 401:
        return {"error": "Unauthorized"}
    return {"error": {"message": why, "type": "NotFoundError", "param": None, "code": status}}


def by_llama_cpp(status: int, why: str, key: str) -> Json:
    return {"error": {"message": why, "type": "authentication_error", "code": status}}


def openai() -> tuple[Provider, Said]:
    envelope: Json = {"id": "chatcmpl-C4Hq", "object": "chat.completion.chunk", "created": 1755137921}
    envelope |= {"model": "gpt-5-mini-2025-08-07", "service_tier": "default", "system_fingerprint": None}
    envelope |= {"usage": None, "obfuscation": "WuQNX"}
    details = {"reasoning_tokens": 4, "audio_tokens": 0, "accepted_prediction_tokens": 0}
    usage = {**USAGE, "completion_tokens_details": details}
    stream = events(
        chunk(envelope, {"role": "assistant", "content": "", "refusal": None}),
        chunk(envelope, {"content": "Grüße"}),
        chunk(envelope, {"content": " 👋"}),
        chunk(envelope, {}, "stop"),
        {**envelope, "choices": [], "usage": usage},
        DONE,
    )
    demanded = {**WITH_USAGE, "max_completion_tokens": int}  # its reasoning models refuse max_tokens
    provider = Provider("/v1/chat/completions", stream, by_openai, models=("gpt-5-mini",), fields=demanded)
    return provider, Said("Grüße 👋", usage=usage)


def azure_stream(*last: Json | str) -> tuple[bytes, ...]:
    envelope: Json = {"created": 1750697159, "id": "chatcmpl-Blea", "model": "gpt-4.1-2025-04-14"}
    envelope |= {"object": "chat.completion.chunk", "system_fingerprint": "fp_ee1d74bde0"}
    nobody = {"created": 0, "id": "", "model": "", "object": ""}
    prompt = [{"prompt_index": 0, "content_filter_results": FILTERED}]
    role = {"content": "", "refusal": None, "role": "assistant"}
    offsets = {"check_offset": 44, "start_offset": 44, "end_offset": 198}
    late = {"index": 0, "finish_reason": None, "content_filter_results": FILTERED}
    return events(
        {"choices": [], **nobody, "prompt_filter_results": prompt},
        chunk(envelope, role, choice={"content_filter_results": {}, "logprobs": None}),
        chunk(envelope, {"content": "Good"}, choice={"content_filter_results": FILTERED}),
        chunk(envelope, {"content": " morning"}, choice={"content_filter_results": FILTERED}),
        chunk(envelope, {}, "stop", {"content_filter_results": {}}),
        {"choices": [{**late, "content_filter_offsets": offsets}], **nobody},  # no delta: about what was said
        *last,
        DONE,
    )


def azure() -> tuple[Provider, Said]:
    stream = azure_stream({"choices": [], "usage": USAGE})
    path = "/openai/v1/chat/completions"
    provider = Provider(path, stream, by_azure, models=("my-gpt",), fields=WITH_USAGE)
    return provider, Said("Good morning", usage=USAGE)


def azure_deployment() -> tuple[Provider, Said]:
    path = "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    stream = azure_stream({"choices": [], "usage": USAGE})
    own: Any = {"header": "api-key", "form": "{key}", "models": ("my-gpt", None)}
    return Provider(path, stream, by_azure, fields=WITH_USAGE, **own), Said("Good morning", usage=USAGE)


def azure_2024_06_01() -> tuple[Provider, Said]:
    """Of before stream_options, which it refuses; so nobody counts."""
    path = "/openai/deployments/my-gpt/chat/completions?api-version=2024-06-01"
    own: Any = {"header": "api-key", "form": "{key}", "models": ("my-gpt", None)}
    return Provider(path, azure_stream(), by_azure, **own), Said("Good morning")


def deepseek() -> tuple[Provider, Said]:
    envelope: Json = {"id": "0e414c94", "object": "chat.completion.chunk", "created": 1777421458}
    envelope |= {"model": "deepseek-v4-flash", "system_fingerprint": "fp_8b330d02d0", "usage": None}
    usage = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 5}, "prompt_cache_hit_tokens": 6}
    stream = events(
        ": keep-alive",
        ": keep-alive",
        chunk(envelope, {"role": "assistant", "content": None, "reasoning_content": ""}),
        chunk(envelope, {"content": None, "reasoning_content": "We need"}),
        chunk(envelope, {"content": None, "reasoning_content": " a greeting."}),
        ": keep-alive",
        chunk(envelope, {"content": "你好", "reasoning_content": None}),
        chunk(envelope, {"content": "", "reasoning_content": None}, "stop"),
        {**envelope, "choices": [], "usage": usage},
        DONE,
    )
    demanded = {**WITH_USAGE, "thinking": {"type": "enabled"}}
    provider = Provider(
        "/chat/completions", stream, by_deepseek, models=("deepseek-v4-flash",), fields=demanded
    )
    return provider, Said("你好", "We need a greeting.", usage)


def openrouter() -> tuple[Provider, Said]:
    envelope: Json = {"id": "gen-1768896871-9HgA", "provider": "Anthropic", "created": 1768896871}
    envelope |= {"model": "anthropic/claude-sonnet-4.5", "object": "chat.completion.chunk"}
    usage = {**USAGE, "cost": 0.000093, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}
    running = {"native_finish_reason": None, "logprobs": None}
    thought = {"type": "reasoning.text", "text": "Short.", "format": "anthropic-claude-v1", "index": 0}
    thinking = {"role": "assistant", "content": "", "reasoning": "Short.", "reasoning_details": [thought]}
    hello = {"role": "assistant", "content": "Hello", "reasoning": None, "reasoning_details": []}
    ended = {"native_finish_reason": "end_turn", "logprobs": None}
    stream = events(
        *[": OPENROUTER PROCESSING"] * 3,
        chunk(envelope, thinking, choice=running),
        ": OPENROUTER PROCESSING",
        chunk(envelope, hello, choice=running),
        chunk(envelope, {"role": "assistant", "content": "."}, choice=running),
        chunk(envelope, {"role": "assistant", "content": ""}, "stop", ended),
        {**envelope, "choices": [], "usage": usage},
        DONE,
    )
    shown = {"HTTP-Referer": "https://chat.example", "X-OpenRouter-Title": "Chat"}
    own: Any = {"models": ("anthropic/claude-sonnet-4.5",), "fields": WITH_USAGE, "headers": shown}
    provider = Provider("/api/v1/chat/completions", stream, by_openrouter, **own)
    return provider, Said("Hello.", "Short.", usage)


def ollama() -> tuple[Provider, Said]:
    envelope: Json = {"id": "chatcmpl-801", "object": "chat.completion.chunk", "created": 1789103128}
    envelope |= {"model": "qwen3:8b", "system_fingerprint": "fp_ollama"}
    stream = events(
        chunk(envelope, {"role": "assistant", "content": "", "reasoning": "The"}),
        chunk(envelope, {"role": "assistant", "content": "", "reasoning": " user greets."}),
        chunk(envelope, {"role": "assistant", "content": "Hi"}),
        chunk(envelope, {"role": "assistant", "content": ""}, "stop"),
        {**envelope, "choices": [], "usage": USAGE},
        DONE,
    )
    own: Any = {"form": "", "models": ("qwen3:8b",), "fields": WITH_USAGE}
    provider = Provider("/v1/chat/completions", stream, by_ollama, **own)
    return provider, Said("Hi", "The user greets.", USAGE)


def vllm() -> tuple[Provider, Said]:
    envelope: Json = {"id": "chatcmpl-8f2c", "object": "chat.completion.chunk", "created": 1777421458}
    envelope |= {"model": "Qwen/Qwen3-8B"}
    running = {"logprobs": None}
    role = chunk(envelope, {"role": "assistant", "content": ""}, choice=running)
    ended = {"logprobs": None, "stop_reason": None, "token_ids": None}
    stream = events(
        {**role, "prompt_token_ids": None},
        chunk(envelope, {"reasoning": "A greeting."}, choice=running),
        chunk(envelope, {"content": "Hi"}, choice=running),
        chunk(envelope, {"content": " there"}, choice=running),
        chunk(envelope, {"content": ""}, "length", ended),
        {**envelope, "choices": [], "usage": USAGE},
        DONE,
    )
    own: Any = {"models": ("Qwen/Qwen3-8B",), "kind": "text/event-stream; charset=utf-8"}
    provider = Provider("/v1/chat/completions", stream, by_vllm, fields=WITH_USAGE, **own)
    return provider, Said("Hi there", "A greeting.", USAGE, "length")


def llama_cpp() -> tuple[Provider, Said]:
    envelope: Json = {"created": 1795365960, "id": "chatcmpl-Icec", "model": "smollm2-135m-instruct"}
    envelope |= {"system_fingerprint": "b9554-d403f00ec", "object": "chat.completion.chunk"}
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 0}}
    timings = {"cache_n": 0, "prompt_n": 31, "prompt_ms": 213.824, "predicted_n": 4, "predicted_ms": 39.2}
    stream = events(
        chunk(envelope, {"role": "assistant", "content": None}),
        chunk(envelope, {"reasoning_content": "Greet."}),
        chunk(envelope, {"content": "Hello"}),
        chunk(envelope, {"content": "!"}),
        chunk(envelope, {}, "stop"),
        {**envelope, "choices": [], "usage": usage, "timings": timings},
        DONE,
    )
    provider = Provider("/v1/chat/completions", stream, by_llama_cpp, fields=WITH_USAGE)
    return provider, Said("Hello!", "Greet.", usage)


PROVIDERS = {
    "openai": openai(),
    "azure": azure(),
    "azure-deployment": azure_deployment(),
    "azure-2024-06-01": azure_2024_06_01(),
    "deepseek": deepseek(),
    "openrouter": openrouter(),
    "ollama": ollama(),
    "vllm": vllm(),
    "llama.cpp": llama_cpp(),
}
