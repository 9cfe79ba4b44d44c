#!/bin/sh
# Answers the query `weir-drained`, by which a weir node that leaves asks its balancers whether they still send it requests, on a
# balancer that runs Serf's agent and writes its servers by scripts (weir's own balancers answer by themselves):
#
#   serf agent -tag weir_lb=1 -event-handler 'query:weir-drained=/usr/share/weir/drained.sh /etc/nginx/conf.d/backends.conf'
#
# The file has a line `server ADDRESS:PORT …;` for each server. Those of the node are taken out, NGINX is reloaded, and once it has had
# a second to load the file the answer says so: `out ID 0`; until then it is `wait ID 0`, and the node asks again. Whatever writes the
# file anew has to leave out members with a tag weir_drain: nothing is said before this agent knows of the node's.
# Set NGINX and SERF to other programs, and LOCK to a file that the other script locks as well.
file=$1
NGINX=${NGINX:-nginx} SERF=${SERF:-serf} LOCK=${LOCK:-$file.lock}
read -r id incarnation node
if [ -z "$id" ] || [ -z "$incarnation" ] || [ -z "$node" ]; then
    echo "none ${id:--} 0"
    exit
fi
# Who cannot say who is there says nothing about anybody.
members=$($SERF members) || { echo "wait $id 0"; exit; }
is_it='$1 == node && index($0, "weir_drain=" id)'
address=$(printf '%s\n' "$members" | awk -v node="$node" -v id="$id" "$is_it"' { sub(/:[0-9]+$/, "", $2); print $2; exit }')
[ -n "$address" ] || { echo "wait $id 0"; exit; }
exec 9>"$LOCK"
flock 9
is_server='BEGIN { begins = "server " address ":" } { line = $0; sub(/^[ \t]+/, "", line); is = index(line, begins) == 1 }'
if awk -v address="$address" "$is_server is { found = 1 } END { exit !found }" "$file"; then
    cp "$file" "$file.before"
    awk -v address="$address" "$is_server !is" "$file.before" >"$file"
    said=$($NGINX -t 2>&1) && said=$($NGINX -s reload 2>&1) || {
        cat "$file.before" >"$file"
        printf 'no %s 0 apply %.200s\n' "$id" "$(printf '%s\n' "$said" | head -n 1)"
        exit
    }
fi
# Workers of before take requests until NGINX has loaded it, whoever wrote it.
if [ $(($(date +%s) - $(stat -c %Y "$file"))) -lt 2 ]; then
    echo "wait $id 0"
else
    echo "out $id 0"
fi
