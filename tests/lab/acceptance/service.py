"""Services and agents that do not share a fate, and how the balancer's own look tells them apart."""

import contextlib
import json
import time

from cluster import (
    DETECTED_S, WEBS, all_alive, lb, members_are, none_failed, now, pages, serves, servers_are, told, untold, visitors, web1, web2, whole,
)
from dead import SLOWEST_S, probed
from hosts import expect, in_time, pause, throughout, verb, within

DROP_IN = "/etc/weir/weir.d/60-service.toml"
# As long as two probes, the second witness and a reload take, on hosts that share two cores with others.
PROBED_S = 3
# Another server beside the web server.
MORE = "systemd-run -q --collect --unit=more -p WorkingDirectory=/srv/www python3 /srv/more.py"
STREAM = "/etc/nginx/stream.d/weir-db.conf"
SAYS_NAME = """import socketserver, socket
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(socket.gethostname().encode() + b"\\n")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", 9000), Handler).serve_forever()
"""
OVER_TLS = """import http.server, ssl
server = http.server.ThreadingHTTPServer(("", 8443), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/srv/tls.pem")
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""


def service_killed(report):
    """The web server dies and its agent lives: gossip has nothing to say."""
    with probed():
        within(10, whole)
        with visitors() as became:
            begin = time.monotonic()
            with report.claim("service.killed", "a web server that is killed while its agent lives is out within probe time"):
                web2.run("systemctl kill -s KILL www")
                within(PROBED_S, servers_are, web1)
                report.figure("service_killed_to_out_s", round(time.monotonic() - begin, 2))
                all_alive()
                lb.expect("weir explain web2 | grep -c '^ *probe *down .*decides'", "1")
            with report.claim("service.back", "started again it is back, with nothing typed"):
                web2.run("systemctl start www")
                within(10, whole)
        with report.claim("service.visitors", "no visitor is turned away, nor kept waiting"):
            none_failed(became)
            in_time(became["slowest_s"] < 1.2, f"one waited for {became['slowest_s']} s")


def agent_lost(report):
    """The agent dies and its web server lives."""
    stays_dead = "/run/systemd/system/weir.service.d/zz-stays-dead.conf"
    with probed():
        within(10, whole)
        since = now(lb)
        web2.run(f"mkdir -p $(dirname {stays_dead}); printf '[Service]\\nRestart=no\\n' >{stays_dead}; systemctl daemon-reload")
        try:
            with visitors() as became:
                with report.claim("agent_lost.stays", "a web server whose agent is killed stays in when gossip has given up its host"):
                    web2.run("systemctl kill -s KILL weir")
                    within(DETECTED_S, members_are, {"lb": "alive", "web1": "alive", "web2": "failed"})
                    throughout(3, servers_are, *WEBS)
                    serves(*WEBS)
                    untold(lb, since, "connections cut")
                with report.claim("agent_lost.told", "weir status says so, as agent_lost"):
                    within(5, attention_is, "agent_lost")
            with report.claim("agent_lost.visitors", "no visitor notices"):
                none_failed(became)
                in_time(became["slowest_s"] < 1.2, f"one waited for {became['slowest_s']} s")
        finally:
            web2.run(f"rm {stays_dead}; systemctl daemon-reload; systemctl start weir")


def attention_is(kind):
    said = json.loads(lb.run("weir status --format json || [ $? -eq 8 ]"))["attention"]
    expect(any(each["kind"] == kind for each in said), f"attention is {said}")


def cable(report):
    """A web server that is cut off, with a balancer that looks itself."""
    with probed():
        within(10, whole)
        with visitors() as became:
            with report.claim("cable.out", "a web server whose cable is pulled is out within probe time"):
                verb("cut", web2)
                begin = time.monotonic()
                within(PROBED_S, servers_are, web1)
                report.figure("cable_to_out_s", round(time.monotonic() - begin, 2))
                pause(2)
        report.figure("cable_slowest_s", became["slowest_s"])
        with report.claim("cable.visitors", f"no visitor is turned away, and none waits longer than {SLOWEST_S} s"):
            none_failed(became)
            in_time(became["slowest_s"] <= SLOWEST_S, f"one waited for {became['slowest_s']} s")
        with report.claim("cable.back", "with its cable in again it is back"):
            verb("heal")
            within(60, whole)


def own_cable(report):
    """The balancer itself is cut off, and sees nobody."""
    with probed():
        within(10, whole)
        # They are what NGINX holds against the servers; none of them can be answered for a while.
        with visitors():
            verb("cut", lb)
            with report.claim("own_cable.kept", "a balancer that is cut off keeps all its servers"):
                throughout(15, servers_are, *WEBS)
            verb("heal")
            begin = time.monotonic()
            with report.claim("own_cable.back", "with its cable in again NGINX serves once it has forgotten what it held against them"):
                within(5, pages, count=1)
                report.figure("own_cable_to_first_page_s", round(time.monotonic() - begin, 2))
                throughout(5, servers_are, *WEBS)
        within(20, whole)


def cable_bare(report):
    """The balancer itself is cut off, and does not look itself: nobody is told from the others by that."""
    within(40, whole)
    since = now(lb)
    with report.claim("cable_bare.out", "a balancer whose own cable is pulled keeps every server, and says that it hears nobody"):
        verb("cut", lb)
        throughout(20, servers_are, *WEBS)
        told(lb, since, "no other member is heard")
        lb.expect("weir explain web1 | grep -c 'this balancer heard nobody'", "1")
    with report.claim("cable_bare.back", "with its cable in again none is missing, not for a moment, and none is held down"):
        verb("heal")
        throughout(20, servers_are, *WEBS)
        # Whoever has given the others up, as they have it, tries each of them once in half a minute.
        within(40, told, lb, since, "other members are heard again")
        within(60, whole)
    # What could not be told from a failure counts as one after half a minute.
    with report.claim("cable_bare.after", "nor later, and no connection was cut"):
        throughout(25, servers_are, *WEBS)
        serves(*WEBS)
        untold(lb, since, "connections cut")


@contextlib.contextmanager
def served(program):
    """Each web server runs this program as unit `more`, until the block ends."""
    for host in WEBS:
        host.write("/srv/more.py", program)
        host.run(MORE)
    try:
        yield
    finally:
        for host in WEBS:
            host.run("systemctl stop more 2>/dev/null || :")


@contextlib.contextmanager
def upstream(text):
    """The balancer has this one besides."""
    lb.run("mkdir -p /etc/weir/weir.d")
    lb.write(DROP_IN, text, "0640")
    lb.run(f"chgrp weir {DROP_IN}; weir reload")
    try:
        yield
    finally:
        lb.run(f"rm -f {DROP_IN}; weir reload")


def ports_are(path, port, *wanted):
    """Servers of a file that are not down."""
    seen = set(lb.says(f"sed -n 's/^ *server \\([0-9.:]*\\)\\( [a-z_]*=[0-9]*s\\?\\)*;/\\1/p' {path}").split())
    expect(seen == {f"{host.addr}:{port}" for host in wanted}, f"{path} has {lb.says(f'cat {path}')}")


def stream(report):
    """The same for TCP: in NGINX's stream { }."""
    config = "/etc/nginx/nginx.conf"
    text = '[upstream.db]\nselect = { role = "web" }\nserver = { port = 9000 }\n' \
        'nginx = { context = "stream" }\nprobe = { tcp = true, interval = "250ms", timeout = "200ms" }\npolicy = { flap = { changes = 0 } }\n'
    site = "server {\n    listen 9001;\n    proxy_pass db;\n    proxy_connect_timeout 500ms;\n}\n"
    answers = "for i in 1 2 3 4 5 6 7 8; do timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/9001; cat <&3'; done | sort -u"

    def answered_by(*wanted):
        lb.expect(answers, "\n".join(map(str, wanted)))

    # As docs/operate.md says (5.2).
    lb.run(f"cp -p {config} /root/nginx.conf; echo 'stream {{ include /etc/nginx/stream.d/*.conf; }}' >>{config}; nginx -t -q; systemctl reload nginx")
    with served(SAYS_NAME), upstream(text):
        try:
            with report.claim("stream.live", "an upstream of stream { } is tested, loaded and serves TCP"):
                within(15, ports_are, STREAM, 9000, *WEBS)
                lb.write("/etc/nginx/stream.d/site.conf", site)
                lb.run("nginx -t -q; systemctl reload nginx")
                within(10, answered_by, *WEBS)
            with report.claim("stream.out", "a service that ends is out within probe time, and the other one serves all"):
                web2.run("systemctl kill -s KILL more")
                within(PROBED_S, ports_are, STREAM, 9000, web1)
                answered_by(web1)
            with report.claim("stream.back", "started again it serves"):
                web2.run(MORE)
                within(10, ports_are, STREAM, 9000, *WEBS)
                within(10, answered_by, *WEBS)
        finally:
            lb.run(f"rm -f /etc/nginx/stream.d/site.conf; cp -p /root/nginx.conf {config}; nginx -t -q; systemctl reload nginx")


