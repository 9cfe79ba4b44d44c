"""What a process of the agent's own user can try against `weir apply`, until it is ended: plants links in the one directory that both
may write, where root would follow them, and takes every place at the socket: delivers nothing, or slowly, or too much. Says READY once
it has a thousand connections behind it."""
import os
import socket
import sys

PATH = "/run/weir-apply.sock"
# Of the unit's RuntimeDirectory=, which is in the helper's sandbox as well.
TRAP = "/run/weir/trap"
LINKS = {
    # Where the target trap.conf is written before it is exchanged, the target link.conf, and a template's source.
    ".trap.conf.weir-new": "/etc/nginx/victim",
    "link.conf": "/etc/nginx/victim",
    "leak.j2": "/etc/shadow",
}
HUGE = (6 * 1024 * 1024).to_bytes(4, "big") + b"[" * (1 << 18)


def attack(kind, held):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(0.2)
    try:
        client.connect(PATH)
        client.send([b"", b"\0\0", HUGE, b"\0\0\0\x02{}"][kind])
    except OSError:
        pass
    held.append(client)


os.mkdir(TRAP)
for name, target in LINKS.items():
    os.symlink(target, f"{TRAP}/{name}")
held, total = [], 0
while True:
    attack(total % 4, held)
    total += 1
    if total == 1000:
        print("READY", flush=True)
    if len(held) > 500:
        held.clear()
