#!/bin/sh
# Ask Prosa one question over HTTP and follow the answer as server-sent events, through lost connections.
# ask.sh http://127.0.0.1:8000 USER PASSWORD QUESTION          (needs curl; the question goes into JSON as it is)
set -eu
[ $# -eq 4 ] || { echo "usage: $0 http://127.0.0.1:8000 USER PASSWORD QUESTION" >&2; exit 2; }
url=$1
uuid() { cat /proc/sys/kernel/random/uuid; }
post() { curl -sS --fail-with-body -H 'Content-Type: application/json' "$@"; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

answer=$(post -d "{\"username\":\"$2\",\"password\":\"$3\"}" "$url/api/auth/token") || { echo "$answer" >&2; exit 1; }
bearer="Authorization: Bearer $(echo "$answer" | field access_token)"
answer=$(post -H "$bearer" -d "{\"id\":\"$(uuid)\",\"text\":\"$4\"}" "$url/api/chats/$(uuid)/messages") ||
    { echo "$answer" >&2; exit 1; }
run=$(echo "$answer" | field run)

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
touch "$folder/events"
until grep -q '^event: \(done\|failed\)' "$folder/events"; do
    last=$(sed -n 's/^id: //p' "$folder/events" | tail -n 1)
    { curl -sSN --fail -H "$bearer" -H "Last-Event-ID: $last" "$url/api/runs/$run/events"; echo $? >"$folder/code"; } |
        tee -a "$folder/events"
    [ "$(cat "$folder/code")" != 22 ] || exit 1 # refused: to ask again would not help
    sleep 0.2
done
