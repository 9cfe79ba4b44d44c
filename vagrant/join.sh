#!/bin/sh
# Lets a web server join the balancer's cluster, from the machine that runs Vagrant. The key goes from one to the other through a
# pipe: no file, no argument and no output has it. Usage: join.sh HOST ADDRESS BALANCER
set -eu
cd "$(dirname "$0")"
on() { vagrant ssh --no-tty "$1" -c "$2"; }

# Nothing to do where weir is not installed (vagrant up --no-provision) or configured already.
if [ "$(on "$1" 'command -v weir >/dev/null && ! sudo test -e /etc/weir/weir.toml && echo new' </dev/null || :)" = new ]; then
    on lb 'sudo weir keys export' </dev/null | on "$1" "sudo weir init web --join $3 --address $2 --yes --key-file -"
fi
