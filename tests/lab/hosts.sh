#!/usr/bin/env bash
# A lab of several servers on one machine: systemd-nspawn containers booted with systemd, overlayfs over one shared root,
# one bridge in a network namespace of its own. Hosts have no way out: what they need is in the shared root or in /lab.
#
#   up [HOST...]                    boot them, by default lb, web1 and web2; more are web3 to web8
#   down                            end and remove all, also of half a lab
#   status                          each host's address, process 1 and link
#   exec HOST COMMAND...            run in all namespaces of the host
#   unit HOST COMMAND...            the same as a transient unit: with a service's capabilities and limits
#   put HOST SOURCE DIR, get        copy to and from the host; /lab is the same directory in all hosts, `share` prints it here
#   journal HOST [ARGUMENT...]      journalctl, also of a host that is off
#   addr HOST, pid HOST             its address; its process 1 as seen from here
#   stop, start, reboot HOST        orderly; disk and address stay
#   kill HOST...                    power loss: every process ends at once and the address goes silent
#   cut HOST...                     link down: the host sees no carrier
#   split A,B C                     two sides that cannot reach each other
#   oneway A B                      what A sends to B is lost
#   loss HOST PERCENT               of its frames each way; 100 is silence with the link up
#   delay HOST MS [JITTER [LOSS%]]  latency each way; 0 takes it out
#   heal                            undo every fault
#   driver COMMAND...               run on the bridge, as one more machine
#
# WEIR_LAB names a lab and WEIR_LAB_NET moves it, so that labs can run side by side. WEIR_LAB_SUITE is another Debian,
# WEIR_LAB_PKGS adds packages to its root, WEIR_LAB_NSPAWN adds options of systemd-nspawn.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
lab="${WEIR_LAB:-lab}"
net="${WEIR_LAB_NET:-10.77.0}"
suite="${WEIR_LAB_SUITE:-bookworm}"
packages="apt-utils,systemd-sysv,dbus,nginx-light,iproute2,curl,procps,ca-certificates,python3,rpm,dnf${WEIR_LAB_PKGS:+,$WEIR_LAB_PKGS}"
# Never written by a lab; its name changes with what is in it.
base="/var/lib/machines/weir-$suite-$(cksum <<<"$packages" | cut -d' ' -f1)"
state="${TMPDIR:-/tmp}/weir-$lab"
# The namespace of the bridge.
bridge="weir-$lab-bridge"
all=(lb web1 web2 web3 web4 web5 web6 web7 web8)

