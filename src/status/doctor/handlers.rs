//! Whether handler programs are there, and whether the unit lets them do what they seem to want (`handlers §7`).

use super::access::{Access, Permission};
use super::finding::Findings;
use crate::handlers::Unrunnable;

/// What a handler would run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Program {
    Runnable,
    Missing,
    NotExecutable,
    /// It is there, and nobody can run it.
    Unrunnable(Unrunnable),
    /// The unit's process may not run it, or not read the script.
    Forbidden,
    /// This directory on the way is closed to that process.
    Closed(String),
    /// It is not there where that process looks.
    Hidden,
    /// A shell line, or a place where this user may not look.
    Unknown,
}

impl Program {
    /// What keeps the unit's process from a program that everybody else can run; a script it has to read as well.
    pub fn for_unit(access: &Access, is_script: bool) -> Self {
        match access.lacks(if is_script { 0o5 } else { 0o1 }) {
            None | Some(Permission::Granted | Permission::Unknown | Permission::ReadOnly) => Self::Runnable,
            Some(Permission::Missing) => Self::Hidden,
            Some(Permission::Denied) => access.closed.clone().map_or(Self::Forbidden, Self::Closed),
        }
    }

    /// What is wrong with `program`, and the way out; `None` where nothing is known to be.
    fn trouble(&self, program: &str, key: &str) -> Option<(String, String)> {
        Some(match self {
            Self::Runnable | Self::Unknown => return None,
            Self::Missing => (format!("{program} is not there"), format!("correct {key}")),
            Self::NotExecutable => (format!("{program} cannot be executed"), format!("chmod 755 {program}")),
            Self::Unrunnable(why) => (format!("{program} cannot be run: {why}"), why.way_out(program)),
            Self::Forbidden => {
                (format!("the user of weir.service may not run {program}"), format!("chmod 755 {program}"))
            }
            Self::Closed(directory) => (
                format!("{program} is out of reach of weir.service: {directory} is closed to its user"),
                format!("move it to /usr/local/bin, or chmod a+x {directory}"),
            ),
            Self::Hidden => (
                format!("{program} is hidden from weir.service"),
                format!("move it to /usr/local/bin, or {}", drop_in("ProtectHome=false")),
            ),
        })
    }
}

/// A handler as far as it can be seen without running it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handler {
    pub name: String,
    /// Its first word.
    pub program: String,
    pub state: Program,
    /// The command line, and the script itself where it could be read.
    pub text: String,
}

/// `ProtectSystem=`: what a unit makes read-only.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ProtectSystem {
    #[default]
    No,
    /// Programs and what boots.
    Yes,
    /// Configuration as well.
    Full,
    /// Everything but what the kernel itself offers.
    Strict,
}

impl ProtectSystem {
    fn covers(self, path: &str) -> bool {
        let under_any = |roots: &[&str]| roots.iter().any(|root| is_under(root, path));
        match self {
            Self::No => false,
            Self::Yes => under_any(&["/usr", "/boot", "/efi"]),
            Self::Full => under_any(&["/usr", "/boot", "/efi", "/etc"]),
            Self::Strict => path.starts_with('/') && !under_any(&["/dev", "/proc", "/sys"]),
        }
    }
}

fn is_under(root: &str, path: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What `weir.service` takes away from its children.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sandbox {
    /// `User=` is not root.
    pub unprivileged: bool,
    pub no_new_privileges: bool,
    /// `MemoryDenyWriteExecute=`: no code that is made as it goes.
    pub no_jit: bool,
    pub protect_home: bool,
    pub protect_system: ProtectSystem,
    /// Paths that may be written all the same, the unit's own directories among them.
    pub writable: Vec<String>,
}

impl Sandbox {
    /// Whether `path` is under the parts of the system that the unit makes read-only.
    pub(super) fn forbids(&self, path: &str) -> bool {
        self.protect_system.covers(path) && !self.writable.iter().any(|root| is_under(root, path))
    }
}

/// Facts about handlers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Handlers {
    pub handlers: Vec<Handler>,
    /// `None` where the unit is not installed: then handlers run with the agent's own rights.
    pub sandbox: Option<Sandbox>,
}

