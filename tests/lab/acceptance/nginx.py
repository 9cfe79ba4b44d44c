"""NGINX as operators and packages treat it, and disks as they are. The cluster is whole at the beginning of each case and at its end."""

import contextlib
import re
import time

from cluster import (
    ALL, FILE, WEBS, lb, none_failed, now, pages, serves, servers_are, told, untold, visitors, web1, web2, weights_are,
)
from hosts import expect, in_time, pause, within

NEIGHBOUR = "/etc/nginx/conf.d/neighbour.conf"
# The agent looks at the tree, the targets and what it watches this often, and needs a moment for what it finds.
LOOKED_AT_S = 30 + 4
# A refused change is tried again this often, whatever happens.
AGAIN_S = 60 + 5


def weight(host, value):
    host.run(f"weir tags --set weight={value}")


def status(at=lb):
    """What `weir status` says, and its exit code."""
    said = at.run("code=0; weir status 2>&1 || code=$?; echo $code").rstrip("\n")
    text, _, code = said.rpartition("\n")
    return text, int(code)


def attention(pattern, at=lb):
    """Something needs it, in these words."""
    text, code = status(at)
    expect(code == 8 and re.search(pattern, text), f"no attention /{pattern}/ with exit code 8, but {code}:\n{text}")


def well(at=lb):
    text, code = status(at)
    expect(code == 0, f"exit code {code}:\n{text}")


def workers():
    """Process ids of the workers that serve."""
    return set(lb.says("pgrep -P $(cat /run/nginx.pid) nginx").split())


@contextlib.contextmanager
def restored(*undo):
    """Whatever the block leaves behind is taken away."""
    try:
        yield
    finally:
        for script in undo:
            lb.run(script)


def quiet(report):
    with report.claim("nginx.quiet", "without a change NGINX is not reloaded, for 10 s"):
        before = workers()
        pause(10)
        expect(workers() == before, "it has other workers")
    with report.claim("status.well", "weir status says that all is well, and nothing needs attention"):
        within(10, well)
        for host in ALL:
            expect(re.search(r"^attention +nothing$", status(host)[0], re.MULTILINE), status(host)[0])


def counts(report):
    """What a change costs."""
    calls, notices, changes = "/var/log/nginx/calls", "/var/log/nginx/notices", 5
    # Found before the real one by whoever looks in the usual order, and of the same name once it runs.
    counter = f'#!/bin/sh\necho "$*" >>{calls}\nexec /usr/sbin/nginx "$@"\n'
    with restored("rm -f /usr/local/sbin/nginx; sed -i 's#^error_log .*notices notice;##' /etc/nginx/nginx.conf; systemctl reload nginx"):
        lb.write("/usr/local/sbin/nginx", counter, "0755")
        lb.run(f"sed -i '1i error_log {notices} notice;' /etc/nginx/nginx.conf; systemctl reload nginx")
        # What is learned of a program once is learned of this one.
        weight(web1, 4)
        within(10, weights_are, 2, 1)
        within(15, lb.expect, "systemctl is-active weir-apply.service", "inactive")
        lb.run(f": >{calls}; : >{notices}")
        with report.claim("counts", f"{changes} changes cost {changes} tests and {changes} reloads"):
            for first in (6, 8, 10, 12, 2):
                since = now(lb)
                weight(web1, first)
                within(10, told, lb, since, "apply live")
            tests = lb.says(f"grep -c -- -t {calls}")
            reloads = lb.says(f"grep -c ', reconfiguring$' {notices}")
            expect((tests, reloads) == (str(changes), str(changes)), f"{tests} tests and {reloads} reloads:\n{lb.says(f'cat {calls}')}")


def broken_neighbour(report):
    before = lb.run(f"cat {FILE}")
    with restored(f"rm -f {NEIGHBOUR}"):
        since = now(lb)
        lb.write(NEIGHBOUR, "server {\n    listen 8081;\n    prox_pass http://web;\n}\n")
        with report.claim("neighbour.refused", "with a broken site of somebody else's a change is refused, and told as not ours in NGINX's words"):
            weight(web1, 4)
            line = within(10, told, lb, since, r"apply refused .*")[0]
            expect("ours=false" in line and "step=validate" in line, line)
            expect('unknown directive \\"prox_pass\\" in ' + NEIGHBOUR in line, line)
        with report.claim("neighbour.untouched", "what serves is untouched"):
            expect(lb.run(f"cat {FILE}") == before, lb.run(f"cat {FILE}"))
            serves(*WEBS)
        with report.claim("neighbour.status", "weir status names the mistake and whose it is not"):
            attention(r"not because of weir: unknown directive \"prox_pass\" in " + NEIGHBOUR)
            lb.run("weir status --quiet --for nginx")
        lb.run(f"rm {NEIGHBOUR}")
        with report.claim("neighbour.mended", "when the site is mended the change goes live by itself within 30 s"):
            within(LOOKED_AT_S, weights_are, 2, 1)
            within(5, well)
    weight(web1, 2)
    within(10, weights_are, 1, 1)


