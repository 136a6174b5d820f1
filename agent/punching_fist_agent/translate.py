"""From the SDK's events to the runner's."""

import json
import re

from openhands.sdk.event import ActionEvent, AgentErrorEvent, MessageEvent, ObservationEvent
from openhands.sdk.event.conversation_error import ConversationErrorEvent
from openhands.sdk.mcp.definition import MCPToolAction, MCPToolObservation
from openhands.sdk.tool.builtins import FinishAction, ThinkAction
from openhands.tools.file_editor import FileEditorAction, FileEditorObservation
from openhands.tools.terminal import TerminalAction, TerminalObservation

from .protocol import Events, Exit, Failure

# The model gateway's own refusals, which come with a status that nothing retries.
GATEWAY_ENDS = {
    "BudgetExceeded": (Exit.LIMIT, "BudgetExceeded"),
    "RunOver": (Exit.REFUSED, "ConfigurationRefused"),
    "Refused": (Exit.REFUSED, "ConfigurationRefused"),
}
LIMITS = {"MaxIterationsReached": "IterationLimit", "MaxBudgetReached": "BudgetExceeded"}
# Where an image has no tmux, the SDK's shell puts these around its prompt, and they stand in what a command wrote.
PROMPT_MARKS = re.compile(r"\x1b\[\?2004[hl]")
GATEWAY = re.compile(rf"punching-fist-gateway: ({'|'.join(GATEWAY_ENDS)})\b")


class Translator:
    """Passes on what the SDK's events say, where they say something."""

    def __init__(self, events: Events):
        self._events = events
        # Which file a call edits: a refused edit doesn't say it again.
        self._paths: dict[str, str] = {}

    def translate(self, event) -> None:
        match event:
            case ActionEvent():
                self._action(event)
            case ObservationEvent():
                self._observation(event.tool_call_id, event.observation)
            case AgentErrorEvent():
                self._events.emit("error", code="ToolCallRefused", text=event.error)
            case MessageEvent(source="agent"):
                self._events.emit("message", text=_text(event.llm_message.content))

    def _action(self, event: ActionEvent) -> None:
        call = event.tool_call_id
        thought = "\n".join(filter(None, [event.reasoning_content, _text(event.thought)]))
        if thought:
            self._events.emit("thought", text=thought)
        match event.action:
            case TerminalAction(command=command):
                self._events.emit("command", id=call, command=command)
            case ThinkAction(thought=text):
                self._events.emit("thought", text=text)
            case FinishAction() | None:
                pass
            case FileEditorAction(command=command, path=path):
                self._paths[call] = path
                self._events.emit("command", id=call, command=f"{command} {path}")
            case MCPToolAction(data=arguments):
                arguments = json.dumps(arguments, ensure_ascii=False)
                self._events.emit("command", id=call, command=f"{event.tool_name} {arguments}")
            case other:
                arguments = json.dumps(other.model_dump(mode="json", exclude={"kind"}), ensure_ascii=False)
                self._events.emit("command", id=call, command=f"{event.tool_name} {arguments}")

    def _observation(self, call: str, observation) -> None:
        match observation:
            case TerminalObservation(exit_code=code):
                # -1: it goes on in the background.
                code = None if code == -1 else code
                text = PROMPT_MARKS.sub("", _text(observation.content))
                self._events.emit("output", id=call, exitCode=code, text=text)
            case MCPToolObservation(is_error=failed):
                self._events.emit("output", id=call, exitCode=int(failed), text=_text(observation.content))
            case FileEditorObservation(command=command, path=path, is_error=failed) if command != "view":
                self._events.emit("edit", path=path or self._paths.get(call, ""), ok=not failed)
            case _:
                text = _text(observation.content)
                if text and type(observation).__name__ not in ("FinishObservation", "ThinkObservation"):
                    self._events.emit("output", id=call, text=text)


def failure(event: ConversationErrorEvent, cause: BaseException | None = None) -> Failure:
    """Which end of a run an error is; `cause` is what was raised, where something was."""
    # The SDK puts a sentence of its own in the place of what the provider said about the key.
    text = str(cause) if cause is not None and event.code == "LLMAuthenticationError" else event.detail
    refusal = GATEWAY.search(text)
    if refusal:
        return Failure(*GATEWAY_ENDS[refusal[1]], text, event.code)
    if event.code in LIMITS:
        return Failure(Exit.LIMIT, LIMITS[event.code], text, event.code)
    return _refusal_or_fault(event, text, getattr(cause, "status_code", None))


def _refusal_or_fault(event: ConversationErrorEvent, text: str, status: int | None) -> Failure:
    code, kind = event.code, event.classification.kind.value if event.classification else "unknown"
    if kind == "auth" or status in (401, 403):
        return Failure(Exit.REFUSED, "CredentialsRefused", text, code)
    if code == "LLMBadRequestError" or status in (400, 404, 422):
        return Failure(Exit.REFUSED, "ConfigurationRefused", text, code)
    if kind in ("rate_limit", "quota", "transient") or code.startswith("LLM"):
        return Failure(Exit.FAULT, "ProviderFault", text, code)
    return Failure(Exit.FAULT, "AgentFault", f"{code}: {text}", code)


def _text(content) -> str:
    return "\n".join(part.text for part in content if getattr(part, "text", None))
