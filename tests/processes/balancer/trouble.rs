//! What goes wrong on a balancer is said with its way out, costs nobody what is served, and heals.

use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stage::Balancer;
use crate::support::{Settings, holds, until, until_within};

/// One retry after a failed apply takes a minute; an operator who has mended something reloads instead.
fn reload(balancer: &mut Balancer) {
    balancer.agent.process().signal(Signal::SIGHUP);
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
#[ignore = "needs nginx"]
fn members_change_while_nginx_is_killed_and_it_comes_back_with_the_current_set() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    balancer.await_log("apply live");
    let workers = balancer.nginx.workers();
    let master = Pid::from_raw(i32::try_from(balancer.nginx.master_pid()).unwrap());
    let stored = balancer.agent.log().matches("apply stored").count();
    kill(master, Signal::SIGKILL).unwrap();
    assert_eq!(balancer.nginx.get(), "web1", "orphaned workers go on");

    let _two = balancer.web("web2", "2");
    balancer.await_log_again("apply stored", stored + 1);
    balancer.await_log("nginx is not running, the file is in place and tested; start nginx");
    balancer.assert_valid();
    assert!(balancer.file().contains("weight=2"), "{}", balancer.file());
    assert_eq!(balancer.nginx.get(), "web1", "orphaned workers go on");

    for worker in workers {
        // One from before the reload may have gone by itself.
        let _ = kill(Pid::from_raw(i32::try_from(worker).unwrap()), Signal::SIGKILL);
    }
    let listen = balancer.nginx.listen;
    until("its workers are gone", || holds(TcpStream::connect(listen).is_err()));
    balancer.nginx.kill();
    let live = balancer.agent.log().matches("apply live").count();
    balancer.nginx.run();
    balancer.await_answers(&[("web1", 1), ("web2", 2)]);
    // Nothing changes, and it is seen and confirmed all the same.
    balancer.await_log("nginx has come up");
    balancer.await_log_again("apply live", live + 1);
    let _three = balancer.web("web3", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 2), ("web3", 1)]);
}

/// What `weir info` says of NGINX.
fn nginx_state(balancer: &Balancer) -> String {
    let info = String::from_utf8(balancer.agent.cli(&["info"]).stdout).unwrap();
    let state = info.split_once("nginx:\n").and_then(|(_, rest)| rest.split_once("state = "));
    state.map(|(_, state)| state.lines().next().unwrap_or_default().to_owned()).unwrap_or(info)
}

fn await_state(balancer: &Balancer, begins: &str, ends: &str) {
    until(&format!("nginx {begins}"), || {
        let state = nginx_state(balancer);
        if state.starts_with(begins) && state.ends_with(ends) { Ok(()) } else { Err(state) }
    });
}

#[test]
#[ignore = "needs nginx"]
fn an_nginx_that_stops_or_is_started_anew_is_noticed_though_no_member_changes() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    balancer.await_log("apply live upstream=web generation=2");
    await_state(&balancer, "running since ", "");
    let reloads = balancer.nginx.reloads();

    let pid = balancer.nginx.master_pid();
    balancer.nginx.kill();
    balancer.await_log(&format!("nginx stopped pid={pid} error=\"nginx is not running; start nginx\""));
    await_state(&balancer, "stopped since ", "nginx is not running; start nginx");
    balancer.nginx.run();
    balancer.await_log(&format!("nginx has come up pid={}", balancer.nginx.master_pid()));
    // It has read what is in place: that is looked at, and nothing is reloaded.
    balancer.await_log("apply unchanged generation=2");
    await_state(&balancer, "running since ", "");

    // Between two looks.
    let before = balancer.nginx.master_pid();
    balancer.agent.pause();
    balancer.nginx.kill();
    balancer.nginx.run();
    balancer.agent.resume();
    let after = balancer.nginx.master_pid();
    balancer.await_log(&format!("nginx has another master before={before} after={after}"));
    balancer.await_log_again("apply unchanged generation=2", 2);
    assert_eq!(balancer.nginx.reloads(), reloads, "{}", balancer.nginx.log());

    // One that has read somebody's edit gets what it should serve.
    balancer.nginx.kill();
    balancer.await_log_again("nginx stopped", 2);
    std::fs::write(balancer.nginx.web(), "upstream web { server 127.0.0.1:2; } # by hand\n").unwrap();
    balancer.nginx.run();
    balancer.await_answers(&[("web1", 1)]);
    balancer.await_log("apply live upstream=web generation=3");

    // An agent that starts beside one that does not run says so.
    balancer.agent.kill();
    balancer.nginx.kill();
    balancer.agent.run();
    balancer.await_log("nginx is not seen running error=\"nginx is not running; start nginx\"");
    await_state(&balancer, "stopped since ", "");
}

