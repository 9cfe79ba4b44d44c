//! `--unit APP.service`, for an agent that stops before the application, and drains before that restarts (`protocols A.6`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::exit::Exit;
use super::super::failure::Failure;
use crate::command;
use crate::config::{Config, Subject};

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
    standing: Standing,
    /// Its guard starts with it.
    guarded: bool,
    /// Its guard stands by.
    on_guard: bool,
    /// The drop-in is there, as it should be.
    ordered: bool,
}

/// Whether a check of it can ever pass.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Standing {
    /// There is no such unit.
    #[default]
    Missing,
    /// systemd cannot read its file.
    Unusable,
    /// An administrator does not want it to run.
    Masked,
    /// It is never active for longer than its work takes.
    Oneshot,
    /// It has failed, and stays so until somebody sees to it.
    Failed,
    /// It can run, and does not.
    Stopped,
    /// It runs, or is to run again in a moment.
    Runs,
}

/// A check of a unit: its name and its target.
pub(super) type UnitCheck = (String, String);

/// An application that was named, and what was found about it.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    pub(super) application: Application,
    pub(super) known: Known,
    /// Those that an earlier run was given.
    pub(super) former: Vec<Former>,
    /// On a server that is configured: its check, unless what listens on the port is of it.
    pub(super) check: Option<UnitCheck>,
}

/// An application that an earlier run was given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Former {
    pub(super) application: Application,
    /// Its guard starts with it, or stands by.
    pub(super) is_guarded: bool,
}

/// What becomes of the drop-in by which the agent stops before an application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    Goes,
    /// As long as a check of it is in a configuration that is not ours to change: by this the next run knows whose that is.
    Stays,
}

/// What a configuration lacks of the checks of units, and has of former ones.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Amendment {
    pub(super) add: Option<UnitCheck>,
    pub(super) remove: Vec<UnitCheck>,
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
            show.args(["show", "--property=LoadState,ActiveState,UnitFileState,Type,RemainAfterExit", "--", unit]);
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

    /// What has to be done.
    pub(super) const fn steps(known: Known) -> Steps {
        let runs = matches!(known.standing, Standing::Runs);
        Steps { drop_in: !known.ordered, enable: !known.guarded, start: runs && !known.on_guard }
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

    /// Takes that back, of an earlier run: the drop-in last, for it says that this is to be done. Blocks.
    pub(super) fn take_back(&self, order: Order) -> Result<(), Failure> {
        systemctl(&["disable", "--quiet", "--now", &self.guard()])?;
        // Nobody would end its drain any more. Where there is no agent, or none that drains for it, there is nothing to end.
        if let Ok(program) = std::env::current_exe() {
            let mut undo = command::clean(&program);
            undo.args(["--quiet", "drain", "--undo", &format!("--if-guard={}", self.unit())]);
            drop(command::run(undo, START_PATIENCE, ""));
        }
        if order == Order::Stays {
            return Ok(());
        }
        let path = self.drop_in();
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::of_file("remove", &path, &error)),
        }
        // Others may have theirs in it.
        drop(fs::remove_dir(DROP_INS));
        systemctl(&["daemon-reload"])
    }

    /// What there is to say where it does not run. Blocks.
    pub(super) fn idle(&self) -> Result<Option<Failure>, Failure> {
        Ok(self.look()?.is_idle().then(|| {
            let unit = self.unit();
            Failure::new(Exit::Incomplete, format!("{unit} does not run, so this server is kept out"))
                .with_remedy(format!("'systemctl start {unit}', then again"))
        }))
    }

    /// Those whose drop-in is as an earlier run wrote it.
    fn ordered(directory: &Path) -> Vec<Self> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut all: Vec<Self> = entries.filter_map(|entry| Self::ordered_by(&entry.path())).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn ordered_by(path: &Path) -> Option<Self> {
        let unit = path.file_name()?.to_str()?.strip_prefix("after-")?.strip_suffix(".conf")?;
        let application = Self::named(unit).ok()?;
        fs::read_to_string(path).is_ok_and(|text| text == application.text()).then_some(application)
    }

    /// `weir-guard@app.service: drains before app.service stops, weir.service stops before it`.
    pub(super) fn words(&self) -> String {
        let unit = self.unit();
        format!("{}: drains this node before {unit} stops; weir.service stops before {unit}", self.guard())
    }

    /// A check of the unit, where what is checked on the port is not of it: its name and its target.
    pub(super) fn check(&self, listening: Option<&str>) -> Option<UnitCheck> {
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
    pub(super) fn of(unit: &str, guard: &str, ordered: bool) -> Self {
        let has = |text: &str, line: &str| text.lines().any(|each| each == line);
        Self {
            standing: Standing::of(unit),
            guarded: has(guard, "UnitFileState=enabled"),
            on_guard: has(guard, "ActiveState=active"),
            ordered,
        }
    }

    const fn is_idle(&self) -> bool {
        !matches!(self.standing, Standing::Runs)
    }
}

impl Former {
    fn look(application: Application) -> Result<Self, Failure> {
        let known = application.look()?;
        Ok(Self { application, is_guarded: known.guarded || known.on_guard })
    }
}

