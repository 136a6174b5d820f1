"""Starts the MCP servers, and names those that don't start: the SDK goes on without them and says so nowhere."""

import os
from concurrent.futures import ThreadPoolExecutor

from openhands.sdk.mcp.client import MCPClient
from openhands.sdk.mcp.config import MCPServer
from openhands.sdk.mcp.utils import create_mcp_tools
from pydantic import SecretStr

from .protocol import Events


class Servers:
    """What the SDK calls to have MCP servers' tools."""

    def __init__(self, events: Events):
        self._events = events
        # Why each that isn't there isn't.
        self.failed: dict[str, str] = {}

    def create_tools(self, mcp_config: dict[str, MCPServer], timeout: float = 30.0, **callbacks) -> MCPClient:
        servers = {name: _in_the_pod(server) for name, server in mcp_config.items()}
        if len(servers) > 1:
            # Of several at once, the client leaves out in silence what doesn't start.
            with ThreadPoolExecutor(len(servers)) as pool:
                works = pool.map(lambda each: self._try(*each, timeout), servers.items())
                servers = {name: server for (name, server), works in zip(servers.items(), works, strict=True) if works}
        try:
            return create_mcp_tools(servers, timeout, **callbacks)
        except Exception as error:
            for name in servers:
                self._fail(name, error)
            raise

    def notice(self) -> str | None:
        """What the agent has to know of it."""
        if not self.failed:
            return None
        missing = f"These MCP servers did not start, so their tools are missing: {', '.join(self.failed)}."
        return f"{missing} Go on without them, and say so in the report."

    def _try(self, name: str, server: MCPServer, timeout: float) -> bool:
        try:
            create_mcp_tools({name: server}, timeout).sync_close()
        except Exception as error:
            self._fail(name, error)
            return False
        return True

    def _fail(self, name: str, error: Exception) -> None:
        # A refused connection or a missing program hides behind "Client failed to connect".
        why = "; ".join(str(each).splitlines()[0] for each in (error, error.__cause__) if each and str(each))
        self.failed[name] = why
        self._events.emit("error", code="McpServerFailed", text=f"the MCP server {name} does not start: {why}")


def _in_the_pod(server: MCPServer) -> MCPServer:
    """With the pod's environment, where the model's key is gone from. Else a server would get PATH and HOME alone."""
    if server.command is None:
        return server
    pod = {name: SecretStr(value) for name, value in os.environ.items()}
    return server.model_copy(update={"env": pod | (server.env or {})})
