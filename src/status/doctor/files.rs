//! Who may read and write what the agent lives on (`ux §4` rows 7, 24 and 25).

use super::finding::Findings;
use super::handlers::Sandbox;

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
    /// Path, free bytes and whether it is mounted read-only.
    pub space: Vec<(String, u64, bool)>,
    /// Directory of an output, and whether its file system can exchange two files; `None` if that could not be tried.
    pub exchange: Vec<(String, Option<bool>)>,
}

impl User {
    /// Whether the three bits that count for this user hold all of `bits`; `None` where an access control list decides.
    fn may(&self, stat: &Stat, bits: u32) -> Option<bool> {
        let holds = |shift: u32| (stat.mode >> shift) & bits == bits;
        if self.uid == 0 {
            Some(true)
        } else if self.uid == stat.uid {
            Some(holds(6))
        } else if stat.acl {
            None
        } else {
            Some(holds(if self.groups.contains(&stat.gid) { 3 } else { 0 }))
        }
    }
}

impl Files {
    /// The agent's user, if it lacks `bits`. That this cannot be judged is a finding.
    fn lacking(&self, findings: &mut Findings, id: &'static str, path: &str, stat: &Stat, bits: u32) -> Option<&User> {
        let agent = self.agent.as_ref()?;
        match agent.may(stat, bits) {
            Some(may) => Some(agent).filter(|_| !may),
            None => {
                let message = format!("{path} has an access control list: what {} may could not be judged", agent.name);
                findings.skip(id, path, message, &format!("getfacl {path}"));
                None
            }
        }
    }
}

/// Judges them.
pub fn files(facts: &Files) -> Findings {
    let mut findings = Findings::default();
    for file in &facts.files {
        judge(&mut findings, facts, file);
    }
    for (path, free, read_only) in &facts.space {
        judge_space(&mut findings, path, *free, *read_only);
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
                    &format!("mkdir {path}, or correct upstream.NAME.nginx.output"),
                );
            }
            Purpose::Directory => {
                findings.error(
                    id,
                    path,
                    format!("{path} does not exist"),
                    &format!("install -d -m 0750 -o weir -g weir {path}"),
                );
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
    let before = findings.iter().count();
    match file.purpose {
        Purpose::Config { secret } => judge_config(findings, facts, path, stat, secret),
        Purpose::Keyring => judge_keyring(findings, facts, path, stat),
        Purpose::Token => judge_secret(findings, id, path, stat, "replace the token"),
        Purpose::Snapshot | Purpose::KeyState | Purpose::Record | Purpose::Directory => {
            judge_writable(findings, facts, file.purpose, path, stat);
        }
        Purpose::Output => judge_output(findings, facts, path, stat),
        Purpose::Socket => judge_socket(findings, facts, path, stat),
    }
    if findings.iter().count() == before {
        findings.pass(id, path);
    }
}

fn judge_config(findings: &mut Findings, facts: &Files, path: &str, stat: &Stat, secret: bool) {
    const ID: &str = "files.config";
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
    if let Some(agent) = facts.lacking(findings, ID, path, stat, 4) {
        findings.error(ID, path, format!("{path} cannot be read by {}, whom the agent runs as", agent.name), &way_out);
    }
}

fn judge_secret(findings: &mut Findings, id: &'static str, path: &str, stat: &Stat, then: &str) {
    if stat.mode & 0o077 != 0 {
        let message = format!("{path} can be read by others (mode {:04o})", stat.mode);
        findings.error(id, path, message, &format!("chmod 600 {path}, and {then}"));
    }
}

fn judge_keyring(findings: &mut Findings, facts: &Files, path: &str, stat: &Stat) {
    const ID: &str = "files.keyring";
    judge_secret(findings, ID, path, stat, "run 'weir keys rotate'");
    judge_mount(findings, ID, path, stat, "a rotation stops here");
    if let Some(agent) = facts.lacking(findings, ID, path, stat, 4) {
        let message = format!("{path} belongs to {}, and the agent runs as {}", stat.owner, agent.name);
        findings.error(ID, path, message, &format!("chown {} {path}", agent.name));
    }
}

/// What a container mounts as a single file cannot be renamed onto.
fn judge_mount(findings: &mut Findings, id: &'static str, path: &str, stat: &Stat, then: &str) {
    if stat.mount {
        let message = format!("{path} is a mount of its own and cannot be replaced: {then}");
        findings.error(id, path, message, "mount the directory");
    }
}

fn judge_writable(findings: &mut Findings, facts: &Files, purpose: Purpose, path: &str, stat: &Stat) {
    let (id, is_directory) = (id(purpose), matches!(purpose, Purpose::Directory | Purpose::Record));
    if purpose == Purpose::Snapshot {
        judge_mount(findings, id, path, stat, "the snapshot is not written anew");
    }
    // Where the sticky bit is set, nobody can replace another's files.
    if is_directory && stat.mode & 0o1002 == 0o002 {
        let message = format!("everybody may replace the files in {path} (mode {:04o})", stat.mode);
        findings.error(id, path, message, &format!("chmod 750 {path}"));
    }
    let needed = if is_directory { 0o3 } else { 0o6 };
    if let Some(agent) = facts.lacking(findings, id, path, stat, needed) {
        let message =
            format!("{path} belongs to {}, and the agent runs as {}, who cannot write it", stat.owner, agent.name);
        findings.error(id, path, message, &format!("chown {}: {path}", agent.name));
    }
}

fn judge_output(findings: &mut Findings, facts: &Files, path: &str, stat: &Stat) {
    const ID: &str = "files.output";
    if let Some(agent) = facts.lacking(findings, ID, path, stat, 0o3) {
        let message = format!("the agent runs as {} and cannot write {path}, so no upstream reaches NGINX", agent.name);
        let way_out =
            format!("give it the directory ('setfacl -m u:{}:rwx {path}'), or run the agent as root", agent.name);
        findings.error(ID, path, message, &way_out);
    }
    if facts.sandbox.as_ref().is_some_and(|sandbox| sandbox.forbids(path)) {
        let message = format!("{path} is read-only for weir.service (ProtectSystem=), so no upstream reaches NGINX");
        findings.error(ID, path, message, &format!("'systemctl edit weir' and add ReadWritePaths={path}"));
    }
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

fn judge_space(findings: &mut Findings, path: &str, free: u64, read_only: bool) {
    const ID: &str = "files.space";
    let then = "the agent goes on, but a restart then needs gossip.join";
    if read_only {
        let message = format!("the file system of {path} is read-only: {then}");
        findings.error(ID, path, message, "see 'dmesg' for why, then mount it writable");
    } else if free == 0 {
        findings.error(ID, path, format!("no space is left for {path}: {then}"), "free space there");
    } else if free < LITTLE_SPACE {
        findings.warn(ID, path, format!("only {} KiB are left for {path}", free / 1024), "free space there");
    } else {
        findings.pass(ID, path);
    }
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
