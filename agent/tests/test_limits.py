"""What ends a run before its verdict: money, the gateway's word, and a model that does not answer."""

import json

from fake_model import HALF, SILENCE, FakeModel, finish, shell
from harness import AgentCase, load_tests

from punching_fist_agent.verdict import instructions

__all__ = ["LimitsTest", "load_tests"]


class LimitsTest(AgentCase):
    def test_money_ends(self):
        # Each call costs 0.0015.
        table = [
            ("commands", [shell("echo a"), shell("echo b"), shell("echo c")], "0.002", 2),
            ("questions", ["Which namespace?"], "0.0015", 1),
            ("nothing", [finish()], "0", 0),
        ]

        def run(row):
            return self.run_agent(*row[1], PUNCHING_FIST_MAX_COST_USD=row[2])

        for (name, _, _, calls), (ended, model) in self.run_each(table, run):
            with self.subTest(name=name):
                self.assert_failed(ended, 12, "BudgetExceeded")
                self.assertEqual(len(model.requests), calls)
                costs = [usage["costUSD"] for usage in ended.of("usage")]
                self.assertEqual(costs[-1:], [f"{calls * 0.0015:.6f}"] if calls else [])

    def test_a_verdict_on_the_last_cent_counts(self):
        ended, _ = self.run_agent(finish(), PUNCHING_FIST_MAX_COST_USD="0.0015")
        self.assertEqual(ended.code, 0, f"{ended.events}\n{ended.stderr}")

    def test_a_price_of_zero_is_a_price(self):
        free = {"LLM_INPUT_COST_PER_TOKEN": "0", "LLM_OUTPUT_COST_PER_TOKEN": "0"}
        unknown = dict.fromkeys(free)
        table = [(free, "0.000000"), (unknown, None)]
        run = lambda row: self.run_agent(finish(), PUNCHING_FIST_MAX_COST_USD="1", **row[0])  # noqa: E731
        for (_, cost), (ended, _) in self.run_each(table, run):
            self.assertEqual((ended.code, ended.last("usage").get("costUSD")), (0, cost), ended.stderr)

    def test_the_gateways_word_is_the_reason(self):
        table = [
            (400, "BudgetExceeded", 12, "BudgetExceeded"),
            (400, "RunOver", 11, "ConfigurationRefused"),
            (403, "Refused", 11, "ConfigurationRefused"),
            (401, "Unauthenticated", 11, "CredentialsRefused"),
            (503, "Unavailable", 10, "ProviderFault"),
        ]
        # Settings under which a status that is retried would be called again.
        retry = {"LLM_NUM_RETRIES": "3", "LLM_RETRY_MIN_WAIT": "0", "LLM_RETRY_MAX_WAIT": "0"}

        def run(row):
            refusal = (row[0], f"punching-fist-gateway: {row[1]}: so it is.")
            return self.run_agent(shell("echo hi"), refusal, **retry)

        for (status, word, code, reason), (ended, model) in self.run_each(table, run):
            with self.subTest(word=word):
                self.assert_failed(ended, code, reason)
                self.assertIn(f"punching-fist-gateway: {word}: so it is.", ended.last("error")["text"])
                self.assertEqual(len(model.requests), 4 if status == 503 else 2)
                usage = ended.last("usage")
                self.assertEqual((usage["calls"], usage["inputTokens"], usage["costUSD"]), (1, 1000, "0.001500"))

    def test_the_gateways_word_is_the_reason_in_anthropics_form(self):
        table = [
            ("BudgetExceeded", 403, 12, "BudgetExceeded"),
            ("Refused", 400, 11, "ConfigurationRefused"),
            ("Unauthenticated", 401, 11, "CredentialsRefused"),
        ]

        def run(row):
            with FakeModel((row[1], f"punching-fist-gateway: {row[0]}: so it is.")) as fake:
                base = fake.url.removesuffix("/v1")
                model = {"LLM_MODEL": "anthropic/claude-fake", "LLM_BASE_URL": base, "LLM_NUM_RETRIES": "3"}
                return self.wait(self.start(fake, **model)), fake

        for (word, _, code, reason), (ended, fake) in self.run_each(table, run):
            with self.subTest(word=word):
                self.assert_failed(ended, code, reason)
                self.assertEqual(len(fake.requests), 1)

    def test_a_model_that_does_not_answer_is_a_fault(self):
        retry = {"LLM_TIMEOUT": "1", "LLM_NUM_RETRIES": "2", "LLM_RETRY_MIN_WAIT": "0", "LLM_RETRY_MAX_WAIT": "0"}
        table = [("silence", SILENCE), ("half an answer", HALF)]
        for (name, _), (ended, model) in self.run_each(table, lambda row: self.run_agent(row[1], **retry)):
            with self.subTest(name=name):
                self.assert_failed(ended, 10, "ProviderFault")
                self.assertEqual(len(model.requests), 2)
                self.assertIn("attempt 1 of 2 failed", ended.of("error")[0]["text"])

    def test_the_mode_is_told(self):
        modes = {"Investigate": "look only", "Remediate": "Make the smallest change"}
        for mode, told in modes.items():
            others = [text for text in modes.values() if text != told and text in instructions(mode, "")]
            self.assertEqual((told in instructions(mode, ""), others), (True, []))
            offered = [f"- {word}: " in instructions(mode, "") for word in ("Fixed", "Mitigated", "Diagnosed")]
            self.assertEqual(offered, [mode == "Remediate", mode == "Remediate", True])
        table = [(None, "Investigate"), ("Remediate", "Remediate")]
        run = lambda row: self.run_agent(finish(), PUNCHING_FIST_MODE=row[0])  # noqa: E731
        for (_, mode), (ended, fake) in self.run_each(table, run):
            with self.subTest(mode=mode):
                self.assertEqual(ended.code, 0, f"{ended.events}\n{ended.stderr}")
                self.assertIn(modes[mode], json.dumps(fake.requests[0]["messages"][0]))

    def test_a_mode_that_is_none_is_refused(self):
        ended, _ = self.run_agent(finish(), PUNCHING_FIST_MODE="Destroy")
        self.assert_failed(ended, 11, "ConfigurationRefused")
        self.assertIn("Investigate or Remediate", ended.last("error")["text"])