def port_in_use(report):
    taken = "systemd-run -q --collect --unit=taken python3 -m http.server 8082"
    with restored(f"rm -f {NEIGHBOUR}; systemctl stop taken 2>/dev/null || :"):
        lb.run(taken)
        within(5, lb.run, "curl -s -o /dev/null http://127.0.0.1:8082/")
        before, since = lb.run(f"cat {FILE}"), now(lb)
        lb.write(NEIGHBOUR, "server {\n    listen 8082;\n}\n")
        with report.claim("port.rolled_back", "what passes the test and cannot be loaded is rolled back and told in NGINX's words within 5 s"):
            weight(web1, 4)
            begin = time.monotonic()
            line = within(15, told, lb, since, r"apply rolled back .*")[0]
            took = re.search(r"elapsed_ms=(\d+)", line)
            report.figure("port_in_use_reported_s", round(time.monotonic() - begin, 2))
            expect("bind() to 0.0.0.0:8082 failed (98: Address already in use)" in line, line)
            in_time(int(took[1]) < 5000, line)
        with report.claim("port.untouched", "the generation before is back and served"):
            expect(lb.run(f"cat {FILE}").splitlines()[1:] == before.splitlines()[1:], lb.run(f"cat {FILE}"))
            serves(*WEBS)
        lb.run(f"systemctl stop taken; rm {NEIGHBOUR}")
        with report.claim("port.mended", "when the port is free the change goes live by itself"):
            within(AGAIN_S, weights_are, 2, 1)
    weight(web1, 2)
    within(10, weights_are, 1, 1)


def edited(report):
    since = now(lb)
    with report.claim("edited", "a target that somebody edits is restored within 30 s, though no member changes"):
        lb.run(f"sed -i 's/{web1.addr}/10.99.99.99/' {FILE}; nginx -t -q; systemctl reload nginx")
        within(LOOKED_AT_S, servers_are, *WEBS)
        within(5, serves, *WEBS)
    with report.claim("edited.told", "the log says what differed and where the copy is, and the copy is there"):
        line = within(5, told, lb, since, r"(/var/lib/weir-apply/foreign/[\w.-]+)")
        lb.run(f"grep -q 10.99.99.99 {line[1]}")
    with report.claim("deleted", "so is one that somebody deletes"):
        lb.run(f"rm {FILE}")
        within(LOOKED_AT_S, lb.run, f"test -e {FILE}")
        within(5, servers_are, *WEBS)
        within(5, told, lb, since, f"file was taken away by somebody else, it is written again file={FILE}")
        lb.run("nginx -t -q")
        within(5, serves, *WEBS)


def taken_out(report):
    """The only upstream, out of the configuration and back."""
    config, site = "/etc/weir/weir.toml", "/etc/nginx/conf.d/shop.conf"
    lb.run(f"cp -p {config} /root/whole.toml; cp {site} /root/shop.conf")
    with restored(f"cp -p /root/whole.toml {config}; weir reload"):
        since = now(lb)
        with report.claim("taken_out.stays", "the file of an upstream that is configured no more stays as long as a site needs it, and that is told"):
            lb.run(f"awk '/^\\[/ {{ out = /^\\[upstream/ }} !out' /root/whole.toml >{config}; weir reload")
            line = within(10, told, lb, since, "file of no upstream stays.*")[0]
            expect(FILE in line, line)
            serves(*WEBS)
        with report.claim("taken_out.goes", "when no site needs it any more it goes within 30 s"):
            lb.run(f"rm {site}; nginx -t -q; systemctl reload nginx")
            within(LOOKED_AT_S, lb.run, f"test ! -e {FILE}")
            lb.run("nginx -t -q")
    with report.claim("taken_out.back", "back in the configuration it is served again"):
        within(15, servers_are, *WEBS)
        lb.run(f"cp /root/shop.conf {site}; systemctl reload nginx")
        within(10, serves, *WEBS)