die() { echo "error: $*" >&2; exit 1; }
namespace() { echo "weir-$lab-$1"; }
disk() { echo "$state/hosts/$1"; }
known() { [ -d "$(disk "$1")" ] || die "no host $1 in this lab; $0 up $1 makes it"; }
hosts() {
    local path
    for path in "$state"/hosts/*/; do [ ! -d "$path" ] || basename "$path"; done
}

cmd_addr() {
    case "$1" in
        lb) echo "$net.11" ;;
        web[1-8]) echo "$net.$((11 + ${1#web}))" ;;
        *) die "host names are ${all[*]}, not $1" ;;
    esac
}

# Process 1 of a host, as seen from here; empty when it is off.
process1() {
    local nspawn
    nspawn="$(cat "$(disk "$1")/nspawn.pid" 2>/dev/null)" || return 0
    awk '{ print $1 }' "/proc/$nspawn/task/$nspawn/children" 2>/dev/null || true
}

cmd_pid() {
    local pid
    known "$1"
    pid="$(process1 "$1")"
    [ -n "$pid" ] || die "$1 is not running; $0 start $1"
    echo "$pid"
}

# The C locale: in another, package tools complain that it is not installed there.
cmd_exec() {
    local host="$1" pid
    shift
    pid="$(cmd_pid "$host")"
    nsenter -t "$pid" -a env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root "$@"
}

cmd_unit() {
    local host="$1"
    shift
    cmd_exec "$host" systemd-run -q --wait --pipe --collect -- "$@"
}

make_base() {
    [ -e "$base/etc/os-release" ] && return
    # One lab makes it, others wait.
    mkdir -p "$(dirname "$base")"
    exec 9>"$base.lock"
    flock 9
    if [ ! -e "$base/etc/os-release" ]; then
        rm -rf "$base.part"
        "$here/root" "$base.part" "$packages"
        mv "$base.part" "$base"
    fi
    exec 9>&-
}

make_bridge() {
    [ ! -e "/run/netns/$bridge" ] || return 0
    ip netns add "$bridge"
    ip -n "$bridge" link set lo up
    ip -n "$bridge" link add br0 type bridge
    ip -n "$bridge" addr add "$net.1/24" dev br0
    ip -n "$bridge" link set br0 up
}

make_link() {
    local host="$1" name
    name="$(namespace "$host")"
    [ ! -e "/run/netns/$name" ] || return 0
    ip netns add "$name"
    ip -n "$bridge" link add "$host" type veth peer name eth0 netns "$name"
    ip -n "$bridge" link set "$host" master br0 up
    ip -n "$name" addr add "$(cmd_addr "$host")/24" dev eth0
    ip -n "$name" link set lo up
    ip -n "$name" link set eth0 up
    ip -n "$name" route add default via "$net.1"
}

make_disk() {
    local disk other
    disk="$(disk "$1")"
    ! mountpoint -q "$disk/root" || return 0
    mkdir -p "$disk"/{root,upper,work}
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$disk/upper,workdir=$disk/work" "$disk/root"
    [ -e "$disk/uuid" ] || tr -d - </proc/sys/kernel/random/uuid >"$disk/uuid"
    # Without one systemd takes this for a first boot.
    cp "$disk/uuid" "$disk/root/etc/machine-id"
    echo "$1" >"$disk/root/etc/hostname"
    {
        echo "127.0.0.1 localhost"
        for other in "${all[@]}"; do echo "$(cmd_addr "$other") $other"; done
    } >"$disk/root/etc/hosts"
}

# Boots a host whose disk and link exist.
boot() {
    local host="$1" disk
    disk="$(disk "$1")"
    [ -z "$(process1 "$host")" ] || return 0
    ip -n "$bridge" link set "$host" up
    # A mount namespace of its own with cgroup2 alone on /sys/fs/cgroup: the host boots "unified", as servers do. A cgroup
    # of its own: with --keep-unit two containers started from one would share a payload group and end each other's
    # services. The two capabilities and bpf make IPAddressDeny= and closing sockets work as on a server.
    setsid unshare -m --propagation slave sh -c '
        umount -l /sys/fs/cgroup 2>/dev/null
        mount -t cgroup2 none /sys/fs/cgroup || exit 1
        mkdir -p "/sys/fs/cgroup/$1" && echo $$ >"/sys/fs/cgroup/$1/cgroup.procs" || exit 1
        shift
        exec systemd-nspawn "$@"' sh "$(namespace "$host")" \
        -q -D "$disk/root" -M "$host" --uuid="$(cat "$disk/uuid")" --register=no --keep-unit -b --console=pipe \
        --network-namespace-path="/run/netns/$(namespace "$host")" --resolv-conf=off --timezone=off --link-journal=no \
        --bind="$state/share:/lab" --capability=CAP_BPF,CAP_NET_ADMIN --system-call-filter=bpf ${WEIR_LAB_NSPAWN:-} \
        </dev/null >>"$disk/console.log" 2>&1 9>&- &
    echo $! >"$disk/nspawn.pid"
}

# Until systemd says that everything was started.
await() {
    local host="$1" disk pid state_of i
    disk="$(disk "$1")"
    for ((i = 0; i < 1200; i++)); do
        kill -0 "$(cat "$disk/nspawn.pid")" 2>/dev/null || { tail -5 "$disk/console.log" >&2; die "$host: systemd-nspawn ended"; }
        pid="$(process1 "$host")"
        if [ -n "$pid" ]; then
            state_of="$(nsenter -t "$pid" -a systemctl is-system-running 2>/dev/null || true)"
            case "$state_of" in running | degraded) echo "$host $(cmd_addr "$host") pid $pid $state_of"; return ;; esac
        fi
        sleep 0.05
    done
    die "$host did not come up in a minute: $(tail -3 "$disk/console.log")"
}

cmd_up() {
    local host
    [ $# -gt 0 ] || set -- lb web1 web2
    for host; do cmd_addr "$host" >/dev/null; done
    make_base
    mkdir -p "$state/share"
    make_bridge
    for host; do make_link "$host"; make_disk "$host"; boot "$host"; done
    for host; do await "$host"; done
}

# Waits for systemd-nspawn to go, and takes its cgroups away.
reap() {
    local disk pid i tree
    disk="$(disk "$1")"
    pid="$(cat "$disk/nspawn.pid" 2>/dev/null || true)"
    if [ -n "$pid" ]; then
        for ((i = 0; i < 200; i++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
        kill -KILL "$pid" 2>/dev/null || true
    fi
    for tree in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        find "$tree/$(namespace "$1")" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    rm -f "$disk/nspawn.pid"
}

cmd_kill() {
    local host pid
    for host; do
        known "$host"
        # Its network namespace lives on and would answer RST, which a machine without power does not.
        ip -n "$bridge" link set "$host" down 2>/dev/null || true
        pid="$(process1 "$host")"
        [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
        reap "$host"
    done
}

stop() {
    known "$1"
    cmd_exec "$1" systemctl "$2" || true
    reap "$1"
    ip -n "$bridge" link set "$1" down
}

cmd_stop() { stop "$1" poweroff; }

cmd_start() {
    local host
    for host; do known "$host"; boot "$host"; done
    for host; do await "$host"; done
}

# With --keep-unit systemd-nspawn ends where it would otherwise boot again.
cmd_reboot() { stop "$1" reboot; cmd_start "$1"; }

cmd_put() { known "$1"; tar -C "$(dirname "$2")" -cf - "$(basename "$2")" | cmd_exec "$1" tar -C "$3" -xf - --no-same-owner; }
cmd_get() { cmd_exec "$1" tar -C "$(dirname "$2")" -cf - "$(basename "$2")" | tar -C "$3" -xf -; }
cmd_share() { echo "$state/share"; }

cmd_journal() {
    local host="$1"
    shift
    known "$host"
    if [ -n "$(process1 "$host")" ]; then
        cmd_exec "$host" journalctl --no-pager "$@"
    else
        journalctl --no-pager -D "$(disk "$host")/root/var/log/journal" "$@"
    fi
}

cmd_driver() { ip netns exec "$bridge" "$@"; }

cmd_cut() {
    local host
    for host; do known "$host"; ip -n "$bridge" link set "$host" down; done
}

rules() {
    ip netns exec "$bridge" nft -f - <<<"add table bridge weir
add chain bridge weir i { type filter hook prerouting priority 0; }
add chain bridge weir f { type filter hook forward priority 0; }
add chain bridge weir o { type filter hook postrouting priority 0; }
$1"
}

cmd_oneway() { rules "add rule bridge weir f iifname { $1 } oifname { $2 } counter drop"; }
cmd_split() { cmd_oneway "$1" "$2"; cmd_oneway "$2" "$1"; }

# Before and after the bridge, since forwarding sees nothing of what goes to the driver.
cmd_loss() {
    local part="numgen random mod 100 < $2"
    [ "$2" -lt 100 ] || part=
    rules "add rule bridge weir i iifname $1 $part counter drop
add rule bridge weir o oifname $1 $part counter drop"
}

# A program carries the frames in place of the bridge's port: not every kernel has netem.
cmd_delay() {
    local host="$1" pid
    known "$host"
    pid="$(disk "$host")/delay.pid"
    if [ -e "$pid" ]; then
        kill "$(cat "$pid")" 2>/dev/null || true
        rm -f "$pid"
        ip -n "$bridge" link del "d$host" 2>/dev/null || true
    fi
    ip -n "$bridge" link set "$host" master br0
    [ "$2" != 0 ] || return 0
    ip -n "$bridge" link set "$host" nomaster
    ip -n "$bridge" link add "d$host" type veth peer name "w$host"
    ip -n "$bridge" link set "d$host" master br0 up
    ip -n "$bridge" link set "w$host" up
    ip netns exec "$(namespace "$host")" python3 "$here/wire.py" offload eth0
    ip netns exec "$bridge" python3 "$here/wire.py" offload "d$host"
    setsid ip netns exec "$bridge" python3 "$here/wire.py" "$host" "w$host" "${@:2}" </dev/null >>"$(disk "$host")/wire.log" 2>&1 &
    echo $! >"$pid"
    sleep 0.3
}

cmd_heal() {
    local host
    ip netns exec "$bridge" nft delete table bridge weir 2>/dev/null || true
    for host in $(hosts); do
        [ ! -e "$(disk "$host")/delay.pid" ] || cmd_delay "$host" 0
        # A host that is off stays silent.
        [ -z "$(process1 "$host")" ] || ip -n "$bridge" link set "$host" up
    done
}

cmd_status() {
    local host pid
    for host in $(hosts); do
        pid="$(process1 "$host")"
        echo "$host $(cmd_addr "$host") ${pid:-off} link $(ip -n "$bridge" -br link show "$host" | awk '{ print $2 }')"
    done
}

cmd_down() {
    local host pid disk
    for host in $(hosts); do
        pid="$(process1 "$host")"
        [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    done
    for host in $(hosts); do
        disk="$(disk "$host")"
        [ ! -e "$disk/delay.pid" ] || kill "$(cat "$disk/delay.pid")" 2>/dev/null || true
        cmd_kill "$host"
        ip -n "$bridge" link del "$host" 2>/dev/null || true
        ip netns del "$(namespace "$host")" 2>/dev/null || true
        while mountpoint -q "$disk/root"; do umount "$disk/root" || umount -l "$disk/root"; done
    done
    ip netns del "$bridge" 2>/dev/null || true
    rm -rf --one-file-system "$state"
}

verb="${1:-}"
shift || true
case "$verb" in
    addr | cut | delay | down | driver | exec | get | heal | journal | kill | loss | oneway | pid | put | reboot | share | split | start | status | stop | unit | up) "cmd_$verb" "$@" ;;
    *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
