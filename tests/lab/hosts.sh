#!/usr/bin/env bash
# A lab of several servers with systemd, called lb, web1, web2 and so on to web8, through one of the drivers beside this file:
# WEIR_LAB_DRIVER is nspawn unless it is set.
#
#   ready                           make what all labs share; ends with 77 and the reason where there can be no hosts
#   up [HOST...]                    boot them, by default lb, web1 and web2
#   down                            end and remove all, also of half a lab
#   status                          each host's address, process 1 and link
#   exec HOST COMMAND...            run there as root, as over ssh
#   unit HOST COMMAND...            the same as a transient unit: with a service's capabilities and limits
#   put HOST SOURCE DIR, get        copy to and from the host
#   journal HOST [ARGUMENT...]      journalctl, also of a host that is off
#   addr HOST                       its address
#   stop, start, reboot HOST...     orderly; disk and address stay
#   kill HOST...                    power loss: every process ends at once and the address goes silent
#   cut HOST...                     link down: the host sees no carrier
#   split A,B C                     two sides that cannot reach each other
#   oneway A B                      what A sends to B is lost
#   loss HOST PERCENT               of its frames each way; 100 is silence with the link up
#   delay HOST MS [JITTER [LOSS%]]  latency each way; 0 takes it out
#   heal                            undo every fault
#
# What a driver cannot do it ends with 77 and the reason.
#
# WEIR_LAB names a lab: its hosts are its own. WEIR_LAB_SUITE is the Debian that they run, bookworm by default; of vagrant it is WEIR_BOX.
set -euo pipefail
exec "$(dirname "$0")/drivers/${WEIR_LAB_DRIVER:-nspawn}" "$@"
