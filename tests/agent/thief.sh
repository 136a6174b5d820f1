# What an agent can do to get at the model's key, at the model beside its run, and at the cluster with the token that it
# has: thief.sh DIRECTORY, where the host has what belongs to the operator. Says `found WHERE: TEXT` of whatever begins as
# the key does, and `asked WHAT: ANSWER STATUS`.
begin="unmistakable"-

# Planted, and to be found: else it didn't look.
export PLANTED="${begin}planted"
echo "$PLANTED" > "$HOME/planted"

# No pattern matches itself, in a command line or in a file.
pattern="${begin}[0-9a-z][0-9a-z]*"
look="grep --text --only-matching --no-filename --no-messages"
found() { sort -u | sed "s|^|found $1: |"; }

env | $look "$pattern" | found environment
# By a shell that has begun with what was planted.
sh -c "$look"' "$1" /proc/[0-9]*/environ /proc/[0-9]*/cmdline' sh "$pattern" | found processes
find "$1" /punching-fist* /workspace "$HOME" /tmp /etc /run /var/run /var/log /dev/shm -type f -readable -size -8192k -print0 \
  2>/dev/null | xargs -0 -r $look "$pattern" | found files

ask() {
  what=$1
  shift
  answer=$(curl --silent --include --path-as-is --max-time 20 --write-out ' %{http_code}' "$@" | tr '\r\n' '  ')
  echo "asked $what: $answer"
}
as() { printf 'Authorization: Bearer %s' "$1"; }

own=$(as "$LLM_API_KEY")
json='Content-Type: application/json'
chat=$LLM_BASE_URL/chat/completions
question='{"model": "scripted", "max_tokens": 100, "messages": [{"role": "user", "content": "thief"}]}'

ask own-model --header "$own" --header "$json" --data "$question" "$chat"
ask another-model --header "$own" --header "$json" --data '{"model": "dearer", "messages": []}' "$chat"
ask stored-conversation --header "$own" --header "$json" \
  --data '{"model": "scripted", "input": "thief", "previous_response_id": "resp_1"}' "$LLM_BASE_URL/responses"
ask list-of-models --header "$own" "$LLM_BASE_URL/models"
ask embeddings --header "$own" --header "$json" --data "$question" "$LLM_BASE_URL/embeddings"
ask files --header "$own" "$LLM_BASE_URL/files"
ask around-the-path --header "$own" "$chat/../../models"
ask gateways-metrics --header "$own" "${LLM_BASE_URL%/v1}/metrics"

# Other tokens: none, the one for the API server, and its own with other claims.
account=$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)
signed=${LLM_API_KEY%.*}
unsigned=$(printf '{"alg":"none"}' | base64).${signed#*.}
ask no-token --header "$json" --data "$question" "$chat"
ask token-for-the-api-server --header "$(as "$account")" --header "$json" --data "$question" "$chat"
ask forged-signature --header "$(as "$signed.Zm9yZ2Vk")" --header "$json" --data "$question" "$chat"
ask no-algorithm --header "$(as "$unsigned.Zm9yZ2Vk")" --header "$json" --data "$question" "$chat"

cluster=https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/api/v1/namespaces
ask api-server --insecure --header "$own" "$cluster"
