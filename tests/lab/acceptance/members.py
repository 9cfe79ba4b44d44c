"""Members that come and go, with and without a word, while visitors do."""

import time

import install
from cluster import (
    ALL, DETECTED_S, WEBS, active, all_alive, lb, members, members_are, none_failed, now, pages, serves, servers, servers_are, told,
    untold, visitors, web1, web2, weights_are, whole,
)
from hosts import Host, expect, pause, throughout, verb, within

# The site waits no longer for a silent server (etc/site.conf).
READ_TIMEOUT_S = 10


def weights(report):
    """Weights are honoured, and whoever changes them costs one reload."""
    since = now(lb)
    with report.claim("weights.file", "weights 4 and 2 are told as 2 to 1"):
        web1.run("weir tags --set weight=4")
        within(10, weights_are, 2, 1)
    with report.claim("weights.share", "of 300 visitors 200 see the heavier server's page"):
        within(5, told, lb, since, "apply live")
        seen = pages(300).count(f"from {web1}")
        # Each worker of NGINX begins its own round.
        expect(190 <= seen <= 210, f"{seen} saw web1's page")
    with report.claim("weights.zero", "weight 0 takes a server out, and back at 2 it is served"):
        web1.run("weir tags --set weight=0")
        within(10, servers_are, web2)
        within(5, serves, web2)
        web1.run("weir tags --set weight=2")
        within(10, servers_are, *WEBS)
        within(5, serves, *WEBS)


def kill(report):
    """Power loss of a web server under light load."""
    with visitors() as became:
        begin = time.monotonic()
        with report.claim("kill.out", "a web server that lost power is out of the upstream, before gossip says so or with it"):
            verb("kill", web2)
            within(DETECTED_S, servers_are, web1)
            report.figure("kill_to_out_s", round(time.monotonic() - begin, 2))
            within(DETECTED_S, members_are, {"lb": "alive", "web1": "alive", "web2": "failed"})
        with report.claim("kill.rest", "the other one serves all"):
            within(5, serves, web1)
        # Who was on the way to the dead server is tried elsewhere by then.
        pause(READ_TIMEOUT_S)
    with report.claim("kill.visitors", "no visitor is turned away, only kept waiting"):
        none_failed(became)
    report.figure("kill_slowest_s", became["slowest_s"])
    with report.claim("kill.back", "with power again it is a member and a server, with nothing typed"):
        verb("start", web2)
        within(30, whole)


def leave(report):
    """A web server's agent stops, and with it go its visitors."""
    with visitors() as became:
        with report.claim("leave.out", "a web server whose agent stops is out of the upstream within 5 s, as one that left"):
            web2.run("systemctl stop weir")
            within(5, servers_are, web1)
            members_are({"lb": "alive", "web1": "alive", "web2": "left"})
            within(5, serves, web1)
        with report.claim("leave.stays", "it stays out"):
            throughout(3, servers_are, web1)
        with report.claim("leave.back", "started again it is back"):
            web2.run("systemctl start weir")
            within(15, whole)
    with report.claim("leave.visitors", "no visitor is turned away"):
        none_failed(became)


def freeze(report):
    """Agent and web server hang, their host answers."""
    with visitors(rate=10) as became:
        with report.claim("freeze.out", "a web server that hangs with its agent is out of the upstream"):
            web2.run("systemctl kill -s STOP weir www")
            within(DETECTED_S, servers_are, web1)
            within(5, serves, web1)
        with report.claim("freeze.back", "when it goes on it is back, and its agent was not restarted"):
            web2.run("systemctl kill -s CONT weir www")
            within(40, whole)
            web2.expect("systemctl show -P NRestarts weir", "0")
        pause(READ_TIMEOUT_S)
    with report.claim("freeze.visitors", "no visitor is turned away"):
        none_failed(became)


