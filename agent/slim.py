"""For the image: drops what pip has installed and no run reads, and compiles what every run imports.

Python can't write byte code beside the sources when the root filesystem is read-only, so it would compile four thousand
modules at every start; and byte code of all that is installed would take more than that of what is imported.
"""

import compileall
import os
import py_compile
import shutil
import sys
from pathlib import Path

# LiteLLM as a server: its pages, and what it would do in Rust.
DROPPED = (
    "litellm/proxy/_experimental/out",
    "litellm/proxy/_lazy_openapi_snapshot.json",
    "litellm/proxy/swagger",
    "litellm/rust_bridge/_native.abi3.so",
)
# Of four hundred services of AWS: models, and how one signs in to them.
AWS_SERVICES = {"bedrock", "bedrock-runtime", "sagemaker-runtime", "signin", "sso", "sso-oidc", "sts"}


def drop(packages: Path) -> None:
    # What isn't there any more has to be looked for under another name: nothing is passed over.
    services = packages / "botocore/data"
    for service in AWS_SERVICES:
        (services / service).stat()
    others = [path for path in services.iterdir() if path.is_dir() and path.name not in AWS_SERVICES]
    tests = [path for path in (*packages.glob("*/tests"), *packages.glob("*/test"))]
    ours = [path for path in tests if path.parent.name not in ("openhands", "litellm")]
    for path in [*(packages / name for name in DROPPED), *others, *ours]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def compile_imported() -> None:
    os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENHANDS_SUPPRESS_BANNER": "1"}
    # Byte code that Python itself leaves would be taken for done, and it names the sources' times.
    sys.dont_write_bytecode = True
    import punching_fist_agent.__main__
    import punching_fist_agent.conversation  # noqa: F401

    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())} - {__file__}
    # By the sources' hash, unchecked: their times may change on the way into an image.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for file in filter(None, files):
        if file.endswith(".py"):
            compileall.compile_file(file, quiet=1, invalidation_mode=mode)


if __name__ == "__main__":
    {"drop": lambda: drop(Path(sys.argv[2])), "compile": compile_imported}[sys.argv[1]]()
