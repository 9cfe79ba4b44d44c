"""The first five minutes, as README.md has them: packages and `weir init` alone, typed at a terminal, and the day after on the same hosts."""

import contextlib
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

import install
import readme
from cluster import (
    ALL, DETECTED_S, WEBS, lb, members, none_failed, now, pages, serves, servers_are, told, untold, visitors, web1, whole,
)
from hosts import Host, crowded, expect, together, verb, within

ROOT = Path(__file__).resolve().parents[3]
APT = install.APT
MOST_S = 60
OWN = "/etc/weir /var/lib/weir/keyring.json /etc/nginx"
FILES = f"find {OWN} -printf '%p %m %u %T@ %i\\n' | sort"
# The address that a machine of Vagrant or of a cloud has besides, from where the default route leaves.
OUTWARD = """[ "$(ip -o -4 addr show scope global | wc -l)" -gt 1 ] || {
        ip link set eth0 down; ip link set eth0 name eth1; ip link set eth1 up
        ip link add eth0 type veth peer name outside; ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ip link set outside up
        ip route replace default via 10.0.2.2 dev eth0
    }"""
# What distributions of the other family have in place of Debian's sites: one built-in server, after conf.d.
ENTERPRISE = """user www-data;
worker_processes auto;
error_log /var/log/nginx/error.log;
pid /run/nginx.pid;
include /usr/share/nginx/modules/*.conf;
events {
    worker_connections 1024;
}
http {
    access_log /var/log/nginx/access.log;
    default_type application/octet-stream;
    include /etc/nginx/conf.d/*.conf;
    server {
        listen 80;
        listen [::]:80;
        server_name _;
        root /usr/share/nginx/html;
        include /etc/nginx/default.d/*.conf;
        error_page 404 /404.html;
        location = /404.html {
        }
        error_page 500 502 503 504 /50x.html;
        location = /50x.html {
        }
    }
}
"""


def typed(host, command, *answers):
    """What a terminal shows of it, how it ended and what it took; answers are (PROMPT, ANSWER)."""
    said = json.loads(host.run(f"cd /root; python3 /root/typed.py {quoted(command)}", text=json.dumps(answers)))
    expect(not said["hangs"], f"{command} waits for ever: {said['shown']}")
    return said


def quoted(command):
    return "'" + command.replace("'", "'\\''") + "'"


def block(step):
    """The one command that README.md has for this step, with this lab's addresses."""
    lines = readme.block(f"run: package {step}", ROOT / "README.md").splitlines()
    expect(len(lines) == 1, f"{step} takes {lines}")
    return lines[0]


def prepare(host, packages):
    """What was there before weir: a terminal, a sudo, the package; NGINX on the web servers, with a page of theirs."""
    host.run("mkdir -p /root/out; command -v sudo >/dev/null || { printf '#!/bin/sh\\nexec \"$@\"\\n' >/usr/local/bin/sudo; chmod 755 /usr/local/bin/sudo; }")
    host.put(Path(__file__).with_name("typed.py"), "/root")
    for package in packages.glob("weir_0.1.0-1_*.deb"):
        host.put(package, "/root/out")
    if host is not lb:
        host.run("echo \"from $(hostname)\" >/var/www/html/index.html")


