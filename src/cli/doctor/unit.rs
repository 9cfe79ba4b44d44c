//! The packaged unit: what it lets the agent and its handlers do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::DEFAULT_CONFIG;
use crate::command;
use crate::config::{Source, Sources};
use crate::status::doctor::{Access, ProtectSystem, Sandbox};

const UNIT: &str = "weir.service";
/// systemd answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// Properties that decide what its processes may do with files. A transient unit takes them as systemd shows them.
const PROPERTIES: [&str; 24] = [
    "User",
    "Group",
    "SupplementaryGroups",
    "CapabilityBoundingSet",
    "AmbientCapabilities",
    "NoNewPrivileges",
    "RootDirectory",
    "ProtectSystem",
    "ProtectHome",
    "ProtectProc",
    "ProcSubset",
    "ProtectKernelTunables",
    "ProtectControlGroups",
    "PrivateDevices",
    "PrivateTmp",
    "ReadWritePaths",
    "ReadOnlyPaths",
    "InaccessiblePaths",
    "ExecPaths",
    "NoExecPaths",
    "BindPaths",
    "BindReadOnlyPaths",
    "TemporaryFileSystem",
    "UMask",
];

/// Directories that systemd makes and lets the unit write, and where. A transient unit of their names would take them away.
const DIRECTORIES: [(&str, &str); 4] = [
    ("StateDirectory", "/var/lib"),
    ("RuntimeDirectory", "/run"),
    ("CacheDirectory", "/var/cache"),
    ("LogsDirectory", "/var/log"),
];

/// The unit as systemd has it.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Unit {
    pub(super) user: Option<String>,
    pub(super) sandbox: Sandbox,
    /// `KEY=VALUE`, for a transient unit that may do with files what this one may.
    properties: Vec<String>,
}

/// Whether the agent that is meant is the unit's: it runs in it, or, where none runs, would with this configuration.
pub(super) fn runs_the_agent(sources: &Sources, pid: Option<u32>) -> bool {
    match pid {
        Some(pid) => fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(UNIT)),
        None => sources.paths == [Source::File(DEFAULT_CONFIG.into())],
    }
}

impl Unit {
    /// What systemd says; `None` where it does not run or has no such unit.
    pub(in crate::cli) fn ask() -> Option<Self> {
        if !Path::new("/run/systemd/system").exists() {
            return None;
        }
        let directories = DIRECTORIES.map(|(key, _)| key);
        let wanted =
            [&["LoadState", "ReadWriteDirectories", "MemoryDenyWriteExecute"], &PROPERTIES[..], &directories].concat();
        Self::parse(&output("systemctl", &["show", UNIT, &format!("--property={}", wanted.join(","))], PATIENCE)?)
    }

    /// What the unit's process may do with files and directories; `None` where that cannot be tried. Only root may start units,
    /// and systemd older than 236 tells nobody what they print.
    pub(in crate::cli) fn access(&self, paths: &[PathBuf]) -> Option<Vec<Access>> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let program = std::env::current_exe().ok()?;
        let mut arguments: Vec<&str> =
            vec!["--quiet", "--wait", "--pipe", "--collect", "--no-ask-password", "--property=RuntimeMaxSec=5"];
        let properties: Vec<String> = self.properties.iter().map(|property| format!("--property={property}")).collect();
        arguments.extend(properties.iter().map(String::as_str));
        arguments.extend(["--", program.to_str()?, "access", "--"]);
        arguments.extend(paths.iter().map(|path| path.to_str()).collect::<Option<Vec<_>>>()?);
        let said: Vec<Access> = serde_json::from_str(&output("systemd-run", &arguments, PATIENCE * 2)?).ok()?;
        (said.len() == paths.len()).then_some(said)
    }

    /// Lines of `KEY=VALUE`.
    fn parse(text: &str) -> Option<Self> {
        let value =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
        if value("LoadState") != "loaded" {
            return None;
        }
        let user = Some(value("User").to_owned()).filter(|user| !user.is_empty());
        let named =
            ["ReadWritePaths", "ReadWriteDirectories"].into_iter().flat_map(|key| value(key).split_ascii_whitespace());
        // A leading - says that the path may be missing, a + that it is relative to a root directory.
        let mut writable: Vec<String> = named.map(|path| path.trim_start_matches(['-', '+']).to_owned()).collect();
        let directories = DIRECTORIES
            .iter()
            .flat_map(|(key, root)| value(key).split_ascii_whitespace().map(move |name| format!("{root}/{name}")));
        let directories: Vec<String> = directories.collect();
        let is_set = |key: &&str| *key == "CapabilityBoundingSet" || !value(key).is_empty();
        let mut properties: Vec<String> =
            PROPERTIES.iter().copied().filter(is_set).map(|key| format!("{key}={}", value(key))).collect();
        properties.extend(directories.iter().map(|path| format!("ReadWritePaths=-{path}")));
        writable.extend(directories);
        if !matches!(value("PrivateTmp"), "" | "no") {
            writable.extend(["/tmp", "/var/tmp"].map(ToOwned::to_owned));
        }
        let sandbox = Sandbox {
            unprivileged: user.as_ref().is_some_and(|user| user != "root"),
            no_new_privileges: value("NoNewPrivileges") == "yes",
            no_jit: value("MemoryDenyWriteExecute") == "yes",
            protect_home: matches!(value("ProtectHome"), "yes" | "read-only" | "tmpfs"),
            protect_system: match value("ProtectSystem") {
                "strict" => ProtectSystem::Strict,
                "full" => ProtectSystem::Full,
                "yes" => ProtectSystem::Yes,
                _ => ProtectSystem::No,
            },
            writable,
        };
        Some(Self { user, sandbox, properties })
    }
}