#[test]
#[ignore = "needs nginx"]
fn a_directory_that_may_not_be_written_is_named_and_heals_by_itself() {
    let mut balancer = Balancer::start_as(Settings::default().without_file_rights());
    let _one = balancer.web("web1", "1");
    balancer.await_log("apply live");
    balancer.await_answers(&[("web1", 1)]);
    let before = balancer.file();
    let conf = balancer.nginx.path("conf.d");
    set_mode(&conf, 0o555);
    let _two = balancer.web("web2", "1");
    balancer.await_log("apply refused upstream=web generation=3 step=write ours=false servers=\"web2 in ");
    balancer.await_log(&format!("cannot write {}/", conf.display()));
    balancer.await_log("permission denied; what serves is untouched; ");
    assert_eq!(balancer.file(), before);
    balancer.await_answers(&[("web1", 1)]);

    set_mode(&conf, 0o755);
    let retry_and_some = Duration::from_secs(60 + 60);
    until_within(retry_and_some, "another try", || {
        if balancer.file() == before { Err(balancer.agent.log()) } else { Ok(()) }
    });
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
}

#[test]
#[ignore = "needs nginx"]
fn records_that_are_lost_while_the_agent_runs_are_made_anew_and_what_others_edit_is_put_back() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    balancer.await_log("apply live upstream=web generation=2");
    let before = balancer.file();
    std::fs::remove_dir_all(balancer.nginx.path("state")).unwrap();
    std::fs::write(balancer.nginx.web(), before.replace("server ", "server 127.0.0.1:2; server ")).unwrap();
    let look_and_some = Duration::from_secs(30 + 60);
    until_within(look_and_some, "the loss to be told", || {
        let log = balancer.agent.log();
        if log.contains("is recorded no more, what is wanted is put there anew") { Ok(()) } else { Err(log) }
    });
    until("the file to be as it was", || {
        let file = balancer.file();
        if lines(&file) == lines(&before) { Ok(()) } else { Err(file) }
    });
    assert!(balancer.nginx.path("state/journal").exists());
    balancer.await_answers(&[("web1", 1)]);
}

/// But for comments, of which the first names the generation.
fn lines(file: &str) -> Vec<&str> {
    file.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
#[ignore = "needs nginx"]
fn what_changes_and_what_is_replaced_stands_in_the_log() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    balancer.await_log("apply live upstream=web generation=2 servers=\"web1 in 127.");
    let edit = "upstream web { server 127.0.0.1:2; } # by hand\n";
    std::fs::write(balancer.nginx.web(), edit).unwrap();
    let two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    let copy = balancer.nginx.path("state/foreign/weir-web.conf.1");
    let file = balancer.nginx.web();
    let line = format!(
        "file of somebody else replaced, a copy is kept file={} line=1 copy={}",
        file.display(),
        copy.display()
    );
    balancer.await_log(&line);
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), edit);

    let output = two.cli(&["tags", "--set", "weight=3"]);
    assert!(output.status.success(), "{output:?}");
    balancer.await_log("servers=\"web2 weight 1 -> 3\"");
    // The same text once more is not kept twice.
    std::fs::write(balancer.nginx.web(), edit).unwrap();
    let output = two.cli(&["tags", "--set", "weight=2"]);
    assert!(output.status.success(), "{output:?}");
    balancer.await_log("servers=\"web2 weight 3 -> 2\"");
    balancer.await_log_again(&line, 2);
}

#[test]
#[ignore = "needs nginx"]
fn a_read_only_file_is_replaced_and_stays_read_only() {
    let balancer = Balancer::start_as(Settings::default().without_file_rights());
    set_mode(&balancer.nginx.web(), 0o444);
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    assert_eq!(std::fs::metadata(balancer.nginx.web()).unwrap().mode() & 0o777, 0o444);
}

