"""Ordinary and bad days: power that comes back in any order, hosts that are stopped, agents that leave, reload, rotate and are removed."""

import json
import re

import install
from cluster import (
    ALL, FILE, WEBS, active, all_alive, lb, members_are, none_failed, now, serves, servers_are, told, untold,
    visitors, web1, web2, weights_are, whole,
)
from hosts import expect, throughout, verb, within

APT = install.APT
CONFIG = "/etc/weir/weir.toml"
# A web server that is not NGINX stops after the agent has left, as the unit's head says.
ORDER = "/etc/systemd/system/weir.service.d/order.conf"
ORDERED = "[Unit]\nAfter=www.service\n"


def power_orders(report):
    """All three without a word, and back one after the other."""
    web1.run("weir tags --set weight=4")
    within(10, weights_are, 2, 1)

    def as_before():
        weights_are(2, 1)

    with report.claim("power.balancer_first", "a balancer that has power again before its web servers keeps the servers and weights that it had"):
        verb("kill", *ALL)
        verb("start", lb)
        active(lb, "nginx", "weir")
        lb.run("nginx -t -q")
        throughout(4, as_before)
    with report.claim("power.one", "the first web server that is back serves all"):
        verb("start", web2)
        within(30, serves, web2)
    with report.claim("power.all", "with the last one all is as before, with nothing typed"):
        verb("start", web1)
        within(60, whole)
        as_before()
    with report.claim("power.no_agent", "NGINX serves what it had before any agent has said a word"):
        lb.run("systemctl -q disable weir")
        verb("kill", *ALL)
        verb("start", *WEBS)
        verb("start", lb)
        lb.expect("systemctl is-active weir", "inactive")
        within(10, serves, *WEBS)
        as_before()
    with report.claim("power.balancer_last", "and an agent that comes last finds its cluster, and changes nothing"):
        since = now(lb)
        lb.run("systemctl -q enable weir; systemctl start weir")
        within(60, whole)
        as_before()
        untold(lb, since, "apply live")
    web1.run("weir tags --set weight=2")
    within(10, weights_are, 1, 1)


def host_stopped(report):
    """A web server's host is shut down, as it is for maintenance."""
    web2.run(f"mkdir -p {ORDER.rpartition('/')[0]}")
    web2.write(ORDER, ORDERED)
    web2.run("systemctl daemon-reload")
    try:
        with visitors() as became:
            with report.claim("host_stopped.out", "a host that is shut down leaves first, and then is no server"):
                verb("stop", web2)
                members_are({"lb": "alive", "web1": "alive", "web2": "left"})
                servers_are(web1)
                serves(web1)
            with report.claim("host_stopped.back", "started again it serves, with nothing typed"):
                verb("start", web2)
                within(30, whole)
            with report.claim("host_stopped.reboot", "rebooted it leaves and comes back"):
                since = now(lb)
                verb("reboot", web2)
                within(30, whole)
                told(lb, since, "member left member=web2")
        with report.claim("host_stopped.visitors", "no visitor is turned away"):
            none_failed(became)
    finally:
        web2.run(f"rm -f {ORDER}; systemctl daemon-reload")


def left(report):
    """Whoever leaves stays out until somebody wants it back."""
    with visitors() as became:
        with report.claim("left.stays", "a web server that left by weir leave stays out, though its unit starts again what fails"):
            web2.run("weir leave")
            servers_are(web1)
            # Twice what systemd waits.
            throughout(5, members_are, {"lb": "alive", "web1": "alive", "web2": "left"})
            web2.expect("systemctl is-active weir", "inactive")
            servers_are(web1)
        with report.claim("left.started", "systemctl start weir brings it back"):
            web2.run("systemctl start weir")
            within(20, whole)
        with report.claim("left.rebooted", "so does a reboot"):
            web2.run("weir leave")
            servers_are(web1)
            verb("reboot", web2)
            within(30, whole)
    with report.claim("left.visitors", "no visitor is turned away"):
        none_failed(became)


