//! Who may read and write what the agent lives on (`ux §4` rows 7, 24 and 25).

use std::path::Path;

use super::access::Access;
use super::finding::Findings;
use super::handlers::Sandbox;
use crate::status::USE_THE_HELPER;
use crate::status::shell::argument;
use obstacle::Obstacle;

mod obstacle;

/// Less free space than this will soon cost the snapshot.
const LITTLE_SPACE: u64 = 16 * 1024 * 1024;

/// What a file is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Read by the agent; `secret` if a key or token stands in it.
    Config { secret: bool },
    /// Holds keys; must be its owner's alone.
    Keyring,
    /// Holds the RPC token; the same.
    Token,
    /// Written by the agent; holds no secret.
    Snapshot,
    /// What the agent keeps beside its keyring; the same.
    KeyState,
    /// The directory with the record of what was applied; a directory that is not there yet is made.
    Record,
    /// A directory in which the agent replaces files.
    Directory,
    /// A directory in which the agent itself replaces NGINX's files.
    Output,
    /// The RPC socket.
    Socket,
}

/// A file as the system describes it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stat {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Their names, or numbers where nobody has them.
    pub owner: String,
    pub group: String,
    /// It is a directory.
    pub directory: bool,
    /// It is a mount of its own: nothing can take its place.
    pub mount: bool,
    /// An access control list says more than the mode does.
    pub acl: bool,
}

/// A file and what became of looking at it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct File {
    pub purpose: Purpose,
    pub path: String,
    /// `None` if it is not there.
    pub stat: Option<Stat>,
    /// It may be there; this user may not look.
    pub denied: bool,
    /// What the agent may do with it; `None` where that could not be tried.
    pub access: Option<Access>,
}

/// A user that files have to be readable or writable for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct User {
    pub uid: u32,
    pub name: String,
    pub groups: Vec<u32>,
}

/// Facts about files.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Files {
    /// Whom the agent runs as; `None` if that is not known.
    pub agent: Option<User>,
    /// What the unit keeps from it; `None` where it does not run in one.
    pub sandbox: Option<Sandbox>,
    /// Who asks.
    pub asker: User,
    /// `rpc.group`, if that group exists here.
    pub rpc_group: Option<String>,
    pub files: Vec<File>,
    /// Those that are links, and what each names in the end.
    pub links: Vec<(String, String)>,
    /// Path, free bytes and whether it is mounted read-only.
    pub space: Vec<(String, u64, bool)>,
    /// Directory of an output, and whether its file system can exchange two files; `None` if that could not be tried.
    pub exchange: Vec<(String, Option<bool>)>,
}

impl Files {
    /// Whom the agent runs as, in a sentence.
    fn agent_name(&self) -> &str {
        self.agent.as_ref().map_or("root", |agent| &agent.name)
    }

    /// Where the bytes of a file are, which is where it is replaced.
    fn target<'a>(&'a self, file: &'a File) -> &'a str {
        let link = self.links.iter().find(|(link, _)| *link == file.path);
        link.map_or(&file.path, |(_, target)| target)
    }

    /// The file for `purpose` that is replaced in `directory`.
    fn replaced_in(&self, directory: &str, purpose: Purpose) -> Option<&File> {
        let is_here = |file: &&File| Path::new(self.target(file)).parent() == Some(Path::new(directory));
        self.files.iter().filter(|file| file.purpose == purpose).find(is_here)
    }

    /// Whether the file system of this directory is read-only for everybody.
    fn is_read_only(&self, directory: &str) -> bool {
        self.space.iter().any(|(path, _, read_only)| path == directory && *read_only)
    }
}

/// Judges them.
pub fn files(facts: &Files) -> Findings {
    let mut findings = Findings::default();
    for file in &facts.files {
        judge(&mut findings, facts, file);
    }
    for (path, free, read_only) in facts.space.iter().filter(|(path, ..)| Path::new(path).is_absolute()) {
        judge_space(&mut findings, facts, path, *free, *read_only);
    }
    for (directory, exchanges) in &facts.exchange {
        judge_exchange(&mut findings, directory, *exchanges);
    }
    findings
}

const fn id(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Config { .. } => "files.config",
        Purpose::Keyring => "files.keyring",
        Purpose::Token => "files.token",
        Purpose::Snapshot => "files.snapshot",
        Purpose::KeyState => "files.keystate",
        Purpose::Record => "files.record",
        Purpose::Directory => "files.directory",
        Purpose::Output => "files.output",
        Purpose::Socket => "files.socket",
    }
}

