# An agent in shell, for the engine `command`: it asks the model at $LLM_BASE_URL, runs the commands that it is told to,
# says what it does in the protocol's events, and leaves its conclusion in $PUNCHING_FIST_RESULT. It takes curl and jq.
work=$(mktemp -d)
timeout=${LLM_TIMEOUT:-300}

event() { jq --null-input --compact-output "$@"; }
fail() { event --arg reason "$1" --arg text "$2" '{kind: "error", $reason, $text}'; exit 1; }

cat > "$work/tools" <<'TOOLS'
[{"type": "function", "function": {"name": "bash", "parameters": {"type": "object", "properties":
   {"command": {"type": "string"}}}}},
 {"type": "function", "function": {"name": "finish", "parameters": {"type": "object", "properties":
   {"message": {}, "verdict": {}, "confidence": {}, "report": {}, "plan": {}}}}}]
TOOLS
jq --raw-input --slurp '[{role: "user", content: .}]' "$PUNCHING_FIST_PROMPT_FILE" > "$work/messages"
echo '{"kind": "usage", "iterations": 0, "calls": 0, "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0}' > "$work/usage"

# Asks once: the answer is in the file.
ask() {
  jq --null-input --arg model "${LLM_MODEL#*/}" --slurpfile messages "$work/messages" --slurpfile tools "$work/tools" \
    '{$model, messages: $messages[0], tools: $tools[0]}' > "$work/question"
  status=$(curl --silent --max-time "$timeout" --retry "${LLM_NUM_RETRIES:-13}" --retry-delay "${LLM_RETRY_MAX_WAIT:-32}" \
    --retry-all-errors --output "$work/answer" --write-out '%{http_code}' --data "@$work/question" \
    --header "Authorization: Bearer $LLM_API_KEY" --header 'Content-Type: application/json' "$LLM_BASE_URL/chat/completions") ||
    fail ProviderFault "no whole answer within $timeout s"
  case $status in
    200) ;;
    401 | 403) fail CredentialsRefused "HTTP $status: $(cat "$work/answer")" ;;
    429 | 5??) fail ProviderFault "HTTP $status: $(cat "$work/answer")" ;;
    *) fail ConfigurationRefused "HTTP $status: $(cat "$work/answer")" ;;
  esac
  jq --compact-output --slurpfile answer "$work/answer" '$answer[0].usage as $new | .iterations += 1 | .calls += 1
    | .inputTokens += ($new.prompt_tokens // 0) | .outputTokens += ($new.completion_tokens // 0)
    | .cacheReadTokens += ($new.prompt_tokens_details.cached_tokens // 0)' "$work/usage" > "$work/sum"
  mv "$work/sum" "$work/usage"
  cat "$work/usage"
}

# What the answer says of itself, by jq.
of_answer() { jq --raw-output ".choices[0].message | $1" "$work/answer"; }

while ask; do
  call=$(of_answer '.tool_calls[0].id // ""')
  case $(of_answer '.tool_calls[0].function.name // ""') in
    bash)
      command=$(of_answer '.tool_calls[0].function.arguments | fromjson | .command')
      event --arg id "$call" --arg command "$command" '{kind: "command", $id, $command}'
      sh -c "$command" > "$work/output" 2>&1
      event --arg id "$call" --argjson exitCode $? --rawfile text "$work/output" '{kind: "output", $id, $exitCode, $text}'
      jq --slurpfile answer "$work/answer" --rawfile output "$work/output" --arg id "$call" \
        '. + [$answer[0].choices[0].message, {role: "tool", tool_call_id: $id, content: $output}]' \
        "$work/messages" > "$work/longer"
      mv "$work/longer" "$work/messages" ;;
    finish)
      of_answer '.tool_calls[0].function.arguments | fromjson | {verdict, confidence, summary: .message, report, plan}' \
        > "$PUNCHING_FIST_RESULT"
      exit 0 ;;
    *)
      event --arg text "$(of_answer .content)" '{kind: "message", $text}'
      event '{kind: "state", state: "awaitingInput"}'
      exit 0 ;;
  esac
done