def stopped(report):
    since = now(lb)
    with report.claim("nginx.stopped", "with NGINX stopped a change is tested and put in place, and told as not confirmed"):
        lb.run("systemctl stop nginx")
        weight(web1, 4)
        within(10, told, lb, since, "apply stored")
        weights_are(2, 1)
    with report.claim("nginx.status", "weir status says that NGINX does not run and what starts it, and --for nginx ends with 8"):
        attention(r"systemctl start nginx")
        lb.expect("weir status --quiet --for nginx; echo $?", "8")
    since = now(lb)
    with report.claim("nginx.started", "started, NGINX serves it, and it is confirmed"):
        lb.run("systemctl start nginx")
        within(20, told, lb, since, "apply live|apply unchanged")
        serves(*WEBS)
        within(5, well)
    weight(web1, 2)
    within(10, weights_are, 1, 1)


def master_killed(report):
    since = now(lb)
    with report.claim("nginx.killed", "NGINX whose master is killed is noticed within 10 s"):
        lb.run("kill -KILL $(cat /run/nginx.pid)")
        within(10, told, lb, since, "nginx stopped|nginx has another master")
    with report.claim("nginx.again", "started again it serves, and the next change goes live"):
        lb.run("systemctl start nginx || systemctl restart nginx")
        within(10, serves, *WEBS)
        weight(web1, 4)
        within(10, weights_are, 2, 1)
        within(10, well)
    weight(web1, 2)
    within(10, weights_are, 1, 1)


def reinstalled(report):
    package = lb.says("dpkg -S $(command -v nginx) | cut -d: -f1")
    with report.claim("nginx.reinstalled", "changes while apt reinstalls NGINX end up live and confirmed"):
        lb.run(f"systemd-run -q --collect --unit=reinstall sh -c 'DEBIAN_FRONTEND=noninteractive apt-get -y --no-download install --reinstall {package}'")
        for value in (4, 6, 8, 2, 4):
            weight(web1, value)
            pause(0.4)
        within(60, lb.expect, "systemctl is-active reinstall", "inactive")
        within(AGAIN_S, weights_are, 2, 1)
        within(10, serves, *WEBS)
        within(10, well)
    weight(web1, 2)
    within(10, weights_are, 1, 1)


def operator(report):
    """An operator's hand on an upstream."""
    weight(web1, 4)
    within(10, weights_are, 2, 1)
    with report.claim("operator.history", "weir upstream history tells each generation, what became of it and why"):
        line = lb.run("weir upstream history -n 1").splitlines()[-1]
        expect(re.search(r"\blive\b.*\bweb1\b", line), line)
    with report.claim("operator.rollback", "weir upstream rollback brings the generation before back, and holds it"):
        lb.run("weir upstream rollback --reason 'acceptance suite'")
        within(5, weights_are, 1, 1)
        weight(web1, 6)
        pause(3)
        weights_are(1, 1)
        attention("acceptance suite")
        lb.run("weir status --quiet --for nginx")
    with report.claim("operator.release", "weir upstream release lets it follow again"):
        lb.run("weir upstream release web")
        within(10, weights_are, 3, 1)
        within(5, well)
    weight(web1, 2)
    within(10, weights_are, 1, 1)


def disk_full(report):
    # A disk of its own for the state of apply, as it is on this host.
    state = "/var/lib/weir-apply"
    mount = f"""cp -a {state} /root/state; mount -t tmpfs -o size=4m,mode=0750 state {state}
        cp -a /root/state/. {state}/; chown --reference=/root/state {state}; cat /dev/zero >{state}/filler 2>/dev/null || :"""
    within(15, lb.expect, "systemctl is-active weir-apply.service", "inactive")
    with restored(f"rm -f {state}/filler"):
        lb.run(mount)
        before, since = lb.run(f"cat {FILE}"), now(lb)
        with report.claim("disk.full", "with a full disk a change is refused in plain words, and what serves is untouched"):
            weight(web1, 4)
            line = within(15, told, lb, since, r"apply (refused|failed) .*")[0]
            expect(re.search("no space left on device", line, re.IGNORECASE), line)
            expect(lb.run(f"cat {FILE}") == before, lb.run(f"cat {FILE}"))
            serves(*WEBS)
        lb.run(f"rm {state}/filler")
        with report.claim("disk.space", "with space again it goes live by itself within 30 s"):
            within(LOOKED_AT_S, weights_are, 2, 1)
    within(15, lb.expect, "systemctl is-active weir-apply.service", "inactive")
    lb.run(f"cp -a {state}/. /root/state/; umount {state}; cp -a /root/state/. {state}/; rm -r /root/state")
    weight(web1, 2)
    within(20, weights_are, 1, 1)