/// What runs the programs, and under which identifiers that is told.
#[derive(Debug)]
pub(super) struct Runner {
    /// As a word, and as the first part of its key.
    noun: &'static str,
    program: &'static str,
    sandbox: &'static str,
}

const HANDLERS: Runner = Runner { noun: "handler", program: "handlers.program", sandbox: "handlers.sandbox" };
pub(super) const CHECKS: Runner = Runner { noun: "check", program: "checks.program", sandbox: "checks.sandbox" };

/// Judges them.
pub fn handlers(facts: &Handlers) -> Findings {
    programs(facts, &HANDLERS)
}

/// The same of whatever runs them.
pub(super) fn programs(facts: &Handlers, runner: &Runner) -> Findings {
    let Runner { noun, program: program_id, sandbox: sandbox_id } = *runner;
    let mut findings = Findings::default();
    for handler in &facts.handlers {
        let Handler { name, program, state, .. } = handler;
        // Such a directory is there, and nobody but root may enter it.
        let hides = |directory: &str| ["/home", "/root", "/run/user"].contains(&directory);
        let state = match (state, &facts.sandbox) {
            (Program::Closed(at), Some(sandbox)) if sandbox.protect_home && hides(at) => &Program::Hidden,
            (state, _) => state,
        };
        match state.trouble(program, &format!("{noun}.{name}")) {
            Some((what, way_out)) => findings.error(program_id, name, format!("{noun} {name}: {what}"), &way_out),
            None if *state == Program::Runnable => findings.pass(program_id, name),
            None => {}
        }
        let Some(sandbox) = &facts.sandbox else { continue };
        let conflicts = conflicts(handler, sandbox);
        if conflicts.is_empty() {
            findings.pass(sandbox_id, name);
        }
        for (what, way_out) in conflicts {
            findings.warn(sandbox_id, name, format!("{noun} {name} {what}"), &way_out);
        }
    }
    findings
}

/// What the text of a handler seems to do and the unit forbids.
fn conflicts(handler: &Handler, sandbox: &Sandbox) -> Vec<(String, String)> {
    let text = &handler.text;
    let mut found = Vec::new();
    let gain = ["sudo", "su", "pkexec", "doas"].into_iter().find(|word| has_word(text, word));
    if let Some(word) = gain.filter(|_| sandbox.no_new_privileges) {
        let what = format!("uses {word}, and weir.service sets NoNewPrivileges=true: it cannot become root");
        // To set that to no is of no use: for a user, most other limits imply it.
        let way_out = "let a .path unit of systemd's do it when the handler touches a file in /var/lib/weir (docs/operate.md, \
                       Event handlers)";
        found.push((what, way_out.to_owned()));
    }
    let jit = ["node", "java", "luajit", "pypy", "pypy3"].into_iter().find(|word| has_word(text, word));
    if let Some(word) = jit.filter(|_| sandbox.no_jit) {
        let what = format!("runs {word}, which weir.service keeps from making code (MemoryDenyWriteExecute=true)");
        found.push((what, drop_in("MemoryDenyWriteExecute=false")));
    }
    if sandbox.unprivileged && reloads_nginx(text) {
        let what = "reloads NGINX, which the user of weir.service may not";
        let way_out = "let [upstream.NAME] write and reload it, with the same select as the handler's tags";
        found.push((what.to_owned(), way_out.to_owned()));
    }
    if sandbox.protect_home && ["/home/", "/root/"].iter().any(|home| text.contains(home)) {
        let what = "names a file under /home or /root, which weir.service does not see (ProtectHome=true)";
        found.push((what.to_owned(), format!("move it to /usr/local, or {}", drop_in("ProtectHome=false"))));
    }
    if let Some(path) = written(text).find(|path| sandbox.forbids(path)) {
        let what = format!("seems to write {path}, which is read-only for weir.service");
        let directory = path.rsplit_once('/').map_or("/", |(directory, _)| directory);
        // Without the dash the unit would not start where there is no such directory.
        found.push((what, drop_in(&format!("ReadWritePaths=-{directory}"))));
    }
    found
}