def https(report):
    """A probe over TLS, out of the sandbox of the package's unit."""
    path = "/etc/nginx/conf.d/weir-tls.conf"
    text = '[upstream.tls]\nselect = { role = "web" }\nserver = { port = 8443 }\npolicy = { flap = { changes = 0 } }\n' \
        'probe = { https = "/", host = "www.internal", tls_ca = "/etc/weir/ca.pem", interval = "250ms", timeout = "250ms" }\n'
    lb.run("""cd /root; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj '/CN=internal authority' \
            -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem 2>/dev/null
        for name in www other; do
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$name.internal -keyout $name.key -out $name.csr 2>/dev/null
            printf 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:%s.internal\n' $name >$name.ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile $name.ext -out $name.pem 2>/dev/null
            cat $name.key >>$name.pem
        done
        install -m 640 -g weir ca.pem /etc/weir/ca.pem""")
    right, wrong = lb.run("cat /root/www.pem"), lb.run("cat /root/other.pem")
    for host in WEBS:
        host.write("/srv/tls.pem", right, "0600")

    def probe_is(host, state, words=""):
        shown = json.loads(lb.run("weir upstream show tls --format json"))["upstreams"][0]
        probe = next(server for server in shown["servers"] if server["member"] == str(host))["probe"]
        expect(probe["state"] == state and words in (probe["error"] or ""), f"the probe of {host} says {probe}")

    try:
        with served(OVER_TLS), upstream(text):
            with report.claim("https.up", "a probe over TLS, with a name and an authority of its own, is answered from within the sandbox"):
                within(15, ports_are, path, 8443, *WEBS)
                for host in WEBS:
                    within(10, probe_is, host, "up")
            with report.claim("https.name", "a server with a certificate for another name is out, and the probe says why"):
                web2.write("/srv/tls.pem", wrong, "0600")
                web2.run("systemctl restart more")
                within(10, probe_is, web2, "down", "certificate")
                within(PROBED_S, ports_are, path, 8443, web1)
            since = now(lb)
            with report.claim("https.back", "with the right one it is back"):
                web2.write("/srv/tls.pem", right, "0600")
                web2.run("systemctl restart more")
                within(15, ports_are, path, 8443, *WEBS)
                told(lb, since, "apply live upstream=tls")
    finally:
        lb.run("rm -f /etc/weir/ca.pem")
