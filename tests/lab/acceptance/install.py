"""From nothing to a page served: packages, configuration by hand, what the agent may do."""

import json
import os
import re
import tempfile
import time

import readme
from cluster import (
    ALL, FILE, WEBS, active, all_alive, lb, members_are, memory_kib, none_failed, now, serves, told, untold, visitors, web1, weights_are, whole,
)
from hosts import expect, pause, together, within

APT = "DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0"
# Each mistake of permissions shows under one of the two only.
UMASKS = {"lb": "022", "web1": "077", "web2": "022"}
# By itself it lets five wait, which are soon there on a busy machine, and NGINX holds it for dead; so many as NGINX lets wait.
WEB_SERVER = """import http.server as web, time
web.ThreadingHTTPServer.request_queue_size = 511
class Handler(web.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(4)
            self.path = "/"
        super().do_GET()
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
web.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def prepare(host):
    """A user may use sudo, and a web server serves a page that names it."""
    host.run("mkdir -p /root/out; command -v sudo >/dev/null || { printf '#!/bin/sh\\nexec \"$@\"\\n' >/usr/local/bin/sudo; chmod 755 /usr/local/bin/sudo; }")
    if host in WEBS:
        web_server(host)


def web_server(host):
    """A page that names the host, on port 8080, by unit www."""
    unit = "[Service]\nWorkingDirectory=/srv/www\nExecStart=/usr/bin/python3 /srv/www.py\n[Install]\nWantedBy=multi-user.target\n"
    host.write("/etc/systemd/system/www.service", unit)
    host.write("/srv/www.py", WEB_SERVER)
    host.run("mkdir -p /srv/www; echo \"from $(hostname)\" >/srv/www/index.html; systemctl enable -q --now www")


def packages(report, directory):
    def install(host):
        prepare(host)
        for package in directory.glob("weir_*.deb"):
            host.put(package, "/root/out")
        with report.claim(f"install.{host}", f"the page's line installs the package on {host}", vital=True):
            readme.follow(host, "hand install", UMASKS[host.name])

    together(install, *ALL)
    with report.claim("install.rest", "without a configuration nothing of it runs"):
        for host in ALL:
            host.expect("systemctl is-active weir", "inactive")
            host.expect("pgrep -x weir | wc -l", "0")


def configuration(report):
    steps = readme.marks("hand") | readme.marks("both")
    with report.claim("readme.lb", "the page's lines set up the balancer", vital=True):
        readme.follow(lb, "hand lb", UMASKS["lb"])
        within(20, members_are, {"lb": "alive"})
    with report.claim("readme.key", "nobody else may read the key for the web servers"):
        lb.expect("stat -c %a /root/cluster.key", "600")

    with tempfile.TemporaryDirectory() as scratch:
        lb.get("/root/cluster.key", scratch)

        def join(host):
            host.put(f"{scratch}/cluster.key", "/root")
            with report.claim(f"readme.{host}", f"the page's lines set up {host}", vital=True):
                readme.follow(host, "hand web", UMASKS[host.name])

        together(join, *WEBS)
    with report.claim("join", "all three are members of one cluster", vital=True):
        for host in ALL:
            within(20, all_alive, host)
    with report.claim("readme.modes", "configuration and keyring have the owners and modes that the unit needs"):
        for host in ALL:
            modes = "stat -c '%a %U:%G' /etc/weir/weir.toml /var/lib/weir/keyring.json"
            host.expect(modes, "640 root:weir\n600 weir:weir")
    with report.claim("readme.members", "the members are as the page shows them"):
        within(10, readme.as_shown, web1, "weir members")
    with report.claim("readme.file", "the upstream's file is as the page shows it"):
        within(10, readme.as_shown, lb, f"tail -n +2 {FILE}")
    with report.claim("readme.site", "the page's lines make a site"):
        readme.follow(lb, "hand site", UMASKS["lb"])
        readme.follow(lb, "both page", UMASKS["lb"])
    with report.claim("page", "the pages of both web servers come through the balancer", vital=True):
        within(10, serves, *WEBS)
    with report.claim("readme.all", "each block of the path by hand was run"):
        expect(steps == {"hand install", "hand lb", "hand web", "hand site", "both page"}, f"the page has {steps}")
    for host in ALL:
        with report.claim(f"enabled.{host}", f"what runs on {host} starts at boot, too"):
            host.expect("systemctl is-enabled weir weir-apply.socket", "enabled\nenabled")
            active(host, "weir", "weir-apply.socket")


def second_balancer(host):
    """Sets up another one, with the first one's packages, key and files."""
    prepare(host)
    lb.run("cd /root; weir keys export >cluster.key; cp -p /etc/weir/weir.toml /etc/nginx/conf.d/shop.conf .")
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("out", "cluster.key", "weir.toml", "shop.conf"):
            lb.get(f"/root/{name}", scratch)
            host.put(f"{scratch}/{name}", "/root")
    readme.follow(host, "hand install")
    host.run(f"""cd /root; printf '[gossip]\\njoin = ["{lb.addr}"]\\n' >>weir.toml
        install -m 640 -g weir weir.toml /etc/weir/; weir keys import --file cluster.key; systemctl start weir""")
    # The site names the upstream.
    within(20, host.run, f"test -e {FILE}")
    host.run("cp /root/shop.conf /etc/nginx/conf.d/; nginx -t -q; systemctl reload nginx")


