//! `--unit APP.service`, for an agent that stops before the application, and drains before that restarts (`protocols A.6`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::exit::Exit;
use super::super::failure::Failure;
use crate::command;

/// systemd answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);
/// An undo that waits for an agent takes ten seconds.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Where an administrator's additions to the agent's unit are.
const DROP_INS: &str = "/etc/systemd/system/weir.service.d";

/// An application's unit, by its whole name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Application {
    /// Without `.service`.
    name: String,
}

/// What systemd knows of it and of its guard.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Known {
    /// There is such a unit.
    is_there: bool,
    /// It runs, or is to run again in a moment.
    runs: bool,
    /// It has failed, and stays so until somebody sees to it.
    failed: bool,
    /// Its guard starts with it.
    guarded: bool,
    /// Its guard stands by.
    on_guard: bool,
    /// The drop-in is there, as it should be.
    ordered: bool,
}

/// What has to be done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Steps {
    pub(super) drop_in: bool,
    pub(super) enable: bool,
    /// Its application runs, so the guard can stand by at once.
    pub(super) start: bool,
}

impl Application {
    /// As it was typed, with `.service` or without.
    pub(super) fn named(text: &str) -> Result<Self, Failure> {
        let name = text.strip_suffix(".service").unwrap_or(text);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "@._-:\\".contains(c);
        let other = ["socket", "timer", "target", "path", "mount", "slice", "scope"];
        let is_service = !other.iter().any(|kind| text.ends_with(&format!(".{kind}")));
        if is_weirs(name) {
            return Err(Failure::usage(format!("--unit {text:?} is a unit of weir's own"))
                .with_remedy("name the application's: --unit APP.service"));
        }
        if !name.is_empty() && name.chars().all(is_plain) && is_service {
            return Ok(Self { name: name.to_owned() });
        }
        Err(Failure::usage(format!("--unit {text:?} is no service")).with_remedy("name one: --unit APP.service"))
    }

    /// `app.service`.
    pub(super) fn unit(&self) -> String {
        format!("{}.service", self.name)
    }

    /// `weir-guard@app.service`.
    pub(super) fn guard(&self) -> String {
        format!("weir-guard@{}.service", self.name)
    }

    fn drop_in(&self) -> PathBuf {
        // A name within one that systemd takes.
        Path::new(DROP_INS).join(format!("after-{}.conf", self.unit()))
    }

    fn text(&self) -> String {
        format!(
            "# Written by weir init. What starts last stops first: weir leaves before {unit} stops.\n[Unit]\nAfter={unit}\n",
            unit = self.unit()
        )
    }

    /// Asks systemd. Blocks.
    pub(super) fn look(&self) -> Result<Known, Failure> {
        let show = |unit: &str| {
            let mut show = command::clean(Path::new("systemctl"));
            show.args(["show", "--property=LoadState,ActiveState,UnitFileState", "--", unit]);
            command::run(show, PATIENCE, "").map(|ran| ran.stdout)
        };
        let ask = |unit: &str| {
            show(unit).map_err(|error| {
                Failure::new(Exit::Failed, format!("systemd does not say what {unit} is: {error}"))
                    .with_remedy(format!("see 'systemctl status {unit}'"))
            })
        };
        let (unit, guard) = (ask(&self.unit())?, ask(&self.guard())?);
        let ordered = fs::read_to_string(self.drop_in()).is_ok_and(|text| text == self.text());
        Ok(Known::of(&unit, &guard, ordered))
    }

    /// What has to be done, or why that makes no sense.
    pub(super) fn steps(&self, known: Known) -> Result<Steps, Failure> {
        if !known.is_there {
            return Err(Failure::usage(format!("there is no unit {}", self.unit()))
                .with_remedy("'systemctl list-units' lists those that run"));
        }
        // What is not guarded yet may have been mistyped; a check of it would keep this server out.
        if known.failed && !known.guarded {
            let unit = self.unit();
            return Err(Failure::new(Exit::Refused, format!("{unit} has failed, and would keep this server out"))
                .with_remedy(format!(
                    "'systemctl status {unit}' says why; start it, then again, or name another unit"
                )));
        }
        Ok(Steps { drop_in: !known.ordered, enable: !known.guarded, start: known.runs && !known.on_guard })
    }

    /// Does that. Blocks.
    pub(super) fn put_in_place(&self, steps: &Steps) -> Result<(), Failure> {
        if steps.drop_in {
            let path = self.drop_in();
            write(&path, &self.text()).map_err(|error| Failure::of_file("write", &path, &error))?;
            systemctl(&["daemon-reload"])?;
        }
        if steps.enable {
            systemctl(&["enable", "--quiet", &self.guard()])?;
        }
        if steps.start {
            systemctl(&["start", &self.guard()])?;
        }
        Ok(())
    }

    /// `weir-guard@app.service: drains before app.service stops, weir.service stops before it`.
    pub(super) fn words(&self) -> String {
        let unit = self.unit();
        format!("{}: drains this node before {unit} stops; weir.service stops before {unit}", self.guard())
    }

