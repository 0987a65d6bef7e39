"""Keeps a core busy with memory until stdin ends: of its caches little is left to others."""

import os
import sys
import threading

BLOCK = 1 << 22


def end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    threading.Thread(target=end_with_stdin, daemon=True).start()
    print("ready", flush=True)
    block = bytearray(BLOCK)
    while True:
        block[:] = bytes(block)


if __name__ == "__main__":
    main()
