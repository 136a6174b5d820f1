"""An MCP server on standard input and output, as small as can be: it tells names of its environment, or fails."""

import os

from mcp.server.fastmcp import FastMCP

server = FastMCP("test")


@server.tool()
def environment(prefix: str) -> str:
    """The names in the server's environment that begin so."""
    return " ".join(sorted(name for name in os.environ if name.startswith(prefix)))


@server.tool()
def fail() -> str:
    """Always fails."""
    raise ValueError("as it was told")


if __name__ == "__main__":
    server.run()
