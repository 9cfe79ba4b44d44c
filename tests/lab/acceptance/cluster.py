"""The cluster under test: lb balances over web1 and web2, as docs/operate.md makes them by hand."""

import contextlib
import json
import re
import subprocess
from pathlib import Path

from hosts import VERBS, Host, environment, expect, pause, within

lb, web1, web2 = Host("lb"), Host("web1"), Host("web2")
WEBS = (web1, web2)
ALL = (lb, *WEBS)

SITE = "shop.example"
FILE = "/etc/nginx/conf.d/weir-web.conf"
# Until a host that says nothing is failed everywhere, on two cores that do much else.
DETECTED_S = 25


def members(at=lb):
    """Name to status."""
    answer = json.loads(at.run("weir members --format json"))
    return {member["name"]: member["status"] for member in answer["members"]}


def members_are(wanted, at=lb):
    seen = members(at)
    expect(seen == wanted, f"{at} sees {seen}, not {wanted}")


def all_alive(at=lb):
    members_are({str(host): "alive" for host in ALL}, at)


def servers(at=lb):
    """Address to weight, of the servers in the upstream's file that get requests."""
    found = re.findall(r"^ *server ([0-9.]+):\d+(.*);", at.run(f"cat {FILE}"), re.MULTILINE)
    weights = {addr: re.search(r"\bweight=(\d+)", rest) for addr, rest in found if "down" not in rest.split()}
    return {addr: int(weight[1]) if weight else 1 for addr, weight in weights.items()}


def servers_are(*wanted, at=lb):
    """Exactly these hosts get requests."""
    expect(set(servers(at)) == {host.addr for host in wanted}, f"the servers in {FILE} are {servers(at)}, not {[*map(str, wanted)]}")


def weights_are(first, second, at=lb):
    """Of web1 and web2; only their ratio shows."""
    expect(servers(at) == {web1.addr: first, web2.addr: second}, f"servers and weights are {servers(at)}")


def pages(count=8, at=lb):
    """The pages of so many visits in a row, through the balancer."""
    visit = f"curl -s -S -m 20 -f -H 'Host: {SITE}' http://127.0.0.1/"
    return at.run(f"for i in $(seq {count}); do {visit}; done").splitlines()


def serves(*wanted, at=lb):
    """Pages of these web servers and of no other come through the balancer."""
    seen = set(pages(at=at))
    expect(seen == {f"from {host}" for host in wanted}, f"pages are {seen}, not those of {[*map(str, wanted)]}")


def whole(at=lb):
    """Nothing is missing."""
    all_alive(at)
    servers_are(*WEBS, at=at)
    serves(*WEBS, at=at)


@contextlib.contextmanager
def visitors(rate=40, at=lb):
    """Visitors for as long as the block runs. Yields a dict, which then says what became of them."""
    at.put(Path(__file__).with_name("visitors.py"), "/root")
    command = [VERBS, "exec", at.name, "python3", "/root/visitors.py", str(rate), SITE]
    running = subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    became = {}
    try:
        # Some that find all well come first.
        running.stdout.readline()
        pause(0.5)
        yield became
        pause(0.5)
    finally:
        running.stdin.close()
        said = running.stdout.read()
        running.wait()
    became.update(json.loads(said or "{}"))


def none_failed(became):
    seen = sum(became["pages"].values())
    expect(seen > 0, "nobody came")
    expect(not became["failures"], f"{len(became['failures'])} of {seen + len(became['failures'])} failed: {became['failures'][:5]}")


def now(at):
    """A moment of this host's journal, for `told`."""
    return at.run("journalctl -n 0 --show-cursor -o cat | sed -n 's/^-- cursor: //p'").strip()


def told(at, since, pattern, unit="weir"):
    """A line of the unit's log since then."""
    lines = at.logged(unit, since)
    found = re.search(pattern, lines, re.MULTILINE)
    expect(found, f"no /{pattern}/ in the log of {unit} on {at}:\n{lines[-2000:]}")
    return found


def untold(at, since, pattern, unit="weir"):
    """No such line."""
    found = re.search(pattern, at.logged(unit, since), re.MULTILINE)
    expect(not found, f"{unit} on {at} logged {found and found[0]}")


def active(at, *units):
    for unit in units:
        at.expect(f"systemctl is-active {unit}", "active")


def memory_kib(at, unit="weir"):
    """Private anonymous memory of a unit's main process: what it costs the host."""
    pid = at.says(f"systemctl show -P MainPID {unit}")
    return int(at.run(f"sed -n 's/^Anonymous: *//p' /proc/{pid}/smaps_rollup").split()[0])


def settle():
    """Everything is as it was before a case."""
    within(60, whole)