def cut(report):
    """Cables, partitions, one-way streets."""
    with report.claim("cut.out", "a web server that is cut off is out of the upstream"):
        verb("cut", web2)
        within(DETECTED_S, servers_are, web1)
    with report.claim("cut.alone", "alone it holds the others for failed"):
        within(DETECTED_S, members_are, {"lb": "failed", "web1": "failed", "web2": "alive"}, web2)
    with report.claim("cut.heal", "with its cable in again all is as before"):
        verb("heal")
        within(60, whole)
        for host in ALL:
            within(60, all_alive, host)
    with report.claim("cut.balancer", "a balancer that is cut off keeps a server rather than none"):
        verb("split", lb, f"{web1},{web2}")
        within(DETECTED_S, members_are, {"lb": "alive", "web1": "failed", "web2": "failed"})
        throughout(3, lambda: expect(servers(), "the upstream has no server"))
        lb.run("nginx -t -q")
        verb("heal")
        within(60, whole)
    with report.claim("cut.oneway", "packets that are lost one way between two web servers cost none of them its place for 15 s"):
        verb("oneway", web1, web2)
        throughout(15, servers_are, *WEBS)
        verb("heal")
        within(30, whole)


def reboot(report):
    """All three, orderly."""
    before = servers()
    with report.claim("reboot", "rebooted at once all three are a cluster again, and the page is served, with nothing typed"):
        verb("reboot", *ALL)
        begin = time.monotonic()
        within(60, whole)
        report.figure("reboot_to_page_s", round(time.monotonic() - begin, 2))
    with report.claim("reboot.weights", "with the weights of before"):
        expect(servers() == before, f"they are {servers()}, and were {before}")
    with report.claim("reboot.units", "what ran runs"):
        for host in ALL:
            active(host, "weir", "weir-apply.socket")


def power(report):
    """All three, without a word."""
    before = servers()
    with report.claim("power", "when all three lose power at once and get it back, the page is served, with nothing typed"):
        verb("kill", *ALL)
        verb("start", *ALL)
        begin = time.monotonic()
        within(60, whole)
        report.figure("power_to_page_s", round(time.monotonic() - begin, 2))
    with report.claim("power.file", "the upstream's servers are those of before"):
        lb.run("nginx -t -q")
        expect(servers() == before, f"they are {servers()}, and were {before}")


def agent_killed(report):
    """The agent dies; NGINX does not notice."""
    since = now(lb)
    with visitors() as became:
        with report.claim("agent.killed", "a balancer's agent that is killed is started again, and finds its cluster"):
            lb.run("systemctl kill -s KILL weir")
            within(20, lambda: lb.expect("systemctl is-active weir", "active"))
            within(20, whole)
        with report.claim("agent.quiet", "NGINX is not reloaded for it"):
            untold(lb, since, "apply live")
    with report.claim("agent.visitors", "no visitor notices"):
        none_failed(became)


def two_balancers(report):
    """A second balancer writes a file of its own."""
    second = Host("web3")
    verb("up", second)
    with report.claim("second.serves", "a second balancer, set up like the first, serves the same pages"):
        install.second_balancer(second)
        within(20, lambda: expect(len(members(second)) == 4, str(members(second))))
        within(10, servers_are, *WEBS, at=second)
        within(5, serves, *WEBS, at=second)
    with visitors(at=second) as became:
        with report.claim("second.alone", "it goes on when the first loses power, and follows changes"):
            verb("kill", lb)
            within(5, serves, *WEBS, at=second)
            web1.run("weir tags --set weight=4")
            within(10, weights_are, 2, 1, at=second)
            # So long until the first one is held dead.
            pause(READ_TIMEOUT_S)
    with report.claim("second.visitors", "no visitor of it notices"):
        none_failed(became)
    with report.claim("second.first", "the first comes back with what has changed meanwhile"):
        verb("start", lb)
        within(40, lambda: expect(set(members().values()) == {"alive"}, str(members())))
        within(20, weights_are, 2, 1)
    web1.run("weir tags --set weight=2")
    second.run("systemctl stop weir")
    verb("stop", second)
    # Gone for good: it is no part of what other cases find.
    within(10, lb.run, "weir --quiet force-leave --prune web3")
