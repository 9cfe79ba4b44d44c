//! What the agent keeps on disk where the disk is not as it should be: links, mounts, files of others, a disk that hangs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::{
    Agent, Kind, Process, Settings, address, skipped, until, weir_binary, without_file_rights, write_keyring,
};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// One agent's directory.
struct Lab {
    dir: TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An agent's command line; what it keeps is in `home`.
    fn command(&self, home: &str, more: &str) -> Command {
        let (home, dir) = (self.path(home), self.dir.path().display());
        let shown = home.display();
        let text = format!(
            "node.name = \"a\"\ngossip.bind = \"{}\"\nencryption.keyring = \"{shown}/keyring.json\"\n\
             snapshot.path = \"{shown}/snapshot\"\nrpc.socket = \"{dir}/rpc.sock\"\nleave.on_stop = false\n{more}\n",
            address()
        );
        fs::write(self.path("weir.toml"), text).unwrap();
        let mut command = Command::new(weir_binary());
        command.args(["agent", "--config-file"]).arg(self.path("weir.toml"));
        command.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        command
    }

    fn run(&self, command: Command) -> Process {
        let _of_an_earlier_run = fs::remove_file(self.path("log"));
        let agent = Process::start(command, self.path("log"));
        agent.await_log(" ready ");
        agent
    }

    /// The command line of the agent here.
    fn cli(&self, args: &[&str]) -> Output {
        let mut command = Command::new(weir_binary());
        command.args(args).arg(format!("--rpc-addr=unix:{}", self.path("rpc.sock").display())).output().unwrap()
    }

    fn doctor(&self) -> serde_json::Value {
        let mut command = Command::new(weir_binary());
        command.args(["doctor", "--only=files", "--format=json", "--config-file"]).arg(self.path("weir.toml"));
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    }
}

fn stop(mut agent: Process) {
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit_code(), Some(0), "{}", agent.log());
}

