"""The program `punching-fist-agent`: runs the agent once, and ends with an exit code that tells the truth."""

import gc
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from . import protocol
from .protocol import Events, Exit, Failure

# Quiet, and off the network: no banner, no price list from elsewhere, no reports of errors.
QUIET = {
    "OPENHANDS_SUPPRESS_BANNER": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LOG_LEVEL": "WARNING",
    "LOG_JSON": "true",
}
CLOSE_SECONDS = 3


def main() -> NoReturn:
    events = protocol.take_stdout()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        code = _run(events)
    except Failure as failure:
        events.failure(failure)
        events.emit("state", state="error")
        code = failure.exit_code
    except KeyboardInterrupt:
        events.emit("state", state="stopped")
        code = Exit.SIGNALLED
    except Exception as error:
        events.failure(Failure(Exit.FAULT, "AgentFault", f"{type(error).__name__}: {error}"))
        events.emit("state", state="error")
        code = Exit.FAULT
    # Threads of libraries could hold an orderly exit up; nothing is left to be said.
    os._exit(code)


def _run(events: Events) -> Exit:
    from . import settings

    chosen = settings.read()
    events.emit("state", state="running")
    try:
        with _without_collector():
            from .conversation import Run
    except ImportError as error:
        raise Failure(Exit.REFUSED, "EngineMissing", f"the image lacks what the agent needs: {error}") from error
    run = Run(chosen, events)
    try:
        conclusion = run.conclude()
        # From here on a request to stop comes too late.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        events.emit("finish", **conclusion)
        events.emit("state", state="finished")
        return Exit.VERDICT
    finally:
        _close(run)


@contextmanager
def _without_collector() -> Iterator[None]:
    """What libraries make while they are imported stays: to look for what doesn't takes half of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _close(run) -> None:
    """Ends what the tools have started, as far as it goes quickly."""
    closing = threading.Thread(target=run.close, daemon=True)
    closing.start()
    closing.join(CLOSE_SECONDS)


if __name__ == "__main__":
    main()