fn judge(findings: &mut Findings, facts: &Files, file: &File) {
    let (id, path) = (id(file.purpose), &file.path);
    if is_elsewhere(file) {
        // Of its directory that is as true.
        if file.purpose != Purpose::Directory {
            let message = format!("{path} is relative: where it is depends on where the agent is started");
            findings.skip(id, path, message, "write a path that starts with /");
        }
        return;
    }
    if file.denied {
        return findings.skip(id, path, format!("{path} may not be looked at by this user"), "sudo weir doctor");
    }
    let Some(stat) = &file.stat else {
        return match file.purpose {
            Purpose::Output => {
                findings.error(
                    id,
                    path,
                    format!("{path} does not exist"),
                    &format!(
                        "mkdir {path}, or correct what names it, upstream.NAME.nginx.output or template.NAME.output"
                    ),
                );
            }
            Purpose::Directory => {
                // To make one that the unit keeps from the agent is of no use.
                let is_forbidden = facts.sandbox.as_ref().is_some_and(|sandbox| sandbox.forbids(path));
                let way_out = if is_forbidden {
                    into_the_state_directory(facts, path)
                } else {
                    format!("install -d -m 0750 -o weir -g weir {path}")
                };
                findings.error(id, path, format!("{path} does not exist"), &way_out);
            }
            // A missing ring or token is told with its contents; a snapshot or socket comes with the agent.
            Purpose::Config { .. }
            | Purpose::Keyring
            | Purpose::Token
            | Purpose::Snapshot
            | Purpose::KeyState
            | Purpose::Record
            | Purpose::Socket => {}
        };
    };
    if stat.directory && matches!(file.purpose, Purpose::Keyring | Purpose::Token) {
        // That it is one is told with its contents.
        return;
    }
    let before = findings.iter().count();
    match file.purpose {
        Purpose::Config { secret } => judge_config(findings, facts, file, stat, secret),
        Purpose::Keyring => judge_keyring(findings, facts, file, stat),
        Purpose::Token => judge_secret(findings, id, path, stat, "replace the token"),
        Purpose::Snapshot | Purpose::KeyState => judge_written(findings, facts, file, stat),
        Purpose::Record => judge_record(findings, facts, file, stat),
        Purpose::Directory => judge_directory(findings, facts, file, stat),
        Purpose::Output => judge_output(findings, facts, file, stat),
        Purpose::Socket => judge_socket(findings, facts, path, stat),
    }
    if findings.iter().count() == before {
        findings.pass(id, path);
    }
}

/// A path that only Serf's files may have: the agent and whoever looks here need not mean the same file. The configuration is
/// named by whoever looks.
fn is_elsewhere(file: &File) -> bool {
    !matches!(file.purpose, Purpose::Config { .. }) && Path::new(&file.path).is_relative()
}

fn judge_config(findings: &mut Findings, facts: &Files, file: &File, stat: &Stat, secret: bool) {
    const ID: &str = "files.config";
    let path = &file.path;
    let way_out = format!("chown root:weir {path}; chmod 640 {path}");
    if secret && stat.mode & 0o007 != 0 {
        let message = format!("{path} holds a key or token and can be read by everybody (mode {:04o})", stat.mode);
        findings.error(ID, path, message, &format!("chmod 640 {path}, and replace the key"));
    }
    if stat.mode & 0o002 != 0 {
        findings.error(ID, path, format!("{path} is writable by everybody"), &way_out);
    } else if stat.mode & 0o020 != 0 && stat.acl {
        // The bits of the group are the most that anybody on the list has.
        let message = format!("{path} has an access control list: who may write it could not be judged");
        findings.skip(ID, path, message, &format!("getfacl {path}"));
    } else if stat.mode & 0o020 != 0 && stat.gid != 0 {
        findings.warn(ID, path, format!("{path} is writable by group {}", stat.group), &way_out);
    }
    let trusted =
        stat.uid == 0 || stat.uid == facts.asker.uid && facts.agent.as_ref().is_none_or(|a| a.uid == stat.uid);
    if !trusted {
        findings.warn(ID, path, format!("{path} belongs to {}, who can have it run anything", stat.owner), &way_out);
    }
    let cannot = format!("{path} cannot be read by {}, whom the agent runs as", facts.agent_name());
    match facts.obstacle(findings, ID, file, stat, 4) {
        Some(Obstacle::Rights | Obstacle::ReadOnly) => findings.error(ID, path, cannot, &way_out),
        Some(Obstacle::Closed(directory)) => {
            let way_out = format!("chown root:weir {directory}; chmod 750 {directory}");
            findings.error(ID, path, format!("{cannot}: {directory} is closed to it"), &way_out);
        }
        Some(Obstacle::Hidden) => {
            findings.error(ID, path, format!("weir.service hides {path}"), "move it to /etc/weir")
        }
        None => {}
    }
}

