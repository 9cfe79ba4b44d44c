#!/bin/sh
# Answers the query `health`, by which weir's balancers ask their servers, on a node that runs Serf's agent (weir's own agents
# answer from their [check.NAME]):
#
#   serf agent -event-handler 'query:health=/usr/share/weir/health.sh curl -fsS -o /dev/null http://127.0.0.1:80/'
#
# The rest of the line is a command that checks the service: exit status 0 is passing, 1 warning, any other critical. The answer
# is one line, the state and the first line that the command printed. A balancer waits for two seconds (health.query_timeout).
if [ $# -eq 0 ]; then
    echo "critical health.sh: no command is given"
    exit
fi
said=$(timeout 1.5 "$@" 2>&1)
case $? in
    0) state=passing ;;
    1) state=warning ;;
    124) state=critical said="no result within 1.5 s" ;;
    *) state=critical ;;
esac
printf '%s %.200s\n' "$state" "$(printf '%s\n' "$said" | head -n 1)"