def reloaded(report):
    """A changed file, without a restart."""
    pid = web1.says("systemctl show -P MainPID weir")
    since = now(lb)
    web1.run(f"cp -p {CONFIG} /root/before.toml")
    try:
        with visitors() as became:
            with report.claim("reload", "systemctl reload weir takes over what changed, without a restart and without a leave"):
                web1.run(f"sed -i 's/^weight = .*/weight = 6/' {CONFIG}; systemctl reload weir")
                within(10, weights_are, 3, 1)
            with report.claim("reload.refused", "a file with a mistake is refused, the mistake is in the journal, and the agent goes on"):
                wrong = now(web1)
                web1.run(f"echo '[gossip.bnid]' >>{CONFIG}; ! systemctl reload weir 2>/dev/null")
                told(web1, wrong, "weir.toml:[0-9]+:[0-9]+: unknown key")
                weights_are(3, 1)
            with report.claim("reload.back", "and so it goes back"):
                web1.run(f"cp -p /root/before.toml {CONFIG}; systemctl reload weir")
                within(10, weights_are, 1, 1)
                untold(lb, since, "member (left|failed)")
                web1.expect("systemctl show -P MainPID weir", pid)
        with report.claim("reload.visitors", "no visitor notices"):
            none_failed(became)
    finally:
        web1.run(f"cp -p /root/before.toml {CONFIG}; systemctl reload weir")


def rotated(report):
    """The key changes under load."""
    def key():
        keys = [line.split()[0] for line in lb.run("weir keys list").splitlines()]
        expect(len(keys) == 1, f"the keys are {keys}")
        return keys[0]

    since, seen = now(lb), [key()]
    with visitors() as became:
        with report.claim("rotation", "the key is rotated from a balancer and from a web server, and is another one each time"):
            for host in (lb, web1):
                host.run("weir keys rotate")
                seen.append(key())
            expect(len(set(seen)) == 3, f"the keys were {seen}")
        with report.claim("rotation.members", "nobody is missed meanwhile, and no server is changed"):
            untold(lb, since, "member (left|failed)|apply live")
            whole()
        with report.claim("rotation.kept", "an agent that is restarted has the new key"):
            web2.run("systemctl restart weir")
            within(20, all_alive)
            within(20, all_alive, web2)
    with report.claim("rotation.visitors", "no visitor notices"):
        none_failed(became)


def asked(report):
    """The query for health, as balancers send it."""
    drop_in = "/etc/weir/weir.d/50-asked.toml"
    web1.run("mkdir -p /etc/weir/weir.d")
    web1.write(drop_in, '[check.page]\nhttp = "http://127.0.0.1:8080/"\nbody = "^from web1"\ninterval = "500ms"\n', "0640")
    web1.run(f"chgrp weir {drop_in}; weir reload")
    try:
        with report.claim("query.health", "everybody answers the query for health, also one who has no check"):
            answers = json.loads(lb.run("weir query health --format json"))["Responses"]
            expect(set(answers) == {str(host) for host in ALL}, f"answers are {answers}")
        with report.claim("query.heard", "the balancer shows what it was told"):
            within(15, heard, "web1", "passing")
        with report.claim("query.critical", "a page that is gone is told as critical, and its server is out"):
            web1.run("mv /srv/www/index.html /srv/index.html")
            within(15, heard, "web1", "critical")
            within(10, servers_are, web2)
        with report.claim("query.passing", "and it is back with the page"):
            web1.run("mv /srv/index.html /srv/www/index.html")
            within(15, heard, "web1", "passing")
            within(15, servers_are, *WEBS)
    finally:
        web1.run(f"rm -f {drop_in}; weir reload; ! test -e /srv/index.html || mv /srv/index.html /srv/www/")