/// Whether systemd starts a unit when the host starts.
pub(super) fn is_enabled(unit: &str) -> bool {
    output("systemctl", &["is-enabled", unit], PATIENCE).is_some_and(|state| state.starts_with("enabled"))
}

/// Applications whose guards systemd knows: they run, or start with them.
pub(super) fn guarded() -> Vec<String> {
    const LIST: [&str; 6] = ["list-units", "--all", "--plain", "--no-legend", "--no-pager", "weir-guard@*.service"];
    output("systemctl", &LIST, PATIENCE).map(|list| guarded_in(&list)).unwrap_or_default()
}

/// Of lines `UNIT LOAD ACTIVE SUB DESCRIPTION`.
fn guarded_in(list: &str) -> Vec<String> {
    let application = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let guard = words.next()?.strip_prefix("weir-guard@")?;
        (words.next() == Some("loaded")).then(|| guard.to_owned())
    };
    list.lines().filter_map(application).collect()
}

/// What a program prints, if it succeeds within a limit.
pub(super) fn output(program: &str, arguments: &[&str], limit: Duration) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    let ran = command::run(command, limit, "").ok()?;
    ran.success.then_some(ran.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_read_as_systemctl_shows_it() {
        let text = "LoadState=loaded\nUser=weir\nNoNewPrivileges=yes\nProtectHome=yes\nProtectSystem=strict\n\
            ReadWritePaths=-/srv/x /etc/haproxy\nPrivateTmp=yes\nStateDirectory=weir\nRuntimeDirectory=weir\n";
        let unit = Unit::parse(text).unwrap();
        assert_eq!(unit.user.as_deref(), Some("weir"));
        let writable = ["/srv/x", "/etc/haproxy", "/var/lib/weir", "/run/weir", "/tmp", "/var/tmp"];
        let all = Sandbox {
            unprivileged: true,
            no_new_privileges: true,
            no_jit: false,
            protect_home: true,
            protect_system: ProtectSystem::Strict,
            writable: writable.map(ToOwned::to_owned).to_vec(),
        };
        assert_eq!(unit.sandbox, all);
        assert!(Unit::parse("LoadState=not-found\nUser=\n").is_none());
        let bare =
            Unit::parse("LoadState=loaded\nUser=\nProtectHome=no\nProtectSystem=no\nNoNewPrivileges=no\n").unwrap();
        assert_eq!(bare.sandbox, Sandbox::default());
    }

    #[test]
    fn guards_are_read_as_systemctl_lists_them() {
        let list = "weir-guard@app.service  loaded active   exited weir drains this node while app.service is away\n\
                    weir-guard@shop.service loaded inactive dead   weir drains this node while shop.service is away\n\
                    weir-guard@gone.service not-found inactive dead weir-guard@gone.service\n";
        assert_eq!(guarded_in(list), ["app.service", "shop.service"]);
        assert_eq!(guarded_in(""), [""; 0]);
    }

    #[test]
    fn a_program_that_hangs_or_fails_says_nothing() {
        let limit = Duration::from_secs(30);
        assert_eq!(output("/bin/sh", &["-c", "echo yes"], limit).as_deref(), Some("yes\n"));
        assert_eq!(output("/bin/sh", &["-c", "echo yes; exit 1"], limit), None);
        assert_eq!(output("/bin/sh", &["-c", "exec sleep 600"], Duration::from_millis(50)), None);
        assert_eq!(output("/nonexistent", &[], limit), None);
    }
}