def make_newer(host):
    """/root/newer.deb."""
    # To compress it would take longer than all else.
    host.run("cd /root; dpkg-deb -R out/weir_*.deb newer; sed -i 's/^Version: .*/&.1/' newer/DEBIAN/control; dpkg-deb -b -Znone newer >/dev/null; rm -r newer")


def upgraded(report):
    """To the next version, one host after another: the same package under a higher number."""
    apt = f"{APT} install"
    version = "dpkg-query -W -f '${Version}' weir"
    newer = lb.says(version) + ".1"
    together(make_newer, *ALL)
    with visitors() as became:
        with report.claim("upgrade.balancer", "a balancer is upgraded while servers change, and the last change ends up live"):
            lb.run(f"systemd-run -q --collect --unit=upgrade sh -c '{apt} /root/newer.deb'")
            for value in (4, 6, 8, 2) * 20:
                web1.run(f"weir tags --set weight={value}")
                pause(0.4)
                if lb.says("systemctl is-active upgrade || :") == "inactive":
                    break
            within(60, lb.expect, "systemctl is-active upgrade", "inactive")
            web1.run("weir tags --set weight=4")
            lb.expect(version, newer)
            within(20, weights_are, 2, 1)
            within(20, lb.run, "weir status --quiet")
            active(lb, "weir", "weir-apply.socket")
        with report.claim("upgrade.quiet", "where no server changes an upgrade costs NGINX no reload"):
            before = lb.says("pgrep -P $(cat /run/nginx.pid) nginx")
            lb.run(f"{apt} --reinstall /root/newer.deb")
            within(20, all_alive)
            within(20, lb.run, "weir status --quiet")
            lb.expect("pgrep -P $(cat /run/nginx.pid) nginx", before)
        for host in WEBS:
            with report.claim(f"upgrade.{host}", f"{host} is upgraded, and is a server all the time"):
                since = now(lb)
                host.silent(f"{apt} /root/newer.deb")
                host.expect(version, newer)
                within(20, whole)
                untold(lb, since, f"member left member={host}")
        for host in ALL:
            with report.claim(f"downgrade.{host}", f"{host} goes back to the version before, and does not leave for it either"):
                since = now(web1 if host is lb else lb)
                said = host.run(f"{apt} --allow-downgrades /root/out/weir_*.deb 2>&1 >/dev/null")
                expect(re.fullmatch("(dpkg: warning: downgrading weir from .*\n)?", said), said)
                host.expect(version, newer.removesuffix(".1"))
                within(20, whole)
                within(20, host.run, "weir status --quiet")
                untold(web1 if host is lb else lb, since, f"member left member={host}")
    with report.claim("upgrade.visitors", "no visitor is turned away"):
        none_failed(became)
    web1.run("weir tags --set weight=2")
    within(10, weights_are, 1, 1)


