"""How long a model that is away is asked again: in this process, with the SDK's own retries, but with a clock that jumps. One
test after the other, as they all have one clock."""

import unittest
from types import SimpleNamespace
from unittest import mock

import harness  # noqa: F401  Where the package is.
from fake_model import FakeModel
from openhands.sdk.llm import Message, TextContent

from punching_fist_agent import settings
from punching_fist_agent.model import model_of


class PatienceTest(unittest.TestCase):
    def setUp(self):
        self.clock, self.events = 0.0, []

    def call(self, url: str, seconds_each: float = 0.0) -> Exception:
        """Calls the model with the settings' own defaults; every attempt takes so long."""
        environment = {
            "PUNCHING_FIST_PROMPT_FILE": __file__,
            "PUNCHING_FIST_MAX_ITERATIONS": "1",
            "LLM_BASE_URL": url,
            "LLM_MODEL": "openai/fake",
        }
        with mock.patch.dict("os.environ", environment), mock.patch.object(settings, "_take", lambda _: "key"):
            chosen = settings.read()
        llm = model_of(chosen, SimpleNamespace(emit=lambda *_, **event: self.events.append(event)))
        llm.retry_listener._clock = lambda: self.clock

        def sleep(seconds):
            self.clock += seconds + seconds_each

        with mock.patch("tenacity.nap.time.sleep", sleep), self.assertRaises(Exception) as raised:
            llm.completion([Message(role="user", content=[TextContent(text="hi")])])
        return raised.exception

    def test_five_minutes_away_are_borne(self):
        self.call("http://127.0.0.1:9/v1")
        self.assertGreater(self.clock, 300)
        self.assertLess(self.clock, 400)
        with FakeModel(503) as fake:
            self.clock = 0.0
            self.call(fake.url)
            self.assertGreater(self.clock, 300)
            self.assertEqual(len(fake.requests), 13)

    def test_attempts_that_take_long_are_fewer(self):
        with FakeModel(503) as fake:
            error = self.call(fake.url, seconds_each=300)
        self.assertEqual(len(fake.requests), 3)
        self.assertIn("503", str(error))
        self.assertEqual(len(self.events), 2)