def read_only(report):
    # A file system of its own for the targets.
    directory = "/etc/nginx/conf.d"
    within(15, lb.expect, "systemctl is-active weir-apply.service", "inactive")
    lb.run(f"cp -a {directory} /root/conf.d; mount -t tmpfs conf {directory}; cp -a /root/conf.d/. {directory}/; mount -o remount,ro {directory}")
    since = now(lb)
    with report.claim("readonly.refused", "with a target that is read-only a change is refused in plain words"):
        weight(web1, 4)
        line = within(15, told, lb, since, r"apply (refused|failed) .*")[0]
        expect(re.search("read-only file system", line, re.IGNORECASE), line)
        serves(*WEBS)
    lb.run(f"mount -o remount,rw {directory}")
    with report.claim("readonly.mended", "when it can be written again the change goes live by itself within 30 s"):
        within(LOOKED_AT_S, weights_are, 2, 1)
    within(15, lb.expect, "systemctl is-active weir-apply.service", "inactive")
    lb.run(f"cp -a {directory}/. /root/conf.d/; umount {directory}; cp -a /root/conf.d/. {directory}/; rm -r /root/conf.d")
    weight(web1, 2)
    within(20, weights_are, 1, 1)


def helper_killed(report):
    with report.claim("helper.killed", "a helper that is killed again and again leaves a whole file, and the next change goes live"):
        with visitors() as became:
            for round, value in enumerate((4, 6, 8, 10, 12, 14, 16, 18)):
                weight(web1, value)
                pause(0.15 + 0.05 * round)
                lb.run("systemctl kill -s KILL weir-apply.service 2>/dev/null || :")
                lb.run("nginx -t -q")
                servers_are(*WEBS)
        none_failed(became)
        weight(web1, 4)
        within(AGAIN_S, weights_are, 2, 1)
        within(10, serves, *WEBS)
        within(10, well)
    weight(web1, 2)
    within(10, weights_are, 1, 1)


def others_reload(report):
    """Somebody else's SIGHUP, at any moment of ours: the master reads what is there then, and what is told must be what it serves."""
    hangups = "i=0; while kill -HUP $(cat /run/nginx.pid); do i=$((i + 1)); sleep 0.$(printf %03d $((i * 97 % 331))); done"
    since = now(lb)
    with restored("systemctl stop hangups 2>/dev/null || :"), visitors() as became:
        lb.run(f"systemd-run -q --collect --unit=hangups sh -c '{hangups}'")
        with report.claim("hangups.live", "while somebody reloads NGINX many times a second each of 16 changes goes live, and is served as soon as it is told"):
            for round in range(16):
                changed = now(lb)
                weight(web2, 2 * (round % 2))
                # Each at another moment.
                pause(0.037 * round % 0.3)
                within(10, told, lb, changed, "apply live")
                served = pages(4)
                expect(round % 2 or set(served) == {f"from {web1}"}, f"pages are {served} without {web2}")
            serves(*WEBS)
        with report.claim("hangups.told", "nothing is rolled back or refused for it"):
            untold(lb, since, "apply (rolled back|refused|failed)")
            lb.expect("systemctl is-active hangups", "active")
            well()
    with report.claim("hangups.visitors", "no visitor is turned away"):
        none_failed(became)


def certificates(report):
    live = "/etc/letsencrypt/live/shop"
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=%s -keyout {live}/privkey.pem -out {live}/fullchain.pem 2>/dev/null"
    site = f"server {{\n    listen 8443 ssl;\n    ssl_certificate {live}/fullchain.pem;\n    ssl_certificate_key {live}/privkey.pem;\n}}\n"
    shown = "openssl s_client -connect 127.0.0.1:8443 </dev/null 2>/dev/null | sed -n 's/^subject=CN = //p'"
    config = "/etc/weir/weir.toml"
    lb.run(f"mkdir -p {live}; {make % 'first'}; cp -p {config} /root/weir.toml")
    with restored(f"rm -f {NEIGHBOUR}; cp -p /root/weir.toml {config}; systemctl reload weir"):
        lb.write(NEIGHBOUR, site)
        lb.run(f"systemctl reload nginx; printf '[apply]\\nwatch = [\"/etc/letsencrypt/live\"]\\n' >>{config}; systemctl reload weir")
        within(10, lb.expect, shown, "first")
        # Known as they are.
        pause(LOOKED_AT_S)
        since = now(lb)
        with report.claim("watch", "a certificate that is renewed is served within 30 s, by one reload"):
            lb.run(make % "second")
            within(LOOKED_AT_S, lb.expect, shown, "second")
            within(5, told, lb, since, "watched files loaded generation=")
        with report.claim("watch.quiet", "and by no other reload in the next look"):
            before = workers()
            pause(LOOKED_AT_S)
            expect(workers() == before, "it has other workers")
