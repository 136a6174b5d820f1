"""What the runner reads: one JSON event per line, on a descriptor that nothing but this process can reach."""

import ctypes
import json
import os
import signal
import sys
import threading
from enum import IntEnum

PR_SET_DUMPABLE = 4
# The runner cuts a line to 8 KiB and a verdict's texts to 64, but only after it took the secrets out. What is cut here is cut
# at a blank: half a secret isn't known for one, and where the other half of the text is secrets too, the runner has nothing
# left to cut. In bytes of JSON; three such texts fit the runner's line.
HEAD_MAX = 80 * 1024
TAIL_MAX = 16 * 1024
MARKER = "… [cut]"


class Exit(IntEnum):
    """The runner's exit codes."""

    VERDICT = 0
    FAULT = 10
    REFUSED = 11
    LIMIT = 12
    SIGNALLED = 13


class Failure(Exception):
    """An end without a verdict: the runner's word for it, what happened, and the exit code."""

    def __init__(self, exit_code: Exit, reason: str, text: str, code: str | None = None):
        super().__init__(text)
        self.exit_code, self.reason, self.text, self.code = exit_code, reason, text, code


class Events:
    """Writes events for the runner."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        # Events come from several threads, and a pipe takes a long line in parts.
        self._lock = threading.Lock()

    def emit(self, kind: str, **fields) -> None:
        tail = 0 if kind == "finish" else TAIL_MAX
        event = {"kind": kind} | {name: _cut(value, tail) for name, value in fields.items() if value is not None}
        # Lone surrogates, which a tool's output can hold, are no text: they become question marks.
        line = (json.dumps(event, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]

    def failure(self, failure: Failure) -> None:
        self.emit("error", reason=failure.reason, code=failure.code, text=failure.text)


def take_stdout() -> Events:
    """Keeps standard output for events alone. Called before anything else is imported or started.

    The agent's shell runs as the same user. It inherits standard error in its place, and can't open ours: this process
    isn't dumpable, so its /proc belongs to root, and its memory and environment (with the model's key) do too.
    """
    descriptor = os.dup(sys.stdout.fileno())
    os.set_inheritable(descriptor, False)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "can't keep the tools away from the events")
    # Also where whoever started us ignores it, as a shell does in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return Events(descriptor)


def _cut(value, tail_max: int):
    if not isinstance(value, str):
        return value
    head = _prefix(value, HEAD_MAX)
    if len(head) == len(value):
        return value
    tail = _prefix(value[: len(head) - 1 : -1], tail_max)
    return f"{_whole_words(head)}{MARKER}{_whole_words(tail)[::-1]}"


def _whole_words(text: str) -> str:
    """Up to the last blank."""
    end = next((at for at in range(len(text), 0, -1) if text[at - 1].isspace()), 0)
    return text[:end]


def _prefix(text: str, most: int) -> str:
    if 6 * len(text) <= most:
        return text
    size = 0
    for at, character in enumerate(text):
        size += len(json.dumps(character, ensure_ascii=False).encode("utf-8", "replace")) - 2
        if size > most:
            return text[:at]
    return text