/// How the unit is given a setting: processes that run go on with the old one.
fn drop_in(setting: &str) -> String {
    format!("'systemctl edit weir' and add {setting} under [Service], then 'systemctl restart weir'")
}

fn reloads_nginx(text: &str) -> bool {
    let reloads = ["nginx -s reload", "systemctl reload nginx", "service nginx reload", "systemctl restart nginx"];
    reloads.iter().any(|line| text.contains(line))
}

/// Paths behind `>` and `>>`, behind `sed -i … FILE` at the end of a line, and those that `touch` and its like are given.
fn written(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(|line| {
        let redirected = line.split('>').skip(1).filter_map(|rest| rest.trim_start().split_ascii_whitespace().next());
        let edited = if line.contains("sed -i") { line.split_ascii_whitespace().last() } else { None };
        let named = line.split([';', '|', '&']).flat_map(given);
        redirected.chain(edited).chain(named).map(|path| path.trim_matches(['"', '\'', ';', ')']))
    })
}

/// The paths that a command, if it is one that writes, is given to write.
fn given(command: &str) -> impl Iterator<Item = &str> {
    let mut words = command.split_ascii_whitespace();
    let program = words.next().and_then(|first| first.rsplit('/').next()).unwrap_or_default();
    let skipped = match program {
        "touch" | "mkdir" | "rm" | "rmdir" | "tee" | "truncate" => 0,
        // The last one is where it goes.
        "cp" | "mv" | "ln" | "install" => words.clone().count().saturating_sub(1),
        _ => usize::MAX,
    };
    words.skip(skipped).filter(|word| word.trim_matches(['"', '\'']).starts_with('/'))
}

