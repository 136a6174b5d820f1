"""A model on loopback that says what a test wants: a list of answers, the last one for ever."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def tool(name: str, /, **arguments) -> dict:
    """An answer that calls a tool."""
    return {"name": name, "arguments": arguments}


def shell(command: str) -> dict:
    return tool("terminal", command=command)


def finish(**changes) -> dict:
    conclusion = {"verdict": "Diagnosed", "confidence": "High", "report": "It said hi.", "message": "All is clear."}
    return tool("finish", **(conclusion | changes))


# An answer that never comes, and one that stops half way.
SILENCE, HALF = object(), object()


class FakeModel:
    """Answers are strings (text), tools, numbers (an HTTP error), pairs of an HTTP error and its text, SILENCE, HALF,
    or functions that make one of the request. Requests are kept."""

    def __init__(self, *answers):
        self.requests: list[dict] = []
        self._closed = threading.Event()
        self._answers = answers
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body["authorization"] = self.headers.get("Authorization")
                answer = model._next(body)
                if answer is SILENCE:
                    model._closed.wait()
                    return
                status, content = model._answer(answer, body)
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if answer is HALF:
                    self.wfile.write(data[:20])
                    model._closed.wait()
                else:
                    self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _next(self, body: dict):
        self.requests.append(body)
        answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
        return answer(body) if callable(answer) else answer

    def _answer(self, answer, body: dict) -> tuple[int, dict]:
        number = len(self.requests)
        if isinstance(answer, int):
            answer = answer, f"The fake model says {answer}."
        if isinstance(answer, tuple):
            return answer[0], {"type": "error", "error": {"message": answer[1], "type": "error"}}
        message = {"role": "assistant", "content": answer if isinstance(answer, str) else None}
        if isinstance(answer, dict):
            message["tool_calls"] = [_call(number, answer, body)]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if isinstance(answer, dict) else "stop"}
        usage = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
        frame = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": int(time.time()), "model": "fake"}
        return 200, frame | {"choices": [choice], "usage": usage}


def _call(number: int, answer: dict, body: dict) -> dict:
    """The call with what the SDK's schema of the tool asks for besides."""
    schemas = {each["function"]["name"]: each["function"]["parameters"] for each in body.get("tools", [])}
    known = schemas[answer["name"]]["properties"]
    extra = {"security_risk": "LOW", "summary": "as told"}
    arguments = {name: value for name, value in extra.items() if name in known} | answer["arguments"]
    function = {"name": answer["name"], "arguments": json.dumps(arguments)}
    return {"id": f"call_{number}", "type": "function", "function": function}