def set_up(report, packages):
    """Six commands."""
    with report.claim("first.up", "three hosts boot", vital=True):
        verb("up", *ALL)
    together(lambda host: prepare(host, packages), *ALL)
    # NGINX comes along.
    lb.run(f"{OUTWARD}\n{APT} purge nginx-common >/dev/null 2>&1; rm -rf /etc/nginx /var/www")
    begin = time.monotonic()
    shown, took = {}, {}

    def first(host, step, *answers):
        """One of the six; what its stderr says is not shown."""
        said = typed(host, f"{block(step)} 2>/root/stderr", *answers)
        shown[str(host), step] = said["shown"]
        took[f"{step} {host}"] = round(said["took_s"] - said["typing_s"], 2)
        expect(said["status"] == 0 and not said["unasked"], f"status {said['status']}: {said['shown']}{host.says('cat /root/stderr')}")

    def installed(host):
        with report.claim(f"first.install.{host}", f"README.md's command installs the package on {host}", vital=True):
            first(host, "install", *([[r"\[Y/n\] ", ""]] if host is lb else []))

    together(installed, *ALL)
    with report.claim("first.lb", "README.md's command makes the balancer: an address chosen, Enter once", vital=True):
        first(lb, "lb", [r"\[1/2\]: ", own_number(lb)], [r"\[Y/n\]: ", ""])
    key = lb.run("weir keys export").strip()
    for host in WEBS:
        with report.claim(f"first.{host}", f"README.md's command makes {host} a web server: the key at a hidden prompt", vital=True):
            first(host, "web", [r"\(hidden\): ", key])
    with report.claim("first.page", "the pages of both come through the balancer", vital=True):
        within(10, whole)
        web1.run(f"curl -s -S -f -o /dev/null http://{lb.addr}/")
    work = time.monotonic() - begin - 3 * 0.2
    report.figure("first_six_commands_s", took)
    report.figure("first_to_page_s", round(work, 1))
    claim = ("first.time", f"six commands, and the page is served within {MOST_S} s of work")
    if work >= MOST_S and (why := crowded()):
        report.skip(*claim, f"it took {work:.1f} s, and {why}")
    else:
        with report.claim(*claim):
            expect(len(took) == 6, f"{took}")
            expect(work < MOST_S, f"{work:.1f} s: {took}")
    with report.claim("first.quiet", "weir init prints nothing on stderr"):
        for host in ALL:
            host.expect("cat /root/stderr", "")
    with report.claim("first.hidden", "no terminal showed the key"):
        expect(not any(key in text for text in shown.values()), "it was shown")
    page = transcripts()
    for host, step in ((lb, "lb"), (web1, "web")):
        with report.claim(f"first.shown.{host}", f"what is shown on {host} is what docs/ux.md shows, word for word"):
            expect(even(shown[str(host), step]) == even(page[step]), f"it shows\n{even(shown[str(host), step])}\nnot\n{even(page[step])}")


def own_number(host):
    """Which of the addresses that it will be asked to choose from is the cluster's: asked the same way."""
    said = typed(host, "weir init lb --dry-run 2>&1", [r"\[1/2\]: ", "1"])
    found = re.search(rf"(\d)\) {re.escape(host.addr)} ", said["shown"])
    expect(found, said["shown"])
    return found[1]


def transcripts():
    """Of docs/ux.md 3.1: step to what is shown below its command."""
    section = re.search(r"^### 3\.1 .*?^```text\n(.*?)^```", (ROOT / "docs/ux.md").read_text(), re.MULTILINE | re.DOTALL)[1]
    parts = re.split(r"^\w+\$ sudo (.*)\n", section, flags=re.MULTILINE)[1:]
    shown = {command.split()[2]: text for command, text in zip(parts[::2], parts[1::2], strict=True) if command.startswith("weir init")}
    # Hosts are called as the lab's are, and have its addresses.
    net = re.sub(r"\d+$", "", lb.addr)
    return {step: text.replace("lb1", "lb").replace(readme.NET, net) for step, text in shown.items()}