impl Standing {
    fn of(unit: &str) -> Self {
        let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        match (value("LoadState"), value("ActiveState")) {
            (Some("masked"), _) => Self::Masked,
            (Some("loaded"), _) if value("Type") == Some("oneshot") && value("RemainAfterExit") == Some("no") => {
                Self::Oneshot
            }
            (Some("loaded"), Some("active" | "reloading" | "activating")) => Self::Runs,
            (Some("loaded"), Some("failed")) => Self::Failed,
            (Some("loaded"), _) => Self::Stopped,
            (None | Some("not-found"), _) => Self::Missing,
            (Some(_), _) => Self::Unusable,
        }
    }
}

impl Guarded {
    /// `listening` is whose the port of a server is that is configured, `checked` the unit in a configuration that is as an earlier run
    /// wrote it. Blocks.
    pub(super) fn look(
        application: &Application,
        listening: Option<Option<String>>,
        checked: Option<&str>,
    ) -> Result<Self, Failure> {
        let mut former = Application::ordered(Path::new(DROP_INS));
        let checked = checked.and_then(|unit| Application::named(unit).ok());
        former.extend(checked.filter(|checked| !former.contains(checked)));
        former.retain(|former| former != application);
        let former = former.into_iter().map(Former::look).collect::<Result<_, _>>()?;
        let check = listening.and_then(|listening| application.check(listening.as_deref()));
        Ok(Self { application: application.clone(), known: application.look()?, former, check })
    }

    /// Why it is not to be guarded and checked. What is guarded already may stand still for a while.
    pub(super) const fn refusal(&self) -> Option<Standing> {
        match self.known.standing {
            Standing::Runs | Standing::Stopped => None,
            Standing::Failed | Standing::Masked if self.known.guarded => None,
            standing => Some(standing),
        }
    }

    /// It does not run, which its check tells the balancers.
    pub(super) const fn is_idle(&self) -> bool {
        self.known.is_idle()
    }

    /// What a configuration has otherwise than `--unit` would have it.
    pub(super) fn amendment(&self, config: &Config) -> Amendment {
        let checks = config.checks.iter().filter_map(|check| match &check.subject {
            Subject::Systemd(unit) => Some((check.name.clone(), unit.as_str().to_owned())),
            Subject::Service { .. } | Subject::Exec(_) | Subject::Ttl(_) => None,
        });
        let checks: Vec<UnitCheck> = checks.collect();
        let is_there = |wanted: &UnitCheck| checks.iter().any(|(_, unit)| *unit == wanted.1);
        let add = self.check.clone().filter(|check| !is_there(check));
        let is_former = |(_, unit): &UnitCheck| self.former.iter().any(|former| former.application.unit() == *unit);
        Amendment { add, remove: checks.iter().filter(|check| is_former(check)).cloned().collect() }
    }
}

impl Amendment {
    pub(super) fn is_empty(&self) -> bool {
        self.add.is_none() && self.remove.is_empty()
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
        let known = |unit: &str, guard: &str, ordered| Application::steps(Known::of(unit, guard, ordered));
        let (up, down) = ("LoadState=loaded\nActiveState=active\n", "LoadState=loaded\nActiveState=inactive\n");
        let all = Steps { drop_in: true, enable: true, start: true };
        assert_eq!(known(up, down, false), all.clone());
        assert_eq!(known(down, down, false), Steps { start: false, ..all }, "it begins with its application");
        let standing = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n";
        assert!(known(up, standing, true).is_empty());
    }

    #[test]
    fn what_can_never_be_active_is_refused() {
        let enabled = "ActiveState=inactive\nUnitFileState=enabled\n";
        for (unit, standing, refused, refused_again) in [
            ("LoadState=loaded\nActiveState=active\nType=simple\nRemainAfterExit=no\n", Standing::Runs, false, false),
            ("LoadState=loaded\nActiveState=inactive\nType=simple\n", Standing::Stopped, false, false),
            ("LoadState=loaded\nActiveState=deactivating\n", Standing::Stopped, false, false),
            ("LoadState=loaded\nActiveState=failed\nType=notify\n", Standing::Failed, true, false),
            ("LoadState=masked\nActiveState=inactive\n", Standing::Masked, true, false),
            ("LoadState=loaded\nActiveState=failed\nType=oneshot\nRemainAfterExit=no\n", Standing::Oneshot, true, true),
            ("LoadState=loaded\nActiveState=active\nType=oneshot\nRemainAfterExit=yes\n", Standing::Runs, false, false),
            ("LoadState=bad-setting\nActiveState=inactive\n", Standing::Unusable, true, true),
            ("LoadState=not-found\nActiveState=inactive\n", Standing::Missing, true, true),
            ("", Standing::Missing, true, true),
        ] {
            let of = |guard| Guarded {
                application: app(),
                known: Known::of(unit, guard, false),
                former: Vec::new(),
                check: None,
            };
            assert_eq!(of("").refusal(), refused.then_some(standing), "{unit}");
            assert_eq!(of(enabled).refusal(), refused_again.then_some(standing), "it was asked for before: {unit}");
            assert_eq!(of("").is_idle(), standing != Standing::Runs);
        }
    }

    #[test]
    fn only_a_drop_in_of_our_own_names_a_former_application() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let bad = Application::named("bad").unwrap();
        put("after-bad.service.conf", &bad.text());
        put("after-app.service.conf", &app().text());
        put("after-edited.service.conf", "# Written by weir init.\n[Unit]\nAfter=edited.service x.service\n");
        put("override.conf", "[Unit]\nAfter=mine.service\n");
        put("after-other.service.conf", &app().text());
        assert_eq!(Application::ordered(dir.path()), [app(), bad]);
        assert_eq!(Application::ordered(&dir.path().join("none")), []);
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
