"""The skills of `examples/`: that the agent takes them, and that a runbook's words lead to what it asks for."""

import json
import os
import re

import yaml
from fake_model import finish, shell
from harness import PACKAGE, AgentCase, load_tests

from punching_fist_agent.skills import read_skills

__all__ = ["ExamplesTest", "load_tests"]

EXAMPLES = PACKAGE.parent / "examples/skills"
MOUNT = "/punching-fist-skills"

# A cluster with one node under pressure, in place of kubectl's answers.
CONDITION = {"type": "DiskPressure", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
NODES = [
    {"metadata": {"name": "node-a"}, "status": {"conditions": [CONDITION]}},
    {"metadata": {"name": "node-b"}, "status": {}},
]
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "Container log-writer was using 21Gi"}


def pod(name: str, status: dict, **limits) -> dict:
    spec = {"nodeName": "node-a", "containers": [{"resources": {"limits": limits}}], "volumes": [{"configMap": {}}]}
    return {"metadata": {"namespace": "shop", "name": name}, "spec": spec, "status": status}


class ExamplesTest(AgentCase):
    def example(self, file: str) -> tuple[str, dict]:
        """Mounts the ConfigMaps of the file as a pod would have them; gives the directory and the task."""
        root = self.directory / "skills"
        documents = list(yaml.safe_load_all((EXAMPLES / file).read_text()))
        for config_map in documents[:-1]:
            directory = root / config_map["metadata"]["name"]
            directory.mkdir(parents=True)
            for name, text in config_map["data"].items():
                (directory / name).write_text(text.replace(MOUNT, str(root)))
                (directory / name).chmod(0o555)
        return str(root), documents[-1]

    def kubectl(self) -> str:
        """Puts a kubectl before all others that answers with the cluster above."""
        pods = [pod("log-writer-1", EVICTED), pod("log-writer-2", {"phase": "Running"})]
        pods.append(pod("careful", {"phase": "Running"}, **{"ephemeral-storage": "1Gi"}))
        programs = self.directory / "bin"
        programs.mkdir()
        for kind, items in (("nodes", NODES), ("pods", pods)):
            (programs / kind).write_text(json.dumps({"items": items}))
        (programs / "kubectl").write_text(f'#!/bin/sh\ncat "{programs}/$2"\n')
        (programs / "kubectl").chmod(0o755)
        return f"{programs}:{os.environ['PATH']}"

    def test_a_runbook_is_followed(self):
        root, task = self.example("disk-pressure.yaml")
        (self.directory / "prompt").write_text(task["spec"]["prompt"])

        def follow(request: dict) -> dict:
            # What the model does stands nowhere but in the runbook.
            command = re.search(r"Run `([^`]+)`", json.dumps(request["messages"]))
            return shell(command[1] if command else "echo no runbook")

        ended, model = self.run_agent(follow, finish(), PUNCHING_FIST_SKILLS_DIR=root, PATH=self.kubectl())
        self.assertEqual(ended.code, 0, f"{ended.events}\n{ended.stderr}")
        self.assertIn("Nobody but the storage team", json.dumps(model.requests[0]["messages"][0]))
        self.assertEqual(ended.of("command")[0]["command"], f"{root}/disk-pressure-runbook/survey.py")
        output = ended.of("output")[0]
        self.assertEqual(output["exitCode"], 0, output)
        expected = [
            "node node-a: DiskPressure since 2026-01-01T00:00:00Z: ",
            "evicted from node-a: shop/log-writer-1: Container log-writer was using 21Gi",
            "without limit on node-a: shop/log-writer-2",
            "1 of 2 nodes under disk pressure",
        ]
        self.assertEqual([line.rstrip() for line in output["text"].splitlines()], [line.rstrip() for line in expected])

    def test_without_its_skill_the_runbook_is_unknown(self):
        _, task = self.example("disk-pressure.yaml")
        (self.directory / "prompt").write_text(task["spec"]["prompt"])
        _, model = self.run_agent(finish())
        self.assertNotIn("survey.py", json.dumps(model.requests[0]["messages"]))

    def test_every_example_is_taken(self):
        files = sorted(EXAMPLES.glob("*.yaml"))
        self.assertGreaterEqual(len(files), 2)
        for file in files:
            with self.subTest(file=file.name):
                root, task = self.example(file.name)
                skills = read_skills(root)
                self.assertTrue(skills.instructions or skills.skills or skills.servers)
                named = {skill["configMap"] for skill in task["spec"]["agent"]["skills"]}
                self.assertLessEqual(named, set(os.listdir(root)))
        self.assertEqual(skills.servers["kubernetes"].command, "kubernetes-mcp-server")
