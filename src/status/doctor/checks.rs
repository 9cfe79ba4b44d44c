//! The checks of this node: whether what they run and trust is there, and what those of the running agent say (`ux §1.2`).

use super::Trouble;
use super::access::{Access, Permission};
use super::finding::Findings;
use super::handlers::{CHECKS, Handlers, programs};
use crate::health::State;
use crate::status::node::{Check, CheckKind};

/// A file of certificates that a check or a probe is to trust.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authority {
    /// `check.site.tls_ca`.
    pub key: String,
    pub path: String,
    /// As this user finds it.
    pub trouble: Option<Trouble>,
    /// What the unit's process may do with it; `None` where that could not be tried.
    pub access: Option<Access>,
}

/// Facts about checks.
#[derive(Clone, Debug, Default)]
pub struct Checks<'a> {
    /// What `exec` runs.
    pub programs: Handlers,
    pub authorities: Vec<Authority>,
    /// Those of the running agent.
    pub told: &'a [Check],
    pub guarded: Guarded,
}

/// Applications whose guards have this node drained while they restart (`protocols A.6`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Guarded {
    /// Their units, `app.service`.
    pub units: Vec<String>,
    /// Some check here looks at more than what systemd thinks of a unit.
    pub is_checked: bool,
    /// Where this node serves, as its tags say; empty if they do not.
    pub port: String,
}

/// Judges them.
pub fn checks(facts: &Checks<'_>) -> Findings {
    let mut findings = programs(&facts.programs, &CHECKS);
    facts.authorities.iter().for_each(|authority| trusted(&mut findings, authority));
    facts.told.iter().for_each(|check| told(&mut findings, check));
    facts.guarded.units.iter().for_each(|unit| guarded(&mut findings, unit, &facts.guarded));
    findings
}

/// Whether balancers probe it only they know.
fn guarded(findings: &mut Findings, unit: &str, Guarded { is_checked, port, units: _ }: &Guarded) {
    const ID: &str = "checks.guard";
    if *is_checked {
        return findings.pass(ID, unit);
    }
    let port = if port.is_empty() { "80" } else { port };
    let message = format!(
        "weir-guard@{} is there and no check asks the application: where balancers have no probe either, {unit} gets \
         requests as soon as systemd takes it for started",
        unit.trim_end_matches(".service")
    );
    let way_out = format!(
        "write 'check.app.http = \"http://127.0.0.1:{port}/\"' to /etc/weir/weir.d/app.toml, then 'weir reload'; or give \
         the balancers upstream.NAME.probe"
    );
    findings.info(ID, unit, message, &way_out);
}

fn trusted(findings: &mut Findings, Authority { key, path, trouble, access }: &Authority) {
    const ID: &str = "checks.tls_ca";
    if let Some(Trouble { what, way_out }) = trouble {
        return findings.error(ID, key, what, way_out);
    }
    match access.as_ref().and_then(|access| access.lacks(0o4)) {
        Some(Permission::Denied) => {
            let message = format!("{key} = \"{path}\" cannot be read by the user of weir.service");
            findings.error(ID, key, message, &format!("chmod 644 {path}, and let others enter its directory"));
        }
        Some(Permission::Missing) => {
            let message = format!("{key} = \"{path}\" is hidden from weir.service");
            findings.error(ID, key, message, "move it to /etc/weir");
        }
        Some(Permission::Granted | Permission::ReadOnly | Permission::Unknown) | None => findings.pass(ID, key),
    }
}

