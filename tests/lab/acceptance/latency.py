"""How long a change takes from its decision until workers that serve it are confirmed, in process and through the helper."""

import re
import subprocess
from pathlib import Path

from cluster import lb, servers, web1
from hosts import VERBS, Failed, busy, environment, expect, within

MOST_MS = 750
CONFIG = """[node.tags]
role = "lb"
[gossip]
compression = false
coordinates = false
[encryption]
seal = "off"
[snapshot]
path = ""
[upstream.web]
select = { role = "web" }
[apply]
mode = "%s"
min_reload_interval = "0s"
"""
# In process the agent writes and signals itself. Read after what the package has there.
AS_ROOT = """[Service]
User=root
ProtectSystem=false
CapabilityBoundingSet=~
RestrictNamespaces=no
SystemCallFilter=
"""


def beside_others(report):
    """As packaged, and beside other parts: half of the changes are in time even so."""
    if why := busy():
        report.skip("latency", f"half of the changes take less than {MOST_MS} ms from decision to confirmed workers", why)
        return
    measured(report, ["helper"], (3, 500), count=20, percent=50)


def helper_and_direct(report):
    """On a machine that does nothing else."""
    measured(report, ["helper", "direct"], (3, 50, 500), count=60, percent=99)


def measured(report, modes, sizes, count, percent):
    """One mode after the other on the same host, each with the same members and changes."""
    web1.put(Path(__file__).with_name("crowd.py"), "/root")
    web1.run("systemctl stop weir; ip route replace local 10.99.0.0/16 dev lo")
    lb.run(f"ip route replace 10.99.0.0/16 via {web1.addr}; cp -p /etc/weir/weir.toml /root/weir.toml")
    drop_in = "/run/systemd/system/weir.service.d/zz-direct.conf"
    try:
        for mode in modes:
            lb.write("/etc/weir/weir.toml", CONFIG % mode, "0640")
            lb.run(f"systemctl stop weir; chgrp weir /etc/weir/weir.toml; mkdir -p {Path(drop_in).parent}")
            if mode == "direct":
                lb.write(drop_in, AS_ROOT)
            lb.run("systemctl daemon-reload")
            for size in sizes:
                one_size(report, mode, size, count, percent)
    finally:
        lb.run(f"""rm -f {drop_in}; systemctl daemon-reload; cp -p /root/weir.toml /etc/weir/
            chown -R weir: /var/lib/weir; ip route del 10.99.0.0/16; systemctl restart weir""")
        web1.run("ip route del local 10.99.0.0/16 dev lo; systemctl start weir")


def one_size(report, mode, size, count, percent):
    sentence = f"of {count} changes among {size} servers ({mode}) {percent} % take less than {MOST_MS} ms from decision to confirmed workers"
    with report.claim(f"latency.{mode}.{size}", sentence):
        lb.run("systemctl restart weir")
        command = [VERBS, "exec", "web1", "python3", "/root/crowd.py", lb.addr, str(size)]
        with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
            try:
                expect(crowd.stdout.readline() == "introduced\n", "the crowd does not come")
                # Those of the size before have half a minute to come back.
                within(45, number_of_servers, size)
                took = sorted(changes(crowd, size, count))
            finally:
                crowd.stdin.close()
        median, p99 = took[count // 2], took[count * 99 // 100]
        report.figure(f"latency_ms.{mode}.{size}", {"median": median, "p99": p99, "max": took[-1], "changes": count})
        expect(took[count * percent // 100] < MOST_MS, f"median {median} ms, p99 {p99} ms of {took}")


def number_of_servers(wanted):
    count = len(servers())
    expect(count == wanted, f"{count} servers")


def changes(crowd, size, count):
    """One after the other; yields how many milliseconds each took by the agent's own line."""
    log = subprocess.Popen(
        [VERBS, "exec", "lb", "timeout", "300", "journalctl", "-u", "weir", "-o", "cat", "-f", "-n", "1"],
        env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )
    try:
        # With the last line it has begun to follow.
        log.stdout.readline()
        for change in range(count):
            # No weight twice in a row, and none that leaves all as it was by its ratio.
            crowd.stdin.write(f"{1 + change % size} {2 + change // size % 200}\n")
            crowd.stdin.flush()
            yield live(log)
    finally:
        log.kill()
        log.wait()


def live(log):
    for line in log.stdout:
        if line.startswith("apply "):
            found = re.match(r"apply live .*elapsed_ms=(\d+)", line)
            expect(found, line)
            return int(found[1])
    raise Failed("the journal ended")
