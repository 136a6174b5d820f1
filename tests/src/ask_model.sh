#!/bin/sh
# Asks the model once, as an engine does, and says what it answered, behind the status: ask-model URL WHO. WHO tells the
# model's requests apart. TOKENS is the most that it may answer, STREAM is true for an answer in pieces, and TIME is how
# long it may take. Fails unless the model answers.
answer=$(mktemp)
body='{
  "model": "scripted", "max_tokens": '${TOKENS:-100}', "stream": '${STREAM:-false}',
  "messages": [{"role": "user", "content": "'$2'"}],
  "tools": [{"type": "function", "function": {"name": "terminal", "parameters": {"properties": {"command": {}}}}}]
}'
status=$(curl --silent --no-buffer --max-time "${TIME:-120}" --output "$answer" --write-out '%{http_code}' \
  --header "Authorization: Bearer $LLM_API_KEY" --header 'Content-Type: application/json' \
  --data "$body" "$1/chat/completions")
result=$?
echo "$status $(cat "$answer")"
[ "$result" = 0 ] && [ "$status" = 200 ]
