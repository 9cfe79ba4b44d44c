#!/bin/sh
# Answers the query `weir-drained`, by which a weir node that leaves asks its balancers whether they still send it requests, on a
# balancer that runs Serf's agent and writes its servers by scripts (weir's own balancers answer by themselves):
#
#   serf agent -tag weir_lb=1 -event-handler 'query:weir-drained=/usr/share/weir/drained.sh /etc/nginx/conf.d/backends.conf'
#
# The file has a line `server ADDRESS:PORT …;` for each server. Those of the node are taken out, NGINX is reloaded, and the answer
# says so: `out ID 0`. Whatever writes the file anew has to leave out members with a tag weir_drain from then on.
# Set NGINX and SERF to other programs, and LOCK to a file that the other script locks as well.
file=$1
NGINX=${NGINX:-nginx} SERF=${SERF:-serf} LOCK=${LOCK:-$file.lock}
read -r id incarnation node
# Who cannot say who is there says nothing about anybody.
members=$($SERF members) || { echo "wait ${id:--} 0"; exit; }
address=$(printf '%s\n' "$members" | awk -v node="$node" '$1 == node { sub(/:[0-9]+$/, "", $2); print $2; exit }')
if [ -z "$id" ] || [ -z "$incarnation" ] || [ -z "$address" ]; then
    echo "none ${id:--} 0"
    exit
fi
exec 9>"$LOCK"
flock 9
is_server='BEGIN { begins = "server " address ":" } { line = $0; sub(/^[ \t]+/, "", line); is = index(line, begins) == 1 }'
if awk -v address="$address" "$is_server is { found = 1 } END { exit !found }" "$file"; then
    cp "$file" "$file.before"
    awk -v address="$address" "$is_server !is" "$file.before" >"$file"
    if ! said=$($NGINX -t 2>&1); then
        cat "$file.before" >"$file"
        printf 'no %s 0 apply %.200s\n' "$id" "$(printf '%s\n' "$said" | head -n 1)"
        exit
    fi
    if ! said=$($NGINX -s reload 2>&1); then
        cat "$file.before" >"$file"
        printf 'no %s 0 apply %.200s\n' "$id" "$(printf '%s\n' "$said" | head -n 1)"
        exit
    fi
fi
echo "out $id 0"