def even(text):
    """Without what is another's every time: keys, times, versions, which address is named first, blanks at the end."""
    text = re.sub(r"\b[0-9a-f]{8}\b", "IDENTIFIER", text)
    text = re.sub(r"·+", "…", text)
    text = re.sub(r"\b\d+\.\d s\b", "SECONDS", text)
    text = re.sub(r"\bgeneration [2-9]\b", "generation N", text)
    text = re.sub(r"(nginx +)\d+\.\d+\.\d+\b", r"\1VERSION", text)
    # Not every NGINX tells it to those who ask over HTTP.
    text = text.replace("(nginx VERSION listens there)", "(nginx listens there)")
    text = re.sub(r"^(\? address .*?)  +.*", r"\1 …", text, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def again(report):
    with report.claim("again", "run again it changes nothing: no file, no process, no worker of NGINX"):
        workers, commands = "pgrep -P $(cat /run/nginx.pid) nginx; systemctl show -P MainPID weir", {lb: block("lb"), web1: block("web")}
        for host, command in commands.items():
            before = host.run(FILES), host.run(workers)
            # Nobody is asked.
            said = typed(host, f"{command} 2>&1")
            expect(said["status"] == 0, said["shown"])
            after = host.run(FILES), host.run(workers)
            expect(before == after, f"{command} on {host} changed something:\n{before}\n{after}\n{said['shown']}")
    with report.claim("again.dry", "nor does --dry-run, which says so"):
        before = lb.run(FILES)
        expect("nothing was changed" in lb.run("weir init lb --dry-run"), "other words")
        expect(lb.run(FILES) == before, "something changed")


def join():
    return f"weir init web --join {lb.addr}"


def wanted(host, command, code, words, text=None):
    """It ends with this code, and says so."""
    said = host.run(f"code=0; {command} 2>&1 || code=$?; echo $code", text=text)
    expect(said.rstrip("\n").endswith(f"\n{code}") or said.rstrip("\n") == str(code), f"{command}: {said}, not exit code {code}")
    expect(re.search(words, said), f"{command}: {said}")
    return said


@contextlib.contextmanager
def wall(host, protocol):
    """The balancer's firewall drops what this host sends to weir's port."""
    lb.run(f"""nft -f - <<'NFT'
add table inet wall
add chain inet wall in {{ type filter hook input priority 0; }}
add rule inet wall in ip saddr {host.addr} {protocol} dport 7946 drop
NFT""")
    try:
        yield
    finally:
        lb.run("nft delete table inet wall")


def third(report):
    """Another web server, which does not come in so easily."""
    host = Host("web3")
    verb("up", host)
    with tempfile.TemporaryDirectory() as scratch:
        lb.get("/root/out", scratch)
        prepare(host, Path(scratch) / "out")
    host.run(f"{APT} install /root/out/weir_*.deb >/dev/null 2>&1")
    key = lb.run("weir keys export")
    with report.claim("third.dry", "--dry-run on a new host changes nothing"):
        before = host.run(FILES.replace("/var/lib/weir/keyring.json", "/var/lib/weir"))
        expect("nothing was changed" in host.run(f"{join()} --dry-run"), "other words")
        expect(host.run(FILES.replace("/var/lib/weir/keyring.json", "/var/lib/weir")) == before, "something changed")
        host.expect("systemctl is-active weir", "inactive")
    with report.claim("third.tcp", "a firewall is told from a wrong key before the key is asked for"), wall(host, "tcp"):
        said = typed(host, f"sudo {join()} 2>&1")
        expect(said["status"] != 0 and "hidden" not in said["shown"], said["shown"])
        expect(re.search(rf"{lb.addr}:7946/tcp does not answer .*; open 7946 TCP and UDP", said["shown"]), said["shown"])
    with report.claim("third.udp", "one that lets only TCP through is told as such"), wall(host, "udp"):
        wanted(host, f"{join()} --key-file -", 7, "answers over TCP but not UDP; open UDP 7946 both ways", text=key)
    host.run("systemctl stop weir; rm -f /etc/weir/weir.toml /var/lib/weir/*")
    with report.claim("third.wrong", "a wrong key is told as one, in words and by an exit code"):
        other = lb.run("weir keygen")
        said = wanted(host, f"{join()} --key-file -", 1, "seals with key|lacks our key", text=other)
        expect(other.strip() not in said, "the key is shown")
    with report.claim("third.pipe", "with the right one, through a pipe, it comes in over what the wrong one left"):
        said = host.run(f"{join()} --key-file -", text=key)
        expect("serving" in said and key.strip() not in said, said)
        within(10, lambda: expect(f"from {host}" in pages(12), "its page is not served"))
    with report.claim("third.file", "so it does as a new host, with the key in a file, and an application that drains when it restarts"):
        host.run(f"{APT} purge weir >/dev/null 2>&1; systemctl disable -q --now nginx")
        install.web_server(host)
        host.run(f"{APT} install /root/out/weir_*.deb >/dev/null 2>&1")
        host.write("/root/cluster.key", key, "0600")
        said = host.run(f"{join()} --key-file /root/cluster.key --unit www.service")
        expect("serving" in said and key.strip() not in said, said)
        host.expect("systemctl is-active weir weir-guard@www", "active\nactive")
        within(10, lambda: expect(f"from {host}" in pages(12), "its page is not served"))
    with visitors(rate=100) as became:
        with report.claim("third.restart", "its application restarts while visitors come, and drains first"):
            since = now(host)
            host.run("systemctl restart www")
            told(host, since, "drained")
            within(15, told, host, since, "drain undone")
            within(15, lambda: expect(f"from {host}" in pages(12), "its page is not served"))
        with report.claim("third.off", "its host is shut down, and leaves first"):
            verb("stop", host)
            within(5, servers_are, *WEBS)
    with report.claim("third.visitors", "no visitor is turned away"):
        none_failed(became)
    lb.run("weir --quiet force-leave --prune web3")


def second(report):
    """Another balancer, from the package, with the key typed."""
    host = Host("web4")
    verb("up", host)
    with tempfile.TemporaryDirectory() as scratch:
        lb.get("/root/out", scratch)
        prepare(host, Path(scratch) / "out")
    key = lb.run("weir keys export").strip()
    with report.claim("second.init", "a second balancer joins by the same command, with the key at a hidden prompt and Enter once"):
        host.run("rm -f /var/www/html/index.html")
        expect(typed(host, block("install"))["status"] == 0, "not installed")
        said = typed(host, f"sudo weir init lb --join {lb.addr} 2>&1", [r"\(hidden\): ", key], [r"\[Y/n\]: ", ""])
        expect(said["status"] == 0 and not said["unasked"] and key not in said["shown"], said["shown"])
    with report.claim("second.serves_too", "and serves the same pages"):
        within(10, servers_are, *WEBS, at=host)
        within(10, serves, *WEBS, at=host)
    verb("stop", host)
    lb.run("weir --quiet force-leave --prune web4")


def enterprise(report):
    """The other family's package and layout, as far as a Debian has them: presets that enable nothing, NGINX with a built-in server."""
    host = Host("web5")
    verb("up", host)
    with tempfile.TemporaryDirectory() as scratch:
        if why := rpm(scratch):
            report.skip("enterprise", "the rpm is configured by weir init", why)
            return
        for package in Path(scratch).glob("weir-*.rpm"):
            host.put(package, "/root")
    host.run("""mkdir -p /etc/systemd/system-preset /usr/share/nginx/html /etc/nginx/default.d; echo "disable *" >/etc/systemd/system-preset/00-enterprise.preset
        rm -rf /etc/nginx/sites-enabled /etc/nginx/sites-available; echo welcome >/usr/share/nginx/html/index.html
        rpm --initdb; rpm -i --nodeps /root/weir-*.rpm""")
    host.write("/etc/nginx/nginx.conf", ENTERPRISE)
    host.run("nginx -t -q; systemctl restart nginx")
    with report.claim("enterprise.rest", "a preset that enables nothing leaves the rpm's units disabled"):
        host.expect("systemctl is-enabled weir weir-apply.socket | sort -u", "disabled")
    with report.claim("enterprise.init", "weir init enables and starts them, with the site in front of the built-in server"):
        host.run(f"weir init lb --join {lb.addr} --key-file - --yes", text=lb.run("weir keys export"))
        host.expect("systemctl is-enabled weir weir-apply.socket | sort -u", "enabled")
        within(10, servers_are, *WEBS, at=host)
        within(10, serves, *WEBS, at=host)
    with report.claim("enterprise.reboot", "and so it is after a reboot"):
        verb("reboot", host)
        within(30, serves, *WEBS, at=host)
        within(20, lambda: expect(members().get("web5") == "alive", f"{members()}"))
    host.run("systemctl stop weir")
    verb("stop", host)
    within(DETECTED_S, lambda: expect(members().get("web5") == "left", f"{members()}"))
    lb.run("weir --quiet force-leave --prune web5")


def rpm(directory):
    """The package, into this directory; where there can be none, why."""
    done = subprocess.run([ROOT / "tests/lab/packages", directory, "rpm", "0.1.0-1"], capture_output=True, text=True)
    return None if done.returncode == 0 else f"{done.stdout}{done.stderr}".strip()


def day_after(report):
    """What the same hosts are asked for next."""
    install.sound(report)
    together(install.make_newer, *ALL)
    with visitors() as became:
        for host in ALL:
            with report.claim(f"after.upgrade.{host}", f"{host} is upgraded without a leave"):
                at = web1 if host is lb else lb
                since = now(at)
                host.silent(f"{APT} install /root/newer.deb")
                within(20, whole)
                untold(at, since, f"member left member={host}")
    with report.claim("after.visitors", "no visitor is turned away"):
        none_failed(became)
    with report.claim("after.reboot", "rebooted at once all three serve the page again, with nothing typed"):
        verb("reboot", *ALL)
        within(60, whole)
        within(20, lb.run, "weir status --quiet")