/// Whether `word` stands by itself in a line that is no comment.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let lines = text.lines().filter(|line| line.starts_with("#!") || !line.trim_start().starts_with('#'));
    lines.flat_map(|line| line.split(|c| !is_part(c))).any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::super::finding::summary;
    use super::*;

    fn unit() -> Sandbox {
        Sandbox {
            unprivileged: true,
            no_new_privileges: true,
            no_jit: true,
            protect_home: true,
            protect_system: ProtectSystem::Strict,
            writable: vec!["/etc/haproxy".to_owned(), "/var/lib/weir".to_owned()],
        }
    }

    fn found(text: &str, sandbox: Option<Sandbox>) -> Vec<String> {
        let handler =
            Handler { name: "h".into(), program: "/bin/sh".into(), state: Program::Unknown, text: text.to_owned() };
        let findings = handlers(&Handlers { handlers: vec![handler], sandbox });
        findings.iter().map(|finding| finding.message.clone()).collect()
    }

    #[test]
    fn a_script_that_the_unit_would_break_is_named_with_the_way_out() {
        for (text, words) in [
            ("sudo systemctl restart app", &["uses sudo"][..]),
            ("# sudo is not needed\nlogger sudoku", &[]),
            (
                "sed -i s/a/b/ /etc/nginx/conf.d/web.conf\nnginx -s reload",
                &["reloads NGINX", "seems to write /etc/nginx/conf.d/web.conf"],
            ),
            ("echo x >> \"/etc/hosts\"", &["seems to write /etc/hosts"]),
            ("echo x > /var/lib/weir/seen", &[]),
            ("echo x > /etc/haproxy/list", &[]),
            ("touch /srv/app/x", &["seems to write /srv/app/x"]),
            ("/usr/bin/cp /srv/a /srv/b/c", &["seems to write /srv/b/c"]),
            ("cat /srv/a | tee -a /srv/b", &["seems to write /srv/b"]),
            ("touch /var/lib/weir/x; ls /srv/app", &[]),
            ("/home/ana/notify.sh", &["under /home or /root"]),
            ("#!/usr/bin/env node\nconsole.log(1)", &["runs node"]),
        ] {
            let said = found(text, Some(unit()));
            assert_eq!(said.len(), words.len(), "{text}: {said:?}");
            for (said, word) in said.iter().zip(words) {
                assert!(said.contains(word), "{said} / {word}");
            }
        }
    }

    #[test]
    fn what_is_read_only_depends_on_the_word() {
        use ProtectSystem::{Full, No, Strict, Yes};
        for (path, from) in [
            ("/usr/local/bin/x", &[Yes, Full, Strict][..]),
            ("/etc/hosts", &[Full, Strict]),
            ("/srv/www/index.html", &[Strict]),
            ("/etcetera/list", &[Strict]),
            ("/dev/null", &[]),
            ("$OUT", &[]),
            ("/etc/haproxy/list", &[]),
        ] {
            for protect_system in [No, Yes, Full, Strict] {
                let sandbox = Sandbox { protect_system, ..unit() };
                assert_eq!(sandbox.forbids(path), from.contains(&protect_system), "{path} {protect_system:?}");
            }
        }
    }

    #[test]
    fn started_by_hand_nothing_is_forbidden() {
        assert!(found("sudo nginx -s reload > /etc/x", None).is_empty());
    }

    #[test]
    fn programs_that_are_not_there_are_errors() {
        let handler = |state| Handler { name: "h".into(), program: "/x".into(), state, text: String::new() };
        let found = |state| summary(&handlers(&Handlers { handlers: vec![handler(state)], sandbox: None }));
        for wrong in [
            Program::Missing,
            Program::NotExecutable,
            Program::Unrunnable(Unrunnable::NoInterpreter("/bin/hs".into())),
            Program::Forbidden,
            Program::Closed("/opt/x".into()),
            Program::Hidden,
        ] {
            assert_eq!(found(wrong), ["error handlers.program h"]);
        }
        assert!(found(Program::Runnable).is_empty() && found(Program::Unknown).is_empty());
    }

    #[test]
    fn a_home_that_the_unit_hides_is_not_to_be_opened() {
        let found = |directory: &str| {
            let state = Program::Closed(directory.to_owned());
            let handler = Handler { name: "h".into(), program: "/x".into(), state, text: String::new() };
            let findings = handlers(&Handlers { handlers: vec![handler], sandbox: Some(unit()) });
            findings.iter().next().unwrap().message.clone()
        };
        assert_eq!(found("/home"), "handler h: /x is hidden from weir.service");
        assert_eq!(found("/opt/x"), "handler h: /x is out of reach of weir.service: /opt/x is closed to its user");
    }

    #[test]
    fn a_bad_first_line_is_told_as_the_interpreter_that_is_not_found() {
        let state = Program::Unrunnable(Unrunnable::NoInterpreter("/usr/bin/pyhton".into()));
        let handler = Handler { name: "h".into(), program: "/x".into(), state, text: String::new() };
        let findings = handlers(&Handlers { handlers: vec![handler], sandbox: None });
        let finding = findings.iter().next().unwrap();
        assert_eq!(finding.message, "handler h: /x cannot be run: interpreter /usr/bin/pyhton is not found");
        assert_eq!(finding.remedy.as_deref(), Some("install it, or correct the first line"));
    }

    #[test]
    fn the_units_process_has_to_run_a_program_and_to_read_a_script() {
        use Permission::{Denied, Granted, Missing};
        let access = |read, execute, closed: Option<&str>| Access {
            read,
            write: Denied,
            execute,
            closed: closed.map(ToOwned::to_owned),
            mount: false,
        };
        for (access, is_script, wanted) in [
            (access(Denied, Granted, None), false, Program::Runnable),
            (access(Denied, Granted, None), true, Program::Forbidden),
            (access(Granted, Granted, None), true, Program::Runnable),
            (access(Granted, Denied, None), true, Program::Forbidden),
            (access(Denied, Denied, Some("/opt/x")), true, Program::Closed("/opt/x".into())),
            (access(Missing, Missing, None), false, Program::Hidden),
        ] {
            assert_eq!(Program::for_unit(&access, is_script), wanted, "{access:?}");
        }
    }
}