#[test]
#[ignore = "needs nginx"]
fn a_broken_site_of_somebody_else_is_named_and_holds_up_only_until_it_is_mended() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    let before = balancer.file();
    let shop = balancer.nginx.path("conf.d/shop.conf");
    std::fs::write(&shop, "server {\n    prox_pass http://web;\n}\n").unwrap();
    let mut two = balancer.web("web2", "1");
    balancer.await_log("apply refused upstream=web generation=3 step=validate ours=false");
    balancer.await_log(&format!("prox_pass\\\" in {}:2", shop.display()));
    assert_eq!(balancer.file(), before);
    let info = balancer.agent.cli(&["info"]);
    let info = String::from_utf8(info.stdout).unwrap();
    assert!(info.contains("refused, ") && info.contains("prox_pass"), "{info}");
    balancer.await_answers(&[("web1", 1)]);
    // Changes that come meanwhile are tried, and lost to nobody.
    two.leave();
    let _three = balancer.web("web3", "1");

    std::fs::remove_file(&shop).unwrap();
    reload(&mut balancer);
    balancer.await_answers(&[("web1", 1), ("web3", 1)]);
    balancer.assert_valid();
}

/// Once no site needs the file any more, weir notices by itself.
#[test]
#[ignore = "needs nginx"]
fn a_file_of_no_upstream_goes_away_once_its_site_is_gone() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    let (toml, conf) = (balancer.agent.config_file(), balancer.nginx.config());
    let (before, site) = (std::fs::read_to_string(&toml).unwrap(), std::fs::read_to_string(&conf).unwrap());
    let file = balancer.nginx.path("conf.d/weir-db.conf");
    let with_db = format!(
        "{before}\n[upstream.db]\nselect = {{ role = \"web\" }}\nallow_loopback = true\nnginx.output = \"{}\"\n",
        file.display()
    );
    std::fs::write(&toml, with_db).unwrap();
    reload(&mut balancer);
    balancer.await_log("apply live upstream=db");
    assert!(file.exists());
    let end = site.rfind('}').unwrap();
    let listen = balancer.nginx.path("db.sock");
    let with_site = format!(
        "{}server {{ listen unix:{}; location / {{ proxy_pass http://db; }} }}\n}}\n",
        &site[..end],
        listen.display()
    );
    std::fs::write(&conf, with_site).unwrap();
    balancer.assert_valid();
    std::fs::write(&toml, before).unwrap();
    reload(&mut balancer);
    let told = |balancer: &Balancer| String::from_utf8(balancer.agent.cli(&["status"]).stdout).unwrap();
    until("the orphan is told", || {
        let told = told(&balancer);
        if told.contains("is of no upstream any more") { Ok(()) } else { Err(told) }
    });
    assert!(file.exists());
    std::fs::write(&conf, site).unwrap();
    let master = Pid::from_raw(i32::try_from(balancer.nginx.master_pid()).unwrap());
    kill(master, Signal::SIGHUP).unwrap();
    until_within(Duration::from_secs(60), "nothing is told any more", || {
        let told = told(&balancer);
        if told.contains("is of no upstream any more") { Err(told + &balancer.agent.log()) } else { Ok(()) }
    });
    assert!(!file.exists());
}

#[test]
#[ignore = "needs nginx"]
fn the_file_of_the_last_upstream_goes_away_once_its_site_is_gone() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    let (toml, conf) = (balancer.agent.config_file(), balancer.nginx.config());
    let (before, site) = (std::fs::read_to_string(&toml).unwrap(), std::fs::read_to_string(&conf).unwrap());
    let (head, rest) = before.split_once("[upstream.web]").unwrap();
    let (_, tail) = rest.split_once("[apply]").unwrap();
    std::fs::write(&toml, format!("{head}[apply]{tail}")).unwrap();
    reload(&mut balancer);
    let told = |balancer: &Balancer| String::from_utf8(balancer.agent.cli(&["status"]).stdout).unwrap();
    until_within(Duration::from_secs(15), "the orphan is told", || {
        let told = told(&balancer);
        if told.contains("is of no upstream any more") { Ok(()) } else { Err(told + &balancer.agent.log()) }
    });
    let (head, _) = site.split_once("server {").unwrap();
    std::fs::write(&conf, format!("{head}}}\n")).unwrap();
    let master = Pid::from_raw(i32::try_from(balancer.nginx.master_pid()).unwrap());
    kill(master, Signal::SIGHUP).unwrap();
    until_within(Duration::from_secs(60), "nothing is told any more", || {
        let told = told(&balancer);
        if told.contains("is of no upstream any more") { Err(told + &balancer.agent.log()) } else { Ok(()) }
    });
    assert!(!balancer.nginx.web().exists());
}
