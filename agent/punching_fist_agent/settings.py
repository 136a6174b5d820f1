"""What the pod's environment says. A setting that is missing or makes no sense is named in the error."""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

from .protocol import Exit, Failure

# The first one can do no harm.
MODES = ("Investigate", "Remediate")
REQUIRED = object()


@dataclass(frozen=True)
class Settings:
    """How the agent is to run."""

    prompt: str
    mode: str
    skills_dir: str | None
    max_iterations: int
    # US dollars; none: whoever meters the calls keeps the budget.
    max_cost: float | None
    model: str
    api_key: str
    base_url: str | None
    input_cost: float | None
    output_cost: float | None
    timeout: int
    retries: int
    retry_min_wait: int
    retry_max_wait: int


def read() -> Settings:
    """Reads the settings and takes the key out of the environment: what the agent starts has no use for it."""
    return Settings(
        prompt=_prompt(_required("PUNCHING_FIST_PROMPT_FILE")),
        mode=_mode(),
        skills_dir=_optional("PUNCHING_FIST_SKILLS_DIR"),
        max_iterations=_number("PUNCHING_FIST_MAX_ITERATIONS", int),
        max_cost=_number("PUNCHING_FIST_MAX_COST_USD", float, None),
        model=_required("LLM_MODEL"),
        api_key=_take("LLM_API_KEY"),
        base_url=_optional("LLM_BASE_URL"),
        input_cost=_number("LLM_INPUT_COST_PER_TOKEN", float, None),
        output_cost=_number("LLM_OUTPUT_COST_PER_TOKEN", float, None),
        timeout=_number("LLM_TIMEOUT", int, 300),
        # A gateway or provider that is away for five minutes costs a run time, not its life: these wait 344 seconds.
        retries=_number("LLM_NUM_RETRIES", int, 13),
        retry_min_wait=_number("LLM_RETRY_MIN_WAIT", int, 8),
        retry_max_wait=_number("LLM_RETRY_MAX_WAIT", int, 32),
    )


def refused(text: str) -> Failure:
    return Failure(Exit.REFUSED, "ConfigurationRefused", text)


def _optional(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def _required(name: str) -> str:
    value = _optional(name)
    if value is None:
        raise refused(f"the environment variable {name} is missing or empty")
    return value


def _take(name: str) -> str:
    """The value, which is gone from the environment then, and from the memory that /proc/self/environ shows too: the
    editor tool reads files within this process."""
    value = _required(name)
    library = ctypes.CDLL(None)
    library.getenv.restype = ctypes.c_void_p
    address = library.getenv(name.encode())
    ctypes.memset(address, 0, len(os.environb[name.encode()]))
    del os.environ[name]
    return value


def _mode() -> str:
    mode = _optional("PUNCHING_FIST_MODE") or MODES[0]
    if mode not in MODES:
        raise refused(f"the environment variable PUNCHING_FIST_MODE has to be {' or '.join(MODES)}: {mode!r}")
    return mode


def _number(name: str, kind: type, default=REQUIRED):
    value = _required(name) if default is REQUIRED else _optional(name)
    if value is None:
        return default
    try:
        number = kind(value)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise refused(f"the environment variable {name} has to be a number, and not negative: {value!r}")
    return number


def _prompt(path: str) -> str:
    try:
        prompt = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise refused(f"PUNCHING_FIST_PROMPT_FILE can't be read: {error}") from error
    if not prompt.strip():
        raise refused("PUNCHING_FIST_PROMPT_FILE is empty")
    return prompt
