"""A template through the helper: HAProxy beside NGINX, by the file that is shipped, set up as its head says."""

from cluster import WEBS, lb, now, told, web1, web2
from hosts import expect, pause, within
from nginx import LOOKED_AT_S, attention, restored, status, weight

CONFIG, TEMPLATE, OUTPUT = "/etc/weir/weir.toml", "/etc/weir/haproxy.j2", "/etc/haproxy/haproxy.cfg"
# NGINX has the port that the shipped file names.
PORT = 8088


def through_haproxy(*wanted):
    """Pages of these web servers and of no other."""
    seen = set(lb.run(f"for i in 1 2 3 4 5 6 7 8; do curl -s -S -m 20 -f http://127.0.0.1:{PORT}/; done").splitlines())
    expect(seen == {f"from {host}" for host in wanted}, f"pages are {seen}, not those of {[*map(str, wanted)]}")


def weights_are(first, second):
    """In HAProxy's file."""
    servers = lb.says(f"sed -n 's/^ *server \\(web[12]\\) .* weight /\\1 /p' {OUTPUT}")
    expect(servers == f"web1 {first}\nweb2 {second}", f"{OUTPUT} has {servers}")


def no_miss():
    said = status()[0]
    expect("template haproxy" not in said, said)


def main_pid():
    return lb.says("systemctl show -P MainPID haproxy")


def haproxy(report):
    # Its head is a comment of the template's.
    keys = f"sed -n '/^ *\\[template.haproxy\\]/,/^ *reload = /s/^ *//p' {TEMPLATE}"
    lb.run(f"cp -p {CONFIG} /root/without.toml; cp -p {OUTPUT} /root/; systemctl start haproxy")
    without = f"cp -p /root/without.toml {CONFIG}; weir reload; rm -f {TEMPLATE}"
    with restored(without, f"systemctl stop haproxy; cp -p /root/haproxy.cfg {OUTPUT}"):
        since = now(lb)
        with report.claim("template.live", "HAProxy's package and the shipped template, set up as its head says, balance over both web servers"):
            lb.run(f"sed 's/bind :80$/bind :{PORT}/' /usr/share/weir/haproxy.j2 >{TEMPLATE}; {keys} >>{CONFIG}; weir reload")
            within(15, told, lb, since, "template live template=haproxy")
            within(10, through_haproxy, *WEBS)
        with report.claim("template.theirs", "what the package had there is kept, and that is told"):
            line = told(lb, since, rf"file={OUTPUT} copy=(\S+)")
            lb.run(f"cmp /root/haproxy.cfg {line[1]}")
        follows(report)
        refuses(report)
        stopped(report)


def follows(report):
    process = main_pid()
    with report.claim("template.follows", "a change is in NGINX's file and in HAProxy's, which is reloaded, not restarted"):
        weight(web1, 4)
        within(10, weights_are, 2, 1)
        weight(web2, 0)
        within(10, through_haproxy, web1)
        weight(web2, 2)
        within(10, through_haproxy, *WEBS)
        expect(main_pid() == process, "it is another process")
    with report.claim("template.sandbox", "what puts it in place needs nothing of the unit's sandbox opened"):
        lb.expect("systemctl show -P DropInPaths weir-apply | tr ' ' '\\n' | grep -v '^/lib/\\|^/usr/lib/'", "")


def refuses(report):
    """Each mistake in its own words, and the old file serves on."""
    mistakes = (
        ("template.undefined", "server.weight", "servr.weight", "undefined variable 'servr' in /etc/weir/haproxy.j2:"),
        ("template.check", "balance roundrobin", "balance robin", "haproxy refuses the new file: .*balance only supports"),
    )
    for id, right, wrong, words in mistakes:
        with report.claim(id, f"a template with '{wrong}' leaves the old file, and weir status says what is wrong with it"):
            lb.run(f"cp -p {OUTPUT} /root/served; sed -i 's/{right}/{wrong}/' {TEMPLATE}; weir reload")
            within(10, attention, f"template haproxy: {words}")
            lb.run(f"cmp {OUTPUT} /root/served")
            through_haproxy(*WEBS)
        with report.claim(f"{id}.mended", "mended it is no trouble any more, with nothing typed within 30 s"):
            lb.run(f"sed -i 's/{wrong}/{right}/' {TEMPLATE}")
            within(LOOKED_AT_S, no_miss)


def stopped(report):
    with report.claim("template.stopped", "while HAProxy is stopped its file follows, and it is not started"):
        lb.run("systemctl stop haproxy")
        weight(web1, 2)
        within(10, weights_are, 1, 1)
        pause(1)
        lb.expect("systemctl is-active haproxy", "inactive")
        lb.run("systemctl start haproxy")
        within(10, through_haproxy, *WEBS)
        no_miss()