def heard(name, wanted):
    said = {member["name"]: member["health"] for member in json.loads(lb.run("weir health --format json"))["members"]}
    expect(said.get(name) == wanted, f"the balancer heard {said}")


def journal(report):
    """The journal's own fields."""
    web2.run("systemctl stop weir; systemctl start weir")
    within(20, whole)
    entries = [json.loads(line) for line in verb("journal", lb, "-u", "weir", "-o", "json").splitlines()]
    with report.claim("journal.fields", "what a line of the journal says is in fields of its own as well"):
        seen = set()
        for entry in entries:
            message = entry.get("MESSAGE")
            if entry.get("_COMM") != "weir" or not isinstance(message, str):
                continue
            for name, value in re.findall(r" ([a-z_]+)=([\w.:-]+)(?= |$)", message):
                field = f"WEIR_{name.upper()}"
                seen.add(field)
                expect(entry.get(field) == value, f"{field} is {entry.get(field)!r} beside: {message}")
        missing = {"WEIR_MEMBER", "WEIR_ADDR", "WEIR_UPSTREAM", "WEIR_GENERATION", "WEIR_ELAPSED_MS"} - seen
        expect(not missing, f"no line has {missing}; there are {seen}")
    with report.claim("journal.filter", "journalctl finds a member's lines, and a generation's, by them"):
        lines = lb.journal("-u", "weir", "WEIR_MEMBER=web2").splitlines()
        expect(lines and all("member=web2" in line for line in lines), f"{lines}")
        lines = lb.journal("-u", "weir", "WEIR_UPSTREAM=web", "WEIR_GENERATION=1").splitlines()
        expect(lines and all("generation=1" in line for line in lines), f"{lines}")


def removed(report):
    """The package goes, from a web server and from the balancer, and its site stays."""
    with visitors() as became:
        with report.claim("removed.web", "a web server leaves when its package is removed, and is back when it is installed again"):
            web2.silent(f"{APT} remove weir")
            members_are({"lb": "alive", "web1": "alive", "web2": "left"})
            servers_are(web1)
            web2.silent(f"{APT} install /root/out/weir_*.deb")
            web2.run("systemctl start weir")
            within(30, whole)
        with report.claim("removed.balancer", "without the balancer's package NGINX serves as before"):
            before = lb.run(f"cat {FILE}")
            lb.silent(f"{APT} remove weir")
            lb.expect("pgrep -x weir | wc -l", "0")
            expect(lb.run(f"cat {FILE}") == before, lb.run(f"cat {FILE}"))
            serves(*WEBS)
        lb.run("cp -a /etc/weir /root/etc-weir; cp -a /var/lib/weir /root/lib-weir")
        with report.claim("purged", "purged it takes its own files and leaves NGINX's"):
            lb.silent(f"{APT} purge weir")
            lb.run("test ! -e /etc/weir; test ! -e /var/lib/weir; test ! -e /var/lib/weir-apply")
            expect(lb.run(f"cat {FILE}") == before, lb.run(f"cat {FILE}"))
            lb.run("nginx -t -q; systemctl reload nginx")
            serves(*WEBS)
        with report.claim("purged.back", "installed again, with its configuration and key from a backup, it is a balancer again"):
            lb.silent(f"{APT} install /root/out/weir_*.deb")
            lb.run("cp -a /root/etc-weir/. /etc/weir/; cp -a /root/lib-weir/. /var/lib/weir/; rm -r /root/etc-weir /root/lib-weir; systemctl start weir")
            within(60, whole)
            web1.run("weir tags --set weight=4")
            within(10, weights_are, 2, 1)
            web1.run("weir tags --set weight=2")
            within(10, weights_are, 1, 1)
    with report.claim("removed.visitors", "no visitor is turned away"):
        none_failed(became)
    with report.claim("purged.restart", "and NGINX could have been restarted"):
        lb.run("systemctl restart nginx")
        within(10, serves, *WEBS)