    /// A check of the unit, where what is checked on the port is not of it: its name and its target.
    pub(super) fn check(&self, listening: Option<&str>) -> Option<(String, String)> {
        let unit = self.unit();
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '-' };
        let name: String = self.name.chars().map(plain).collect();
        let name = if name == "site" { "site-unit".to_owned() } else { name };
        (listening != Some(unit.as_str())).then_some((name, unit))
    }
}

/// Whether it is of this package: what guards the agent's own units would drain at each of their restarts.
fn is_weirs(name: &str) -> bool {
    let template = name.split('@').next().unwrap_or_default();
    ["weir", "weir-apply", "weir-apply-recover", "weir-guard"].contains(&template)
}

impl Known {
    /// Of lines `KEY=VALUE` about the unit and about its guard.
    fn of(unit: &str, guard: &str, ordered: bool) -> Self {
        let has = |text: &str, line: &str| text.lines().any(|each| each == line);
        Self {
            is_there: has(unit, "LoadState=loaded"),
            runs: ["active", "reloading", "activating"].iter().any(|state| has(unit, &format!("ActiveState={state}"))),
            failed: has(unit, "ActiveState=failed"),
            guarded: has(guard, "UnitFileState=enabled"),
            on_guard: has(guard, "ActiveState=active"),
            ordered,
        }
    }
}

impl Steps {
    /// Nothing is.
    pub(super) const fn is_empty(&self) -> bool {
        !self.drop_in && !self.enable && !self.start
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(DROP_INS)?;
    fs::write(path, text)
}

fn systemctl(arguments: &[&str]) -> Result<(), Failure> {
    let typed = [&["systemctl"][..], arguments].concat().join(" ");
    let mut systemctl = command::clean(Path::new("systemctl"));
    systemctl.args(arguments);
    let failed = |why: &str| {
        Failure::new(Exit::Failed, format!("{typed} failed: {why}")).with_remedy("see to that, then run it again")
    };
    let ran = command::run(systemctl, START_PATIENCE, "").map_err(|error| failed(&error.to_string()))?;
    if ran.success { Ok(()) } else { Err(failed(ran.stderr.trim().lines().last().unwrap_or("it does not say why"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> Application {
        Application::named("app.service").unwrap()
    }

    #[test]
    fn a_service_is_named_with_its_end_or_without() {
        assert_eq!(Application::named("app").unwrap(), app());
        assert_eq!(Application::named("my-app@1").unwrap().guard(), "weir-guard@my-app@1.service");
        for wrong in ["", ".service", "app.socket", "a b", "../x", "a/b.service", "x;reboot"] {
            let failure = Application::named(wrong).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn weirs_own_units_are_no_application() {
        for own in ["weir", "weir.service", "weir-apply", "weir-apply-recover.service", "weir-guard@nginx.service"] {
            let failure = Application::named(own).unwrap_err();
            let told = format!("--unit {own:?} is a unit of weir's own; name the application's: --unit APP.service");
            assert_eq!((failure.sentence(), failure.exit()), (told, Exit::Usage));
        }
        assert_eq!(Application::named("weir-shop").unwrap().unit(), "weir-shop.service");
    }

    #[test]
    fn only_what_is_missing_is_done() {
        let known = |unit: &str, guard: &str, ordered| app().steps(Known::of(unit, guard, ordered));
        let (up, down) = ("LoadState=loaded\nActiveState=active\n", "LoadState=loaded\nActiveState=inactive\n");
        let failed = "LoadState=loaded\nActiveState=failed\n";
        let told = known(failed, down, false).map_err(|failure| (failure.exit(), failure.sentence()));
        let said = "app.service has failed, and would keep this server out; 'systemctl status app.service' says why; start \
            it, then again, or name another unit";
        assert_eq!(told, Err((Exit::Refused, said.to_owned())));
        assert!(
            known(failed, "ActiveState=inactive\nUnitFileState=enabled\n", true).is_ok(),
            "it was asked for before"
        );
        let all = Steps { drop_in: true, enable: true, start: true };
        assert_eq!(known(up, down, false), Ok(all.clone()));
        assert_eq!(known(down, down, false), Ok(Steps { start: false, ..all }), "it begins with its application");
        let standing = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n";
        assert!(known(up, standing, true).is_ok_and(|steps| steps.is_empty()));
        assert_eq!(
            known("LoadState=not-found\nActiveState=inactive\n", down, false).map_err(|failure| failure.sentence()),
            Err("there is no unit app.service; 'systemctl list-units' lists those that run".into())
        );
    }

    #[test]
    fn the_drop_in_orders_the_agent_behind_the_application() {
        assert!(app().text().ends_with("\n[Unit]\nAfter=app.service\n"));
        assert_eq!(app().drop_in(), Path::new("/etc/systemd/system/weir.service.d/after-app.service.conf"));
    }

    #[test]
    fn the_unit_is_checked_where_the_port_is_not_its_own() {
        let of = |listening| app().check(listening);
        assert_eq!(of(Some("app.service")), None);
        let both = Some(("app".to_owned(), "app.service".to_owned()));
        assert_eq!((of(Some("nginx.service")), of(None)), (both.clone(), both));
        assert_eq!(Application::named("a@1.b").unwrap().check(None).unwrap().0, "a-1-b");
    }
}