fn judge_secret(findings: &mut Findings, id: &'static str, path: &str, stat: &Stat, then: &str) {
    if stat.mode & 0o077 != 0 {
        let message = format!("{path} can be read by others (mode {:04o})", stat.mode);
        findings.error(id, path, message, &format!("chmod 600 {path}, and {then}"));
    }
}

fn judge_keyring(findings: &mut Findings, facts: &Files, file: &File, stat: &Stat) {
    const ID: &str = "files.keyring";
    let path = &file.path;
    judge_secret(findings, ID, path, stat, "run 'weir keys rotate'");
    judge_mount(findings, ID, file, stat, "a rotation stops here");
    // What else is in the way is in the way of its directory, which tells.
    if facts.obstacle(findings, ID, file, stat, 4) == Some(Obstacle::Rights) {
        let agent = facts.agent_name();
        let message = format!("{path} belongs to {}, and the agent runs as {agent}", stat.owner);
        findings.error(ID, path, message, &format!("chown {agent}: {path}; chmod 600 {path}"));
    }
}

/// What a container or the unit mounts as a single file cannot be renamed onto.
fn judge_mount(findings: &mut Findings, id: &'static str, file: &File, stat: &Stat, then: &str) {
    let path = &file.path;
    if file.access.as_ref().map_or(stat.mount, |access| access.mount) {
        let message = format!("{path} is a mount of its own and cannot be replaced: {then}");
        findings.error(id, path, message, "mount the directory");
    }
}

fn judge_written(findings: &mut Findings, facts: &Files, file: &File, stat: &Stat) {
    let id = id(file.purpose);
    if file.purpose == Purpose::Snapshot {
        judge_mount(findings, id, file, stat, "the snapshot is not written anew");
    }
    if facts.obstacle(findings, id, file, stat, 0o6) == Some(Obstacle::Rights) {
        not_owned(findings, facts, id, &file.path, stat);
    }
}

fn judge_record(findings: &mut Findings, facts: &Files, file: &File, stat: &Stat) {
    judge_replaceable(findings, "files.record", &file.path, stat);
    // What else is in the way of it is in the way of NGINX's directory, which tells.
    if facts.obstacle(findings, "files.record", file, stat, 0o3) == Some(Obstacle::Rights) {
        not_owned(findings, facts, "files.record", &file.path, stat);
    }
}

fn not_owned(findings: &mut Findings, facts: &Files, id: &'static str, path: &str, stat: &Stat) {
    let agent = facts.agent_name();
    let message = format!("{path} belongs to {}, and the agent runs as {agent}, who cannot write it", stat.owner);
    findings.error(id, path, message, &format!("chown {agent}: {path}; chmod u+rwX {path}"));
}

/// Where the sticky bit is set, nobody can replace another's files.
fn judge_replaceable(findings: &mut Findings, id: &'static str, path: &str, stat: &Stat) {
    if stat.mode & 0o1002 == 0o002 {
        let message = format!("everybody may replace the files in {path} (mode {:04o})", stat.mode);
        findings.error(id, path, message, &format!("chmod 750 {path}"));
    }
}

fn judge_directory(findings: &mut Findings, facts: &Files, file: &File, stat: &Stat) {
    const ID: &str = "files.directory";
    let path = &file.path;
    judge_replaceable(findings, ID, path, stat);
    let what = match facts.obstacle(findings, ID, file, stat, 0o3) {
        Some(Obstacle::Rights) => return not_owned(findings, facts, ID, path, stat),
        // It is the file system itself, which is told.
        Some(Obstacle::ReadOnly) if facts.sandbox.is_none() || facts.is_read_only(path) => return,
        Some(Obstacle::ReadOnly) => "is read-only for weir.service (ProtectSystem=)".to_owned(),
        Some(Obstacle::Closed(directory)) => {
            format!("is out of reach of {}, whom the agent runs as: {directory} is closed to it", facts.agent_name())
        }
        Some(Obstacle::Hidden) => "is hidden from weir.service".to_owned(),
        None => return,
    };
    let message = format!("{path} {what}: the agent cannot keep its files there");
    findings.error(ID, path, message, &into_the_state_directory(facts, path));
}

