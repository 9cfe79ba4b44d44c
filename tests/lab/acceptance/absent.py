"""What a balancer needs and does not find: NGINX itself, a directory, its records. The cluster is whole at the beginning of each case and at its end."""

from cluster import FILE, WEBS, lb, none_failed, now, serves, servers_are, told, visitors, web1, weights_are
from hosts import expect, pause, within
from nginx import AGAIN_S, attention, restored, weight, well

STATE = "/var/lib/weir-apply"


def not_installed(report):
    apt, site = "DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0", "/etc/nginx/conf.d/shop.conf"
    package = lb.says("dpkg -S $(command -v nginx) | cut -d: -f1")
    lb.run(f"cp {site} /root/shop.conf")
    with restored(f"cp /root/shop.conf {site}; nginx -t -q; systemctl reload nginx"):
        since = now(lb)
        with report.claim("absent.nginx", "with NGINX purged a change is refused in plain words, and weir status tells what installs it"):
            lb.run(f"{apt} purge nginx-common >/dev/null 2>&1")
            weight(web1, 4)
            within(15, told, lb, since, "apply refused .*nginx is not installed, upstream web waits")
            attention(r"nginx is not installed, upstream web waits.*\n.*'apt install nginx'")
            lb.run(f"test ! -e {FILE}")
        lb.run(f"{apt} --no-download install {package} >/dev/null")
        with report.claim("absent.nginx.later", "when it is installed the change goes live by itself"):
            # A helper that runs already has /etc/nginx as it was, and may try once in vain.
            within(2 * AGAIN_S, weights_are, 2, 1)
    within(10, serves, *WEBS)
    within(10, well)
    weight(web1, 2)
    within(10, weights_are, 1, 1)


def directories(report):
    targets = FILE.rpartition("/")[0]
    missing(report, "absent.targets", targets, rf"cannot write {FILE}: no such file or directory.*\n.*create {targets}")


def missing(report, id, directory, words):
    """A directory goes, and comes back."""
    within(15, lb.expect, "systemctl is-active weir-apply.service", "inactive")
    with restored(f"! test -e /root/away || {{ rm -rf {directory}; mv /root/away {directory}; }}"):
        lb.run(f"mv {directory} /root/away")
        with report.claim(id, f"without {directory} a change is refused, and weir status says what to do"):
            weight(web1, 4)
            within(15, attention, words)
            serves(*WEBS)
        # A helper that runs sees the place as it was when it started.
        within(15, lb.expect, "systemctl is-active weir-apply.service", "inactive")
        lb.run(f"mv /root/away {directory}")
        with report.claim(f"{id}.back", "with it the change goes live by itself"):
            within(AGAIN_S, weights_are, 2, 1)
            within(5, servers_are, *WEBS)
            within(10, well)
    weight(web1, 2)
    within(20, weights_are, 1, 1)


def records(report):
    """What apply keeps is lost, with the members known and with nobody known."""
    within(15, lb.expect, "systemctl is-active weir-apply.service", "inactive")
    with report.claim("lost.records", f"without {STATE} a change goes live, and the start of the helper has made it again"):
        lb.run(f"rm -rf {STATE}")
        weight(web1, 4)
        within(AGAIN_S, weights_are, 2, 1)
        lb.expect(f"stat -c '%a %U:%G' {STATE}", "750 root:weir")
    weight(web1, 2)
    within(10, weights_are, 1, 1)

    before = lb.run(f"cat {FILE}")
    with report.claim("lost.all", "with nobody known and nothing recorded the file that serves stays, and weir status says so"):
        with visitors() as became:
            # It goes first, so that it sees nobody leave.
            lb.run(f"systemctl stop weir; rm -rf {STATE} /var/lib/weir/snapshot*")
            for host in WEBS:
                host.run("systemctl stop weir")
            lb.run("systemctl start weir")
            within(15, attention, r"web has no server yet, NGINX keeps the file that was there before.*\n.*'weir join'")
            pause(5)
        none_failed(became)
        expect(lb.run(f"cat {FILE}") == before, lb.run(f"cat {FILE}"))
    with report.claim("lost.held", "a hold leaves it as it is, also over a restart and with members again"):
        with visitors() as became:
            lb.run("weir upstream hold web; systemctl restart weir")
            for host in WEBS:
                host.run("systemctl start weir")
            within(20, lb.run, "weir upstream show web | grep -q 'nothing is recorded of it yet'")
            pause(5)
        none_failed(became)
        expect(lb.run(f"cat {FILE}") == before, lb.run(f"cat {FILE}"))
    with report.claim("lost.back", "released it has its servers, and nobody is told of an edit"):
        since = now(lb)
        lb.run("weir upstream release web")
        within(10, told, lb, since, "apply (live|unchanged)")
        within(10, servers_are, *WEBS)
        within(10, well)
