"""Executed bytecodes and calls, counted by Python itself: exact, and the same on any machine."""

from __future__ import annotations

from types import CodeType, FrameType
from typing import Any


class Count:
    """`counted` of what is executed between two settings: `bytecodes` is for sys.settrace, `calls`, of Python
    and C functions by name of the caller, for sys.setprofile. Not counted: code of files that begin so."""

    def __init__(self, elsewhere: tuple[str, ...]) -> None:
        self.counted = 0
        self._elsewhere = elsewhere
        self._ours: dict[CodeType, bool] = {}

    def bytecodes(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            self.counted += 1
        elif event == "call":
            if not self._is_ours(frame.f_code):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.bytecodes

    def calls(self, frame: FrameType, event: str, argument: Any) -> None:
        self.counted += event in ("call", "c_call") and self._is_ours(frame.f_code)

    def _is_ours(self, code: CodeType) -> bool:
        if code not in self._ours:
            self._ours[code] = not code.co_filename.startswith(self._elsewhere)
        return self._ours[code]