def sound(report):
    """What doctor says of hosts that were set up by the book; a container's clock is nobody's business."""
    mine = ("nginx.used", "nginx.timeouts", "nginx.upstream_keepalive")

    def look(host):
        found = json.loads(host.says("weir doctor --format json"))["findings"]
        bad = [f for f in found if f["level"] == "error" or f["id"] in mine or f["id"].split(".")[0] in ("files", "agent", "keys")]
        bad = [f for f in bad if f["level"] != "info"]
        expect(not bad, f"{host}: {bad}")

    with report.claim("doctor", "doctor finds nothing wrong on any host"):
        together(look, *ALL)
    with report.claim("rotate", "the key can be rotated, for which every keyring must be writable"):
        lb.run("weir keys rotate")


def privileges(report):
    with report.claim("agent.capabilities", "the agents have no capability, and cannot get one"):
        for host in ALL:
            pid = host.says("systemctl show -P MainPID weir")
            zero = "0000000000000000"
            host.expect(f"sed -n 's/^Cap\\(Inh\\|Prm\\|Eff\\|Bnd\\|Amb\\):\\t//p' /proc/{pid}/status | sort -u", zero)
            host.expect(f"sed -n 's/^NoNewPrivs:\\t//p' /proc/{pid}/status", "1")
            host.expect(f"ps -o user= -p {pid}", "weir")
    with report.claim("agent.etc", "no file under /etc is writable for the agent"):
        # In its own namespaces, as its user.
        writable = "find /etc ! -type l -writable -print -quit"
        lb.expect(f"nsenter -t $(systemctl show -P MainPID weir) -m setpriv --reuid weir --regid weir --init-groups {writable}", "")
        lb.expect(f"setpriv --reuid weir --regid weir --init-groups {writable}", "")
        lb.expect(f"touch {FILE}.probe 2>/dev/null && rm {FILE}.probe && echo root may", "root may")
    for unit, most in (("weir", 1.5), ("weir-apply", 3.2)):
        with report.claim(f"exposure.{unit}", f"systemd-analyze scores the exposure of {unit}.service at most {most}"):
            said = lb.run(f"systemd-analyze security --no-pager {unit}.service | tail -1")
            score = float(re.search(r": ([0-9.]+)", said)[1])
            report.figure(f"exposure.{unit}", score)
            expect(score <= most, said)
    sizes = {str(host): memory_kib(host) for host in ALL}
    report.figure("agent_private_kib", sizes)
    # Of a debug build only what it is, so that what grows is seen.
    most, build = (2.0, "agent") if os.environ.get("WEIR_LAB_PACKAGES") else (3.0, "agent, as a debug build,")
    with report.claim("agent.memory", f"the private memory of no {build} is above {most} MiB"):
        expect(max(sizes.values()) <= most * 1024, f"in KiB: {sizes}")
    with report.claim("helper.idle", "the helper is gone 10 s after its last job"):
        # The agent asks how things are at once, and not again for 30 s.
        lb.run("weir reload")
        pause(2)
        since = now(lb)
        web1.run("weir tags --set weight=3")
        within(10, told, lb, since, "apply live")
        begin = time.monotonic()
        within(13, lb.expect, "systemctl is-active weir-apply.service", "inactive")
        took = time.monotonic() - begin
        report.figure("helper_idle_s", round(took, 1))
        expect(took >= 7, f"it is gone after {took:.1f} s")
        web1.run("weir tags --set weight=2")
        within(10, weights_are, 1, 1)
