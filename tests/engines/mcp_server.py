"""An MCP server on standard input and output that needs nothing but Python: it tells names of its environment."""

import json
import os
import sys

TOOL = {
    "name": "environment",
    "description": "The names in the server's environment that begin so.",
    "inputSchema": {"type": "object", "properties": {"prefix": {"type": "string"}}, "required": ["prefix"]},
}


def answer(method: str, params: dict) -> dict | None:
    match method:
        case "initialize":
            about = {"name": "environment", "version": "1"}
            return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": about}
        case "tools/list":
            return {"tools": [TOOL]}
        case "tools/call":
            names = sorted(name for name in os.environ if name.startswith(params["arguments"]["prefix"]))
            return {"content": [{"type": "text", "text": " ".join(names)}]}
        case "ping":
            return {}
    return None


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        result = answer(request["method"], request.get("params") or {})
        unknown = {"error": {"code": -32601, "message": "no such method"}}
        reply = unknown if result is None else {"result": result}
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **reply}), flush=True)
