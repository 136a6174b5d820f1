"""One run of the agent: from the settings to a conclusion."""

import logging
import os
from decimal import Decimal

from openhands.sdk import Agent, AgentContext, Tool
from openhands.sdk.context.condenser.llm_summarizing_condenser import default_condenser
from openhands.sdk.conversation import ConversationExecutionStatus, LocalConversation
from openhands.sdk.conversation.exceptions import ConversationRunError
from openhands.sdk.event import ActionEvent, MessageEvent
from openhands.sdk.event.conversation_error import ConversationErrorEvent
from openhands.sdk.tool.builtins import FinishAction, FinishTool
from openhands.tools.file_editor import FileEditorTool
from openhands.tools.terminal import TerminalTool

from .model import model_of
from .protocol import Events, Exit, Failure
from .servers import Servers
from .settings import Settings
from .skills import Skills, read_skills
from .translate import Translator, failure
from .verdict import NUDGE, Conclusion, instructions

# It warns that nothing is kept on disk, which is meant so: the pod ends with the run.
logging.getLogger("openhands.sdk.conversation.state").setLevel(logging.ERROR)

# An agent that asks is told so often that nobody answers.
NUDGES = 2


class Run:
    """A conversation, and what it has used."""

    def __init__(self, settings: Settings, events: Events):
        self._settings, self._events = settings, events
        self._translator = Translator(events)
        self._servers = Servers(events)
        self._steps: set[str] = set()
        self._usage: dict = {}
        self._finish: ActionEvent | None = None
        self._error: ConversationErrorEvent | None = None
        self._conversation = LocalConversation(
            agent=_agent(settings, read_skills(settings.skills_dir), events),
            workspace=os.getcwd(),
            callbacks=[self._on_event],
            visualizer=None,
            max_iteration_per_run=settings.max_iterations,
            max_budget_per_run=settings.max_cost,
            mcp_tool_provider=self._servers,
        )

    def conclude(self) -> dict:
        """Runs the agent to its end: the fields of the event `finish`."""
        self._conversation.send_message(self._settings.prompt)
        # The servers have been started by now.
        notice = self._servers.notice()
        if notice:
            self._conversation.send_message(notice)
        for _ in range(1 + NUDGES):
            self._run()
            if self._finish is not None:
                return self._conclusion(self._finish)
            left = self._settings.max_iterations - len(self._steps)
            if left <= 0:
                text = f"the agent took {len(self._steps)} steps and came to no verdict"
                raise Failure(Exit.LIMIT, "IterationLimit", text)
            self._conversation.max_iteration_per_run = left
            self._conversation.send_message(NUDGE)
        self._events.emit("state", state="awaitingInput")
        raise Failure(Exit.FAULT, "NoVerdict", "the agent asks questions, which nobody answers, and gives no verdict")

    def close(self) -> None:
        self._conversation.close()

    def _run(self) -> None:
        self._check_budget()
        try:
            self._conversation.run()
        except ConversationRunError as error:
            raise self._failure(error.__cause__) from error
        finally:
            self._count(None)
        status = self._conversation.state.execution_status
        if status == ConversationExecutionStatus.STUCK:
            self._events.emit("state", state="stuck")
            raise Failure(Exit.FAULT, "Stuck", "the agent goes in circles")
        if status != ConversationExecutionStatus.FINISHED:
            raise self._failure(None)

    def _check_budget(self) -> None:
        """The SDK looks after a step only, and not at all where the step ended in a question."""
        budget, spent = self._settings.max_cost, self._metrics().accumulated_cost
        if budget is not None and spent >= budget:
            raise Failure(Exit.LIMIT, "BudgetExceeded", f"the run has spent ${spent:.4f} of ${budget:.4f}")

    def _metrics(self):
        return self._conversation.conversation_stats.get_combined_metrics()

    def _failure(self, cause: BaseException | None) -> Failure:
        if self._error is None:
            return Failure(Exit.FAULT, "AgentFault", f"the conversation ended early: {cause}")
        return failure(self._error, cause)

    def _on_event(self, event) -> None:
        if isinstance(event, ConversationErrorEvent):
            # Told at the end, once.
            self._error = event
            return
        if isinstance(event, ActionEvent) and isinstance(event.action, FinishAction):
            self._finish = event
        self._count(event)
        self._translator.translate(event)

    def _count(self, event) -> None:
        if isinstance(event, (ActionEvent, MessageEvent)) and event.source == "agent" and event.llm_response_id:
            self._steps.add(event.llm_response_id)
        metrics = self._metrics()
        tokens = metrics.accumulated_token_usage
        usage = {
            "inputTokens": tokens.prompt_tokens if tokens else 0,
            "outputTokens": tokens.completion_tokens if tokens else 0,
            "cacheReadTokens": tokens.cache_read_tokens if tokens else 0,
            "cacheWriteTokens": tokens.cache_write_tokens if tokens else 0,
            "calls": len(metrics.token_usages),
            "iterations": len(self._steps),
            "costUSD": self._cost(metrics.accumulated_cost),
        }
        if usage["calls"] and usage != self._usage:
            self._usage = usage
            self._events.emit("usage", **usage)

    def _cost(self, cost: float) -> str | None:
        """None where nothing was charged because nobody knows a price."""
        known = cost or self._settings.input_cost is not None
        return f"{Decimal(str(cost)):.6f}" if known else None

    @staticmethod
    def _conclusion(event: ActionEvent) -> dict:
        conclusion = Conclusion.model_validate(event.action.structured_output)
        return {"summary": event.action.message, **conclusion.model_dump()}


def _agent(settings: Settings, skills: Skills, events: Events) -> Agent:
    llm = model_of(settings, events)
    return Agent(
        llm=llm,
        tools=[
            Tool(name=TerminalTool.name),
            Tool(name=FileEditorTool.name),
            Tool(name=FinishTool.__name__, params={"response_schema": Conclusion}),
        ],
        include_default_tools=["ThinkTool"],
        mcp_config=skills.servers,
        # Nothing is fetched, and nothing is taken from HOME or the workspace, where the agent itself could put it.
        agent_context=AgentContext(
            skills=skills.skills,
            system_message_suffix=instructions(settings.mode, skills.context()),
            load_public_skills=False,
            load_user_skills=False,
            load_project_skills=False,
        ),
        condenser=default_condenser(llm.model_copy(update={"usage_id": "condenser"})),
    )