/// What one of the running agent's says.
fn told(findings: &mut Findings, check: &Check) {
    const STATE: &str = "checks.state";
    let Check { name, target, .. } = check;
    if check.kind.is(&CheckKind::Ttl) && check.word_at.is_none() {
        let message = format!("nobody has said yet how check {name} is; it is critical without a word every {target}");
        return findings.warn("checks.ttl", name, message, &format!("have its job run 'weir check pass {name}'"));
    }
    let why = check.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
    match check.state.word() {
        Some(State::Critical | State::Warning) => {
            let since = check.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
            let message = format!("check {name} is {}{since}{why}", check.state);
            let way_out = match check.kind.word() {
                Some(CheckKind::Ttl) => format!("'weir check pass {name}' once it is well"),
                Some(CheckKind::Http | CheckKind::Tcp | CheckKind::Exec | CheckKind::Systemd) | None => {
                    format!("see to {target}")
                }
            };
            findings.warn(STATE, name, message, &way_out);
        }
        Some(State::Wait) => {
            let message = format!("check {name} has no result that counts yet{why}");
            findings.info(STATE, name, message, "'weir check list' shows what it has found");
        }
        Some(State::Passing | State::None) | None => findings.pass(STATE, name),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::summary;
    use super::super::handlers::{Handler, Program};
    use super::*;

    fn check(kind: CheckKind, state: State, output: &str) -> Check {
        Check {
            name: "site".to_owned(),
            kind: kind.into(),
            target: "30s".to_owned(),
            state: state.into(),
            since: Some("2026-11-28T15:10:14Z".to_owned()),
            output: output.to_owned(),
            ..Check::default()
        }
    }

    fn found(check: Check) -> Vec<String> {
        let findings = checks(&Checks { told: &[check], ..Checks::default() });
        let line = |finding: &super::super::Finding| {
            format!("{} {}; {}", finding.level.as_str(), finding.message, finding.remedy.clone().unwrap_or_default())
        };
        findings.iter().map(line).collect()
    }

    #[test]
    fn a_check_that_is_not_well_is_told_with_its_first_line() {
        assert_eq!(
            found(check(CheckKind::Http, State::Critical, "status 500\nmore")),
            ["warn check site is critical since 2026-11-28T15:10:14Z: status 500; see to 30s"]
        );
        assert_eq!(
            found(check(CheckKind::Exec, State::Wait, "")),
            ["info check site has no result that counts yet; 'weir check list' shows what it has found"]
        );
        assert!(found(check(CheckKind::Http, State::Passing, "")).is_empty());
    }

    #[test]
    fn a_ttl_check_that_nobody_feeds_is_told_apart_from_one_that_somebody_did() {
        for state in [State::Wait, State::Critical] {
            assert_eq!(
                found(check(CheckKind::Ttl, state, "no word within 30 s")),
                [
                    "warn nobody has said yet how check site is; it is critical without a word every 30s; have its job run \
                  'weir check pass site'"
                ]
            );
        }
        let fed = check(CheckKind::Ttl, State::Critical, "no word within 30 s");
        assert_eq!(
            found(Check { word_at: Some("2026-11-28T15:09:44Z".to_owned()), ..fed }),
            [
                "warn check site is critical since 2026-11-28T15:10:14Z: no word within 30 s; 'weir check pass site' once it \
              is well"
            ]
        );
    }

    #[test]
    fn a_guard_is_told_of_where_no_check_asks_its_application() {
        let facts = |is_checked, port: &str| Checks {
            guarded: Guarded { units: vec!["shop.service".to_owned()], is_checked, port: port.to_owned() },
            ..Checks::default()
        };
        let checked = checks(&facts(true, ""));
        assert_eq!((checked.iter().count(), checked.passed()), (0, 1));
        for (port, shown) in [("", "80"), ("8080", "8080")] {
            let findings = checks(&facts(false, port));
            assert_eq!(summary(&findings), ["info checks.guard shop.service"]);
            let finding = findings.iter().next().unwrap();
            assert!(finding.message.starts_with("weir-guard@shop is there and no check asks"), "{}", finding.message);
            let snippet = finding.remedy.as_deref().and_then(|remedy| remedy.split('\'').nth(1)).unwrap();
            assert_eq!(snippet, format!("check.app.http = \"http://127.0.0.1:{shown}/\""));
        }
    }

    #[test]
    fn what_cannot_be_run_or_trusted_is_an_error() {
        let handler = |state| Handler { name: "disk".into(), program: "/x".into(), state, text: String::new() };
        let programs = |state| Handlers { handlers: vec![handler(state)], sandbox: None };
        let facts = Checks { programs: programs(Program::Missing), ..Checks::default() };
        let found = checks(&facts);
        let finding = found.iter().next().unwrap();
        assert_eq!(finding.message, "check disk: /x is not there");
        assert_eq!((finding.id, finding.remedy.as_deref()), ("checks.program", Some("correct check.disk")));
        let authority = |trouble: Option<Trouble>, read| Authority {
            key: "check.site.tls_ca".into(),
            path: "/x.pem".into(),
            trouble,
            access: Some(Access { read, write: read, execute: read, closed: None, mount: false }),
        };
        for (trouble, read, wanted) in [
            (
                Some(Trouble::new("holds nothing", "")),
                Permission::Granted,
                &["error checks.tls_ca check.site.tls_ca"][..],
            ),
            (None, Permission::Denied, &["error checks.tls_ca check.site.tls_ca"]),
            (None, Permission::Missing, &["error checks.tls_ca check.site.tls_ca"]),
            (None, Permission::Granted, &[]),
        ] {
            let facts = Checks { authorities: vec![authority(trouble, read)], ..Checks::default() };
            assert_eq!(summary(&checks(&facts)), wanted, "{read:?}");
        }
    }
}
