"""What the task's ConfigMaps teach the agent. One directory each: AGENTS.md, skills, mcp.json, and files for them."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from openhands.sdk.mcp.config import MCPServer, coerce_mcp_config
from openhands.sdk.skills import Skill
from openhands.sdk.skills.utils import expand_variable_references
from pydantic import ValidationError

from .protocol import Failure
from .settings import refused

AGENTS, SERVERS = "AGENTS.md", "mcp.json"
# Every call of the model carries it, and is billed for it.
INSTRUCTIONS_MAX = 64 * 1024
# It becomes a part of tools' names, which models take no other signs in.
SERVER_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
SERVER_KEYS = {*MCPServer.model_fields, "type"}


@dataclass
class Skills:
    """What all ConfigMaps bring together."""

    # Of each ConfigMap with an AGENTS.md: its directory, and the text.
    instructions: dict[Path, str] = field(default_factory=dict)
    skills: list[Skill] = field(default_factory=list)
    servers: dict[str, MCPServer] = field(default_factory=dict)
    # By directory, what is neither: scripts, mostly.
    files: dict[Path, list[str]] = field(default_factory=dict)

    def context(self) -> str:
        """What the system prompt says of them."""
        parts = [
            f'<instructions configmap="{directory.name}">\n{text.strip()}\n</instructions>'
            for directory, text in self.instructions.items()
        ]
        if self.files:
            lines = [f"- {directory}: {', '.join(names)}" for directory, names in self.files.items()]
            parts.append("\n".join(["Files for the team's skills, to be used where they are (read-only):", *lines]))
        return "\n\n".join(parts)


def read_skills(root: str | None) -> Skills:
    """Reads the directories below `root`, in the order of their names. Whatever makes no sense is refused by name."""
    skills = Skills()
    for directory in _entries(Path(root)) if root else []:
        for path in _entries(directory) if directory.is_dir() else []:
            _add(skills, path)
    size = sum(len(text.encode()) for text in skills.instructions.values())
    if size > INSTRUCTIONS_MAX:
        what = f"every {AGENTS} of agent.skills together has {size} bytes, and {INSTRUCTIONS_MAX} is the most"
        raise refused(f"{what}: move what isn't always needed into skills (other .md files of the ConfigMap)")
    return skills


def _entries(directory: Path) -> list[Path]:
    try:
        # Names with two dots are Kubernetes' own: versions of the volume, and the link to the current one.
        return sorted(path for path in directory.iterdir() if not path.name.startswith(".."))
    except OSError as error:
        raise refused(f"the skills in {directory} can't be read: {error}") from error


def _add(skills: Skills, path: Path) -> None:
    try:
        if path.name == AGENTS:
            skills.instructions[path.parent] = path.read_text(encoding="utf-8")
        elif path.name == SERVERS:
            _add_servers(skills.servers, path)
        elif path.suffix == ".md":
            _add_skill(skills.skills, path)
        else:
            skills.files.setdefault(path.parent, []).append(path.name)
    except Failure:
        raise
    except Exception as error:
        # Whatever the SDK's readers and their parsers raise: the file is not what its name says.
        raise _wrong(path, _told(error)) from error


def _add_skill(skills: list[Skill], path: Path) -> None:
    skill = Skill.load(path, strict=False, skip_mcp=True)
    if skill.mcp_tools:
        raise _wrong(path, f"mcp_tools is not read here: put the servers into the ConfigMap's {SERVERS}")
    configmap = path.parent.name
    name = configmap if path.name == "SKILL.md" else f"{configmap}/{skill.name}"
    if name in {known.name for known in skills}:
        raise _wrong(path, f"another file of the ConfigMap has the skill {name!r} already: change `name`")
    # What has no trigger would else be told always: AGENTS.md is for that.
    skills.append(skill.model_copy(update={"name": name, "is_agentskills_format": True}))


def _add_servers(servers: dict[str, MCPServer], path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    named = content.get("mcpServers") if isinstance(content, dict) else None
    if not isinstance(named, dict):
        raise _wrong(path, 'it has to be an object with the servers in "mcpServers"')
    for name, server in named.items():
        if name in servers:
            raise _wrong(path, f"another ConfigMap of the task names an MCP server {name!r} too: rename one of them")
        servers[name] = _server(path, name, server)


def _server(path: Path, name: str, server) -> MCPServer:
    if not SERVER_NAME.fullmatch(name):
        raise _wrong(path, f"{name!r} can't name an MCP server: use up to 32 letters, digits, - and _")
    unknown = sorted(set(server) - SERVER_KEYS) if isinstance(server, dict) else []
    if unknown:
        raise _wrong(path, f"the MCP server {name!r} has keys that mean nothing here: {', '.join(unknown)}")
    server = expand_variable_references(server, check_env=True)
    unset = re.search(r"\$\{(\w+)\}", json.dumps(server))
    if unset:
        raise _wrong(path, f"the MCP server {name!r} needs the environment variable {unset[1]}: set it in agent.env")
    known = coerce_mcp_config({name: server})[name]
    if not known.command and not known.url:
        raise _wrong(path, f"the MCP server {name!r} has neither command nor url")
    return known


def _wrong(path: Path, problem: str) -> Failure:
    return refused(f"ConfigMap {path.parent.name}, file {path.name}: {problem}")


def _told(error: Exception) -> str:
    if isinstance(error, ValidationError):
        # Without the values: some are secret.
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return f"{type(error).__name__}: {error}"
