"""The model as the settings have it, and how long its faults are borne."""

import time

from openhands.sdk import LLM

from .protocol import Events
from .settings import Settings

# Since a call's first fault. A gateway or provider may be away for five minutes; one that takes every call and answers
# none would else hold the run for LLM_TIMEOUT at each of many attempts. Of the engines that don't look at it themselves
# the runner keeps the same: `PATIENCE` in crates/runner/src/engine/openhands.rs.
PATIENCE_SECONDS = 330


class Patience:
    """Told of every fault that is to be retried: says so, and ends it when it has gone on for too long."""

    def __init__(self, events: Events, clock=time.monotonic):
        self._events, self._clock = events, clock
        self._since = 0.0

    def __call__(self, attempt: int, attempts: int, error: BaseException | None) -> None:
        now = self._clock()
        if attempt == 1:
            self._since = now
        if error is not None and now - self._since > PATIENCE_SECONDS:
            raise error
        self._events.emit("error", code="ModelRetry", text=f"attempt {attempt} of {attempts} failed: {error}")


def model_of(settings: Settings, events: Events) -> LLM:
    return LLM(
        usage_id="agent",
        model=settings.model,
        api_key=settings.api_key,
        base_url=settings.base_url,
        timeout=settings.timeout,
        num_retries=settings.retries,
        retry_min_wait=settings.retry_min_wait,
        retry_max_wait=settings.retry_max_wait,
        retry_listener=Patience(events),
        input_cost_per_token=settings.input_cost,
        output_cost_per_token=settings.output_cost,
    )
