"""Runs of the agent that share one import of the SDK, which takes a processor for ten seconds: each run is a fork of a process
that has imported all of it and done nothing else. What depends on how a program starts isn't tested so."""

import os
import signal
import tempfile
import threading
from multiprocessing import connection, forkserver, get_context
from pathlib import Path

FORKS = get_context("forkserver")
# `multiprocessing` looks after all processes whenever it starts one.
LOCK = threading.Lock()


def prepare() -> None:
    """Lets what all runs share be imported beside whatever else goes on."""
    # The second is what the first leaves to its first call of a model.
    FORKS.set_forkserver_preload(["punching_fist_agent.conversation", "openai.resources"])
    forkserver.ensure_running()


class Forked:
    """As much of `subprocess.Popen` as the tests need."""

    def __init__(self, directory: Path, environment: dict[str, str]):
        descriptor, self._stderr = tempfile.mkstemp(prefix="stderr-", dir=directory)
        os.close(descriptor)
        reader, writer = FORKS.Pipe(duplex=False)
        arguments = (environment, str(directory / "workspace"), writer, self._stderr)
        self._process = FORKS.Process(target=_become_the_agent, args=arguments)
        with LOCK:
            self._process.start()
        writer.close()
        self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def communicate(self, timeout: float) -> tuple[str, str]:
        too_late = threading.Timer(timeout, self.send_signal, [signal.SIGKILL])
        too_late.start()
        with self.stdout:
            stdout = self.stdout.read()
        connection.wait([self._process.sentinel])
        too_late.cancel()
        with LOCK:
            self._process.join()
        self.returncode = self._process.exitcode
        return stdout, Path(self._stderr).read_text()


def _become_the_agent(environment: dict[str, str], directory: str, stdout: connection.Connection, stderr: str):
    os.environ.clear()
    # Where nobody says a language, Python sets this when it starts, and tmux goes by it.
    os.environ.update({"LC_CTYPE": "C.UTF-8"} | environment)
    os.chdir(directory)
    os.dup2(stdout.fileno(), 1)
    stdout.close()
    os.dup2(os.open(stderr, os.O_WRONLY), 2)
    from punching_fist_agent.__main__ import main

    main()
