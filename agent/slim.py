"""For the image: drops what pip has installed and no run reads, and compiles what every run imports.

Python can't write byte code beside the sources when the root filesystem is read-only, so it would compile four thousand
modules at every start; and byte code of all that is installed would take another 180 MB.
"""

import compileall
import os
import py_compile
import shutil
import sys
from pathlib import Path

# The browser tool, and what only that needs; and pages of a server that LiteLLM could be, too.
DROPPED = (
    "browser_use",
    "cdp_use",
    "googleapiclient",
    "lmnr_claude_code_proxy",
    "lxml",
    "posthog",
    "pypdf",
    "reportlab",
    "litellm/proxy/_experimental/out",
)


def drop(packages: Path) -> None:
    for name in DROPPED:
        # What isn't there any more has to be looked for under another name: no `ignore_errors`.
        shutil.rmtree(packages / name)
    for tests in [*packages.glob("*/tests"), *packages.glob("*/test")]:
        if tests.parent.name not in ("openhands", "litellm"):
            shutil.rmtree(tests)


def compile_imported() -> None:
    os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENHANDS_SUPPRESS_BANNER": "1"}
    import punching_fist_agent.__main__
    import punching_fist_agent.conversation  # noqa: F401

    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    # By the sources' hash, unchecked: their times may change on the way into an image.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for file in filter(None, files):
        if file.endswith(".py"):
            compileall.compile_file(file, quiet=1, invalidation_mode=mode)


if __name__ == "__main__":
    {"drop": lambda: drop(Path(sys.argv[2])), "compile": compile_imported}[sys.argv[1]]()
