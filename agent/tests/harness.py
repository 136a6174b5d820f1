"""What the tests of the agent share: the agent as a program, in a place of its own, and what it left."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fake_model import FakeModel
from forked import Forked, prepare

PACKAGE = Path(__file__).resolve().parent.parent
# For what imports the SDK without the program's own start: it looks for prices elsewhere by default, and into the home.
HOME = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LOG_LEVEL": "CRITICAL", "OPENHANDS_SUPPRESS_BANNER": "1"}
os.environ |= {"HOME": HOME.name, "PYTHONPATH": str(PACKAGE)}
sys.path.insert(0, str(PACKAGE))
prepare()
KEY = "the-key-of-the-model"


class Ended:
    """What a run of the agent left."""

    def __init__(self, code: int, stdout: str, stderr: str):
        self.code, self.stderr = code, stderr
        self.events = [json.loads(line) for line in stdout.splitlines()]

    def of(self, kind: str) -> list[dict]:
        return [event for event in self.events if event["kind"] == kind]

    def last(self, kind: str) -> dict:
        return self.of(kind)[-1]


class AgentCase(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.directory.chmod(0o755)
        (self.directory / "prompt").write_text("Why does checkout crash?")
        for name in ("home", "workspace"):
            (self.directory / name).mkdir()
            (self.directory / name).chmod(0o777)

    def start(self, model: FakeModel, wrapper=None, **environment) -> Forked | subprocess.Popen:
        """With a wrapper, be it empty, as a program."""
        settings = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory / "home"),
            "PYTHONPATH": str(PACKAGE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PUNCHING_FIST_PROMPT_FILE": str(self.directory / "prompt"),
            "PUNCHING_FIST_MAX_ITERATIONS": "10",
            "LLM_MODEL": "openai/fake",
            "LLM_API_KEY": KEY,
            "LLM_BASE_URL": model.url,
            "LLM_NUM_RETRIES": "0",
            "LLM_INPUT_COST_PER_TOKEN": "0.000001",
            "LLM_OUTPUT_COST_PER_TOKEN": "0.00001",
        }
        settings = {name: value for name, value in (settings | environment).items() if value is not None}
        if wrapper is None:
            return Forked(self.directory, settings)
        return subprocess.Popen(
            [*wrapper, sys.executable, "-m", "punching_fist_agent"],
            cwd=self.directory / "workspace",
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self, process: Forked | subprocess.Popen) -> Ended:
        stdout, stderr = process.communicate(timeout=300)
        return Ended(process.returncode, stdout, stderr)

    def run_agent(self, *answers, wrapper=None, **environment) -> tuple[Ended, FakeModel]:
        with FakeModel(*answers) as model:
            return self.wait(self.start(model, wrapper, **environment)), model

    def run_each(self, table: list, run) -> list[tuple]:
        """Every row with what it led to, some side by side."""
        with ThreadPoolExecutor(4) as pool:
            return list(zip(table, pool.map(run, table), strict=True))

    def assert_failed(self, ended: Ended, code: int, reason: str):
        self.assertEqual((ended.code, ended.last("error")["reason"]), (code, reason), f"{ended.events}\n{ended.stderr}")
        self.assertEqual(ended.of("finish"), [])
        self.assertEqual(ended.last("state")["state"], "error")


class SideBySide(unittest.TestSuite):
    """Tests wait for agents, which wait for their models and shells."""

    def run(self, result, debug=False):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda test: test(result), self))
        return result


def load_tests(loader, tests, _):
    suite = SideBySide()
    for case in tests:
        suite.addTests(case)
    return suite
