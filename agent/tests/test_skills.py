"""What ConfigMaps teach the agent: what of them the model is told, and what of them is refused."""

import json
import os
import socket
import sys
import threading
from pathlib import Path

from fake_model import FakeModel, finish, shell, tool
from harness import KEY, AgentCase, Ended, load_tests

from punching_fist_agent.protocol import Failure
from punching_fist_agent.skills import read_skills

__all__ = ["SkillsTest", "load_tests"]

SERVER = {"command": sys.executable, "args": [str(Path(__file__).with_name("mcp_server.py"))]}


def servers(**named) -> str:
    return json.dumps({"mcpServers": named})


class SkillsTest(AgentCase):
    def mount(self, name: str, files: dict[str, str]) -> str:
        """Lays a ConfigMap out as the kubelet does, and gives the directory of all."""
        root = self.directory / "skills"
        version = root / name / "..2026_01_01_00_00_00.1"
        version.mkdir(parents=True)
        (root / name / "..data").symlink_to(version.name)
        for file, text in files.items():
            (version / file).write_bytes(text if isinstance(text, bytes) else text.encode())
            (version / file).chmod(0o555)
            (root / name / file).symlink_to(f"..data/{file}")
        return str(root)

    def run_with(self, skills: dict[str, dict[str, str]], *answers, **environment) -> tuple[Ended, FakeModel]:
        for name, files in skills.items():
            root = self.mount(name, files)
        return self.run_agent(*answers, PUNCHING_FIST_SKILLS_DIR=root, **environment)

    def test_each_kind_of_file_has_its_place(self):
        skills = {
            "house": {"AGENTS.md": "Prefer kubectl over curl.", "version.sh": "#!/bin/sh\necho ran the script\n"},
            "runbooks": {
                "crashes.md": "---\ntriggers: [oom]\ndescription: Pods that die\n---\nRead the log before.",
                "checkout.md": "---\ntriggers: [checkout]\n---\nCheckout needs the queue.",
                "disks.md": "---\ndescription: What to do about full disks\n---\nLook at inodes too.",
                "plain.md": "# Certificates\n\nHow certificates are renewed.\nBy hand.",
            },
        }
        script = f"{self.directory}/skills/house/version.sh"
        look = tool("invoke_skill", name="runbooks/disks")
        ended, model = self.run_with(skills, look, shell(script), finish())
        self.assertEqual(ended.code, 0, f"{ended.events}\n{ended.stderr}")
        system, user = (json.dumps(message["content"]) for message in model.requests[0]["messages"][:2])
        self.assertIn("Prefer kubectl over curl.", system)
        self.assertIn(f"{self.directory}/skills/house: version.sh", system)
        for listed in ("What to do about full disks", "How certificates are renewed.", "runbooks/crashes"):
            self.assertIn(listed, system)
        for only_on_demand in ("Look at inodes too.", "By hand.", "Read the log before."):
            self.assertNotIn(only_on_demand, system + user)
        self.assertIn("Checkout needs the queue.", user)
        self.assertIn("Look at inodes too.", json.dumps(model.requests[1]["messages"]))
        self.assertEqual(ended.of("command")[0]["command"], 'invoke_skill {"name": "runbooks/disks"}')
        self.assertEqual(ended.of("output")[1]["text"], "ran the script")

    def test_nothing_is_fetched(self):
        reached = []
        with socket.create_server(("127.0.0.1", 0)) as proxy:
            threading.Thread(target=lambda: reached.append(proxy.accept()), daemon=True).start()
            url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
            proxies = {f"{scheme}_{what}": url for scheme in ("http", "https", "all") for what in ("proxy",)}
            proxies |= {name.upper(): url for name in proxies} | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
            skills = {"house": {"AGENTS.md": "Be brief.", "disks.md": "Look at inodes.", "mcp.json": servers(t=SERVER)}}
            ended, _ = self.run_with(skills, finish(), **proxies)
        self.assertEqual((ended.code, reached), (0, []), ended.stderr)

    def test_what_makes_no_sense_is_refused_by_name(self):
        table = [
            ({"mcp.json": "{"}, ["mcp.json", "JSONDecodeError"]),
            ({"mcp.json": "[]"}, ["mcp.json", "mcpServers"]),
            ({"mcp.json": servers(k="kubectl")}, ["mcp.json", "k:"]),
            ({"mcp.json": servers(k={"args": ["x"]})}, ["mcp.json", "'k'", "command"]),
            ({"mcp.json": servers(k={"command": "x", "autoApprove": []})}, ["mcp.json", "'k'", "autoApprove"]),
            ({"mcp.json": servers(**{"a b": {"command": "x"}})}, ["mcp.json", "'a b'"]),
            ({"mcp.json": servers(k={"url": "http://h", "headers": {"A": "${NOT_SET}"}})}, ["mcp.json", "NOT_SET"]),
            ({"a.md": "---\ntriggers: [\n---\nText"}, ["a.md"]),
            ({"a.md": "---\ntriggers: crash\n---\nText"}, ["a.md", "Triggers"]),
            ({"a.md": "---\nmcp_tools: {k: {command: x}}\n---\nText"}, ["a.md", "mcp.json"]),
            ({"a.md": "---\nname: b\n---\nText", "b.md": "Text"}, ["b.md", "house/b"]),
            ({"a.md": b"\xff\xfe"}, ["a.md", "Unicode"]),
            ({"AGENTS.md": b"\xff\xfe"}, ["AGENTS.md", "Unicode"]),
        ]
        for number, (files, named) in enumerate(table):
            with self.subTest(files=str(files)):
                root = self.mount(f"{number}/house", files)
                with self.assertRaises(Failure) as raised:
                    read_skills(f"{root}/{number}")
                self.assertEqual(raised.exception.reason, "ConfigurationRefused")
                for word in ["ConfigMap house", *named]:
                    self.assertIn(word, raised.exception.text)

    def test_what_is_always_told_has_a_limit(self):
        for name in ("house", "yard"):
            root = self.mount(name, {"AGENTS.md": "long " * 7000})
        with self.assertRaisesRegex(Failure, "70000 bytes, and 65536 is the most"):
            read_skills(root)

    def test_a_secret_in_a_wrong_server_is_not_told(self):
        root = self.mount("house", {"mcp.json": servers(k={"command": "x", "env": {"A": ["secret-value"]}})})
        with self.assertRaises(Failure) as raised:
            read_skills(root)
        self.assertNotIn("secret-value", raised.exception.text)

    def test_a_variable_comes_from_the_pod(self):
        root = self.mount("house", {"mcp.json": servers(k={"url": "http://h", "headers": {"A": "B ${HOME}"}})})
        self.assertEqual(read_skills(root).servers["k"].headers["A"].get_secret_value(), f"B {os.environ['HOME']}")

    def test_a_directory_that_is_not_there_is_refused(self):
        with self.assertRaisesRegex(Failure, "/nowhere"):
            read_skills("/nowhere")

    def test_a_server_named_twice_is_refused(self):
        skills = {"house": {"mcp.json": servers(k=SERVER)}, "yard": {"mcp.json": servers(k=SERVER)}}
        ended, _ = self.run_with(skills, finish())
        self.assert_failed(ended, 11, "ConfigurationRefused")
        self.assertIn("ConfigMap yard, file mcp.json: another ConfigMap", ended.last("error")["text"])

    def test_a_server_has_the_pods_environment_without_the_key(self):
        look, fail = tool("environment", prefix="LLM_"), tool("fail")
        ended, model = self.run_with({"house": {"mcp.json": servers(t=SERVER)}}, look, fail, finish())
        self.assertEqual(ended.code, 0, f"{ended.events}\n{ended.stderr}")
        self.assertEqual(ended.of("command")[0]["command"], 'environment {"prefix": "LLM_"}')
        worked, failed = ended.of("output")
        self.assertIn("LLM_MODEL", worked["text"])
        self.assertNotIn("LLM_API_KEY", worked["text"])
        self.assertEqual((worked["exitCode"], failed["exitCode"]), (0, 1))
        self.assertNotIn(KEY, json.dumps([request["messages"] for request in model.requests]))

    def test_servers_that_do_not_start_are_named(self):
        named = {"there": SERVER, "also": SERVER}
        named |= {"missing": {"command": "/nowhere/mcp"}, "broken": {"command": "false"}}
        skills = {"house": {"mcp.json": servers(**named)}}
        ended, model = self.run_with(skills, tool("there_environment", prefix="HOME"), finish())
        self.assertEqual(ended.code, 0, f"{ended.events}\n{ended.stderr}")
        failures = {error["text"].split(" ")[3] for error in ended.of("error") if error["code"] == "McpServerFailed"}
        self.assertEqual(failures, {"missing", "broken"}, ended.events)
        self.assertIn("did not start", json.dumps(model.requests[0]["messages"]))
        self.assertIn("HOME", ended.of("output")[0]["text"])

    def test_the_only_server_that_does_not_start_is_named(self):
        skills = {"house": {"mcp.json": servers(missing={"command": "/nowhere/mcp"})}}
        ended, model = self.run_with(skills, finish())
        self.assertEqual(ended.code, 0, f"{ended.events}\n{ended.stderr}")
        self.assertIn("/nowhere/mcp", ended.of("error")[0]["text"])
        self.assertIn("tools are missing: missing.", json.dumps(model.requests[0]["messages"]))