/// As a deployment has it: the place is a link into a release.
#[test]
fn links_stay_and_a_rotation_reaches_what_they_name() {
    let lab = Lab::new();
    fs::create_dir(lab.path("home")).unwrap();
    fs::create_dir(lab.path("release")).unwrap();
    write_keyring(&lab.path("release/ring"), KEY);
    symlink("../release/ring", lab.path("home/keyring.json")).unwrap();
    // What does not exist yet is made where the link leads.
    symlink(lab.path("release/log"), lab.path("home/snapshot")).unwrap();
    let agent = lab.run(lab.command("home", ""));
    let before = fs::read_to_string(lab.path("release/ring")).unwrap();
    let rotated = lab.cli(&["keys", "rotate"]);
    assert!(rotated.status.success(), "{rotated:?}");
    assert_ne!(fs::read_to_string(lab.path("release/ring")).unwrap(), before);
    assert_eq!(fs::metadata(lab.path("release/ring")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(lab.doctor()["findings"], serde_json::json!([]));
    stop(agent);
    for link in ["home/keyring.json", "home/snapshot"] {
        assert!(fs::symlink_metadata(lab.path(link)).unwrap().is_symlink(), "{link}");
    }
    assert!(fs::metadata(lab.path("release/log")).unwrap().len() > 0);
    // The link is deployed anew: the ring behind it is the rotated one.
    fs::remove_file(lab.path("home/keyring.json")).unwrap();
    symlink(lab.path("release/ring"), lab.path("home/keyring.json")).unwrap();
    stop(lab.run(lab.command("home", "")));
}

/// As a container has it that mounts one file.
#[test]
#[ignore = "needs root"]
fn a_file_that_is_a_mount_is_told_at_start_by_doctor_and_by_a_rotation() {
    let lab = Lab::new();
    fs::create_dir(lab.path("home")).unwrap();
    write_keyring(&lab.path("ring"), KEY);
    write_keyring(&lab.path("home/keyring.json"), KEY);
    let ring = lab.path("home/keyring.json").display().to_string();
    let inside = |command: &Command| {
        let mut outer = Command::new("unshare");
        outer.args(["-m", "sh", "-c", "mount --bind \"$0\" \"$1\" && shift && exec \"$@\""]);
        outer.arg(lab.path("ring")).arg(&ring).arg(command.get_program()).args(command.get_args());
        outer
    };
    let agent = lab.run(inside(&lab.command("home", "")));
    let told = format!("file is a mount of its own and cannot be replaced; mount the directory path={ring}");
    assert!(agent.log().contains(&told), "{}", agent.log());
    let rotated = lab.cli(&["keys", "rotate"]);
    let text = String::from_utf8_lossy(&rotated.stdout).into_owned() + &String::from_utf8_lossy(&rotated.stderr);
    let told = format!("{ring} is a mount of its own and cannot be replaced; mount the directory");
    assert!(rotated.status.code() == Some(7) && text.contains(&told), "{text}");
    let mut doctor = Command::new(weir_binary());
    doctor.args(["doctor", "--only=files", "--config-file"]).arg(lab.path("weir.toml"));
    let found = String::from_utf8(inside(&doctor).output().unwrap().stdout).unwrap();
    let line =
        format!("{ring} is a mount of its own and cannot be replaced: a rotation stops here; mount the directory");
    assert!(found.contains(&line), "{found}");
    stop(agent);
}

/// Of root's after a run by hand, or a directory.
#[test]
fn what_the_agent_cannot_read_of_its_caches_keeps_it_from_nothing_and_is_kept() {
    let lab = Lab::new();
    fs::create_dir(lab.path("home")).unwrap();
    write_keyring(&lab.path("home/keyring.json"), KEY);
    let spoil: [fn(&Path); 2] = [
        |path| {
            fs::write(path, "closed").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        },
        |path| fs::create_dir(path).unwrap(),
    ];
    let errors = ["Permission denied (os error 13)", "is a directory"];
    for (spoil, error) in spoil.into_iter().zip(errors) {
        for name in ["snapshot", "keyring.json.state"] {
            drop(fs::remove_file(lab.path("home").join(name)));
            spoil(&lab.path("home").join(name));
        }
        let agent = lab.run(without_file_rights(&lab.command("home", "")));
        let log = agent.log();
        for (phrase, name) in [
            ("snapshot cannot be read, starting without it; members are found by gossip.join", "snapshot"),
            ("state of the keyring cannot be read and is begun anew", "keyring.json.state"),
        ] {
            let path = lab.path("home").join(name).display().to_string();
            let line = log.lines().find(|line| line.contains(phrase)).unwrap_or_else(|| panic!("{phrase}: {log}"));
            assert!(line.contains(error) && line.contains(&format!(" kept={path}.unreadable")), "{line}");
            let aside = lab.path("home").join(format!("{name}.unreadable"));
            assert!(aside.exists());
            drop(fs::remove_file(&aside).or_else(|_| fs::remove_dir(&aside)));
        }
        until("the snapshot is written", || {
            fs::read_to_string(lab.path("home/snapshot")).map(drop).map_err(|error| error.to_string())
        });
        // The ring is written as well, its state before it.
        let rotated = lab.cli(&["keys", "rotate"]);
        assert!(rotated.status.success(), "{rotated:?}");
        stop(agent);
    }
}

/// Of root's after a run by hand: what the log says of the way back is typed as it stands there.
#[test]
fn what_was_put_aside_is_used_again_by_the_commands_of_the_log() {
    let lab = Lab::new();
    fs::create_dir(lab.path("home")).unwrap();
    write_keyring(&lab.path("home/keyring.json"), KEY);
    let agent = lab.run(lab.command("home", ""));
    assert!(lab.cli(&["tags", "--set", "color=blue"]).status.success());
    stop(agent);
    // But for weir's own.
    let tags = || {
        let told = String::from_utf8(lab.cli(&["tags"]).stdout).unwrap();
        told.lines().filter(|tag| !tag.starts_with("weir_")).collect::<Vec<_>>().join("\n")
    };
    let close = |name: &str| fs::set_permissions(lab.path(name), fs::Permissions::from_mode(0o000)).unwrap();
    fs::write(lab.path("home/keyring.json.state"), "{\"version\": 1}").unwrap();
    ["home/snapshot", "home/keyring.json.state"].into_iter().for_each(close);

    let agent = lab.run(without_file_rights(&lab.command("home", "")));
    assert_eq!(tags(), "", "started without it");
    let log = agent.log();
    let ways: Vec<&str> = log.lines().filter_map(|line| line.split_once(" way_back=\"")).map(|(_, way)| way).collect();
    assert_eq!(ways.len(), 2, "{log}");
    stop(agent);
    for way in ways {
        let commands: Vec<&str> = way.split('\'').skip(1).step_by(2).collect();
        assert!(commands.len() == 3 && commands[0].starts_with("mv "), "{way}");
        for command in commands {
            succeeds("sh", &["-c".as_ref(), command.as_ref()]).unwrap();
        }
    }
    let agent = lab.run(without_file_rights(&lab.command("home", "")));
    assert_eq!(tags(), "color=blue", "{}", agent.log());
    assert!(!agent.log().contains("cannot be read"), "{}", agent.log());
    stop(agent);
}

/// A file system in a file, mounted.
struct Disk {
    image: PathBuf,
    place: PathBuf,
    frozen: bool,
}

fn succeeds(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let told = || format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(told()) }
}

impl Disk {
    fn new(lab: &Path) -> Result<Self, String> {
        let disk = Self { image: lab.join("image"), place: lab.join("disk"), frozen: false };
        fs::create_dir(&disk.place).unwrap();
        fs::File::create(&disk.image).unwrap().set_len(16 * 1024 * 1024).unwrap();
        succeeds("mkfs.ext4", &["-q".as_ref(), disk.image.as_ref()])?;
        succeeds("mount", &["-o".as_ref(), "loop".as_ref(), disk.image.as_ref(), disk.place.as_ref()])?;
        Ok(disk)
    }

    /// From now on every write waits, as on a file server that is gone.
    fn freeze(&mut self) -> Result<(), String> {
        succeeds("fsfreeze", &["-f".as_ref(), self.place.as_ref()])?;
        self.frozen = true;
        Ok(())
    }

    fn thaw(&mut self) {
        if std::mem::take(&mut self.frozen) {
            succeeds("fsfreeze", &["-u".as_ref(), self.place.as_ref()]).unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.thaw();
        // Lazily: an agent may still be about to end.
        let _not_mounted = succeeds("umount", &["-l".as_ref(), self.place.as_ref()]);
    }
}

#[test]
#[ignore = "needs root"]
fn a_disk_that_hangs_holds_up_neither_clients_nor_gossip() {
    let lab = Lab::new();
    let mut disk = match Disk::new(lab.dir.path()) {
        Ok(disk) => disk,
        Err(why) => return skipped(why),
    };
    let on_disk = disk.place.display().to_string();
    let settings = || Settings { profile: Some("local"), ..Settings::key(KEY) };
    write_keyring(&disk.place.join("keyring.json"), KEY);
    let handler = format!(
        "[handler.h]\nshell = \"echo >> {on_disk}/seen\"\n[encryption]\nkeyring = \"{on_disk}/keyring.json\"\n\
         [snapshot]\npath = \"{on_disk}/snapshot\"\n"
    );
    let more = lab.path("more.toml");
    fs::create_dir(lab.path("weir.d")).unwrap();
    fs::write(&more, handler).unwrap();
    let mut hung = Agent::prepare(Kind::Weir, "hung", settings());
    fs::create_dir(hung.dir.path().join("weir.d")).unwrap();
    fs::copy(&more, hung.dir.path().join("weir.d/disk.toml")).unwrap();
    hung.run();
    let watcher = Agent::start(Kind::Weir, "watcher", settings().join(hung.gossip));
    let mut victim = Agent::start(Kind::Weir, "victim", settings().join(hung.gossip));
    crate::support::await_agreement(
        &[&hung, &watcher],
        &[("hung", "alive"), ("watcher", "alive"), ("victim", "alive")],
    );
    if let Err(why) = disk.freeze() {
        return skipped(why);
    }
    // Each of these is written, or started, from the loop.
    for number in 0..5 {
        let tags = hung.cli(&["tags", "--set", &format!("n={number}")]);
        assert!(tags.status.success(), "{tags:?}");
        assert!(hung.cli(&["event", "e"]).status.success());
    }
    // As long as it takes to declare somebody failed, and the loop turns.
    victim.kill();
    crate::support::await_agreement(
        &[&watcher, &hung],
        &[("hung", "alive"), ("watcher", "alive"), ("victim", "failed")],
    );
    assert!(!watcher.log().contains("member suspected member=hung"), "{}", watcher.log());
    disk.thaw();
    hung.kill();
}

#[test]
#[ignore = "needs root"]
fn as_the_first_process_it_leaves_no_zombies_and_ends_as_the_agent_does() {
    let lab = Lab::new();
    fs::create_dir(lab.path("home")).unwrap();
    write_keyring(&lab.path("home/keyring.json"), KEY);
    // What it leaves behind ends after it, with nobody but the first process to wait for it.
    let handler =
        format!("[handler.h]\non = [\"user\"]\nshell = \"(read x < {}) & exit 3\"", lab.path("gate").display());
    nix::unistd::mkfifo(&lab.path("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let agent = lab.command("home", &handler);
    let mut outer = Command::new("unshare");
    outer.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(agent.get_program()).args(agent.get_args());
    outer.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
    let mut process = lab.run(outer);
    let first = *children(process.pid()).first().expect("unshare forks");
    let own = children(first);
    assert_eq!(own.len(), 1, "the agent");
    assert!(lab.cli(&["event", "e"]).status.success());
    process.await_log("handler failed handler=h event=user:e status=3");
    until("the orphan is adopted", || {
        if children(first).len() == 2 { Ok(()) } else { Err(format!("{:?}", children(first))) }
    });
    fs::write(lab.path("gate"), "x\n").unwrap();
    until("nobody is left", || if children(first) == own { Ok(()) } else { Err(format!("{:?}", children(first))) });
    // A signal reaches the agent once: a second would cut its leave short.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(first).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(process.exit_code(), Some(0), "{}", process.log());
    assert!(process.log().contains("stopping without a leave signal=terminated"), "{}", process.log());
}

#[test]
fn started_by_somebody_who_ignores_the_end_of_children_it_hears_of_that_of_its_own() {
    let lab = Lab::new();
    fs::create_dir(lab.path("home")).unwrap();
    write_keyring(&lab.path("home/keyring.json"), KEY);
    let agent = lab.command("home", "[handler.h]\non = [\"user\"]\nshell = \"exit 3\"");
    let mut outer = Command::new("env");
    outer.arg("--ignore-signal=CHLD").arg(agent.get_program()).args(agent.get_args());
    outer.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
    let process = lab.run(outer);
    assert!(lab.cli(&["event", "e"]).status.success());
    process.await_log("handler failed handler=h event=user:e status=3");
    stop(process);
}

#[test]
#[ignore = "needs root"]
fn a_snapshot_at_a_device_is_none_and_the_device_stays() {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let lab = Lab::new();
    fs::create_dir(lab.path("home")).unwrap();
    write_keyring(&lab.path("home/keyring.json"), KEY);
    // As `/dev/null`, which a test had better leave alone.
    if let Err(error) = mknod(&lab.path("home/snapshot"), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3)) {
        return skipped(format_args!("no device can be made here: {error}"));
    }
    let process = lab.run(lab.command("home", ""));
    process.await_log("a device holds no snapshot, there is none; set snapshot.path");
    assert!(lab.cli(&["tags", "--set", "a=b"]).status.success());
    stop(process);
    let mut left: Vec<_> = fs::read_dir(lab.path("home")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["keyring.json", "snapshot"]);
}

/// Zombies included.
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
