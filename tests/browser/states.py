"""The page's state in a test: steps played on state.js and actions.js, and the events they are made of."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

# Plays steps on the state: an event of the server as it is, or {act: name, …} for what the page does itself.
PLAY = """async (steps) => {
    const { emptyState, receive } = await import('/static/src/chat/state.js');
    const actions = await import('/static/src/chat/actions.js');
    let state = { ...emptyState(), loading: false };
    let at = 1_000;
    for (const { act, ...step } of steps) {
        at += 1_000;
        state = act ? actions[act](state, { at, ...step }) : receive(state, step, at);
    }
    return state;
}"""
IDS = {"generationId": "g", "conversationId": "c"}
STARTED = {"type": "started", **IDS, "attempt": 1, "model": "m", "data": {"role": "user", "content": "q"}}
DONE = {"type": "done", "generationId": "g", "seq": 2, "reason": "stop"}


def delta(seq: int, text: str, **more: Any) -> dict[str, Any]:
    return {"type": "delta", "generationId": "g", "seq": seq, "data": {"content": text}, **more}


def play(lab: Page, *steps: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = lab.evaluate(PLAY, list(steps))
    return state


def answer(state: dict[str, Any]) -> dict[str, Any]:
    answers: list[dict[str, Any]] = [turn for turn in state["turns"] if turn["kind"] == "answer"]
    return answers[-1]