/// Where the unit lets the agent write.
fn into_the_state_directory(facts: &Files, directory: &str) -> String {
    const RING: &str = "/var/lib/weir/keyring.json";
    const SNAPSHOT: &str = "/var/lib/weir/snapshot";
    let mut steps = Vec::new();
    if let Some(ring) = facts.replaced_in(directory, Purpose::Keyring) {
        let copy = |to: &str| format!("'install -m 0600 -o weir -g weir {} {to}'", facts.target(ring));
        if ring.path == RING {
            // A link, which the file itself takes the place of.
            steps.extend([copy(&format!("{RING}.new")), format!("'mv {RING}.new {RING}'")]);
        } else {
            // One that is not there is told with its contents.
            steps.extend(ring.stat.as_ref().map(|_| copy(RING)));
            steps.push(format!("set encryption.keyring = \"{RING}\""));
        }
    }
    if let Some(snapshot) = facts.replaced_in(directory, Purpose::Snapshot) {
        let is_link = snapshot.path == SNAPSHOT;
        steps.push(if is_link { format!("'rm {SNAPSHOT}'") } else { format!("set snapshot.path = \"{SNAPSHOT}\"") });
    }
    steps.push("then 'systemctl restart weir'".to_owned());
    steps.join(", ")
}

fn judge_output(findings: &mut Findings, facts: &Files, file: &File, stat: &Stat) {
    const ID: &str = "files.output";
    let path = &file.path;
    let what = match facts.obstacle(findings, ID, file, stat, 0o3) {
        Some(Obstacle::Rights | Obstacle::Closed(_)) => {
            format!("the agent runs as {} and cannot write {path}", facts.agent_name())
        }
        Some(Obstacle::ReadOnly) if facts.is_read_only(path) => return,
        Some(Obstacle::ReadOnly | Obstacle::Hidden) if facts.sandbox.is_some() => {
            format!("{path} is read-only for weir.service (ProtectSystem=)")
        }
        Some(Obstacle::ReadOnly | Obstacle::Hidden) => format!("{path} is read-only for the agent"),
        None => return,
    };
    let way_out =
        if facts.sandbox.is_some() { USE_THE_HELPER } else { "run the agent as root, where it may write there" };
    findings.error(ID, path, format!("{what}, so nothing is put in place there"), way_out);
}

fn judge_socket(findings: &mut Findings, facts: &Files, path: &str, stat: &Stat) {
    const ID: &str = "files.socket";
    if stat.mode & 0o007 != 0 {
        let message = format!("everybody on this host may use {path}, keys included (mode {:04o})", stat.mode);
        findings.error(ID, path, message, &format!("chmod 660 {path}, and see who changed it"));
    }
    if let Some(group) = facts.rpc_group.as_ref().filter(|group| **group != stat.group) {
        let message = format!("{path} belongs to group {}, rpc.group is {group}", stat.group);
        findings.warn(ID, path, message, "systemctl restart weir");
    }
}

fn judge_space(findings: &mut Findings, facts: &Files, path: &str, free: u64, read_only: bool) {
    const ID: &str = "files.space";
    let then = without_space(facts, path);
    if read_only {
        let message = format!("the file system of {path} is read-only{then}");
        // The unit may have mounted it as it was when it started.
        let way_out = format!(
            "see 'dmesg' for why, then 'mount -o remount,rw \"$(findmnt -no TARGET -T {})\"' and 'systemctl restart weir'",
            argument(path)
        );
        findings.error(ID, path, message, &way_out);
    } else if free == 0 {
        findings.error(ID, path, format!("no space is left for {path}{then}"), &format!("free space in {path}"));
    } else if free < LITTLE_SPACE {
        findings.warn(
            ID,
            path,
            format!("only {} KiB are left for {path}", free / 1024),
            &format!("free space in {path}"),
        );
    } else {
        findings.pass(ID, path);
    }
}

/// What comes of it that the files of a directory cannot be replaced.
fn without_space(facts: &Files, path: &str) -> String {
    let is_itself = |purpose| facts.files.iter().any(|file| file.purpose == purpose && file.path == path);
    let stops = [
        (facts.replaced_in(path, Purpose::Keyring).is_some(), "keys cannot be rotated"),
        (facts.replaced_in(path, Purpose::Snapshot).is_some(), "a restart needs gossip.join"),
        (is_itself(Purpose::Output) || is_itself(Purpose::Record), "upstreams cannot be applied"),
    ];
    let stops: Vec<&str> = stops.into_iter().filter_map(|(is_so, what)| is_so.then_some(what)).collect();
    if stops.is_empty() { String::new() } else { format!(": the agent goes on, but {}", stops.join(", and ")) }
}

fn judge_exchange(findings: &mut Findings, directory: &str, exchanges: Option<bool>) {
    const ID: &str = "files.exchange";
    match exchanges {
        Some(true) => findings.pass(ID, directory),
        Some(false) => findings.info(
            ID,
            directory,
            format!(
                "the file system of {directory} cannot exchange two files in one step: an edit by somebody else in the \
                 same instant would be lost"
            ),
            "",
        ),
        None => findings.skip(
            ID,
            directory,
            format!(
                "whether {directory} can exchange two files in one step was not tried: this user cannot write there"
            ),
            "sudo weir doctor",
        ),
    }
}

#[cfg(test)]
mod tests;
