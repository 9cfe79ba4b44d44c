//! Which configuration the privileged side works with (`protocols C.1`).
//!
//! It trusts no path, template or limit that the asking side could have chosen, so it reads the files itself, by a path that its
//! unit fixes. The asking side names the hash of what it runs with. If the files have it, they count; else the copy of what was
//! applied last, if that has it: an edit that is not reloaded yet, even a broken one, stops nothing. Nor does one that was reloaded
//! and waits for a restart of the agent: the files count, but for the keys that need one, which are the copy's.

use std::fs;
use std::path::{Path, PathBuf};

use tracing::{error, info, warn};

use super::directory::MAX_FILE;
use super::disk;
use super::trust::foreign_writer;
use super::{Apply, Error, Kept, Options, Refusal, RunBy, Settled};
use crate::config::{self, Config, ConfigHash, Loaded, Mistake, Source, Sources};

/// Where the privileged side reads.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file; its drop-ins are beside it, `NAME.d/*.toml`.
    path: PathBuf,
    /// The copy of what was applied last. Only root reaches it.
    copy: PathBuf,
}

/// A configuration that may be used, and whether it is worth a copy.
#[derive(Clone, Debug)]
pub struct Found {
    /// What an apply needs of it.
    pub options: Options,
    /// To be kept once it was applied; `None` if this is the copy.
    fresh: Option<String>,
}

impl Configuration {
    /// The files at `path`, and the copy in the state directory.
    pub fn new(path: PathBuf, state: &Path) -> Self {
        Self { path, copy: state.join("config.toml") }
    }

    /// The one that has the asking side's hash.
    pub fn find(&self, asked: ConfigHash) -> Result<Found, Refusal> {
        self.refuse_writable()?;
        let is_asked = |config: &Config| config.hash() == asked;
        let changed = || Refusal::ConfigurationChanged { path: self.path.clone() };
        match (load(&self.path), self.copied()) {
            (Ok(Loaded { config, .. }), _) if is_asked(&config) => Ok(Found::fresh(&config)),
            (_, Some(copy)) if is_asked(&copy) => Ok(Found::copy(&copy)),
            (Ok(Loaded { config, .. }), Some(copy)) => {
                Some(config.since(&copy)).filter(is_asked).map(|since| Found::fresh(&since)).ok_or_else(changed)
            }
            (Err(what), None) => Err(Refusal::ConfigurationBroken { what }),
            (Ok(_), None) | (Err(_), Some(_)) => Err(changed()),
        }
    }

    /// Ends what a run that was cut short has left, as far as files go: at boot, before anybody reads them. Whether that worked, or
    /// there was nothing to end.
    pub fn recover_files(&self) -> Result<bool, Refusal> {
        match Apply::new(self.last()?).recover_files() {
            Ok(None) => Ok(true),
            Ok(Some(Settled { generation, foreign })) => {
                for Kept { file, copy, line, first: _ } in foreign {
                    let (file, copy) = (file.display(), copy.display());
                    warn!(%file, line, %copy, "file of somebody else found, a copy is kept");
                }
                info!(%generation, "recovered");
                Ok(true)
            }
            Err(error) => {
                error!(error = %error.told(RunBy::Helper), "not recovered");
                Ok(false)
            }
        }
    }

    /// What was applied last, since what is to be ended was made with it.
    fn last(&self) -> Result<Options, Refusal> {
        if let Some(copy) = self.copied() {
            return Ok((&copy).into());
        }
        self.refuse_writable()?;
        let loaded = load(&self.path).map_err(|what| Refusal::ConfigurationBroken { what })?;
        Ok((&loaded.config).into())
    }

    /// Keeps what was applied.
    pub fn keep(&self, found: &Found) -> Result<(), Error> {
        let Some(text) = &found.fresh else { return Ok(()) };
        let same = disk::read_if_there(&self.copy, MAX_FILE)?.is_some_and(|bytes| bytes == text.as_bytes());
        if same { Ok(()) } else { disk::replace(&self.copy, text.as_bytes()) }
    }

    fn copied(&self) -> Option<Config> {
        // One that is damaged, or of an older weir, is as good as none: the files count.
        foreign_writer(&self.copy).ok().filter(Option::is_none)?;
        load(&self.copy).ok().map(|loaded| loaded.config)
    }

    /// Whoever can write one of these decides what root does.
    fn refuse_writable(&self) -> Result<(), Refusal> {
        let drop_ins = self.path.with_extension("d");
        let in_them = fs::read_dir(&drop_ins).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in [&self.path, &drop_ins].into_iter().cloned().chain(in_them) {
            // What is not to be read is told when it is read.
            if let Ok(Some((path, by))) = foreign_writer(&path) {
                return Err(Refusal::ConfigurationWritable { path, by });
            }
        }
        Ok(())
    }
}

impl Found {
    fn fresh(config: &Config) -> Self {
        Self { options: config.into(), fresh: Some(config::show::of_apply(config)) }
    }

    fn copy(config: &Config) -> Self {
        Self { options: config.into(), fresh: None }
    }
}

/// Without environment and flags. What was wrong is the first mistake.
fn load(path: &Path) -> Result<Loaded, String> {
    let host_name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    let sources = Sources {
        paths: vec![Source::File(path.to_owned())],
        host_name: host_name.unwrap_or_default(),
        ..Sources::default()
    };
    config::load(&sources)
        .map_err(|errors| errors.mistakes().first().map(Mistake::to_string).unwrap_or_else(|| errors.summary()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    const WEB: &str = "[upstream.web]\nselect = { role = \"web\" }\n";

    struct Host {
        dir: tempfile::TempDir,
        configuration: Configuration,
    }

    impl Host {
        fn new(text: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("weir.toml");
            fs::write(&path, text).unwrap();
            fs::create_dir(dir.path().join("weir.d")).unwrap();
            fs::create_dir(dir.path().join("state")).unwrap();
            let host = Self { configuration: Configuration::new(path, &dir.path().join("state")), dir };
            for name in ["", "weir.d", "state"] {
                host.mode(name, 0o755);
            }
            host.mode("weir.toml", 0o644);
            host
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.dir.path().join(name), text).unwrap();
        }

        fn mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn hash(&self) -> ConfigHash {
            load(&self.configuration.path).unwrap().config.hash()
        }
    }

    #[test]
    fn an_edit_that_is_not_reloaded_stops_nothing() {
        let host = Host::new(WEB);
        let running = host.hash();
        let found = host.configuration.find(running).unwrap();
        host.configuration.keep(&found).unwrap();
        for edit in [
            "[upstream.web]\nselect = { role = \"wbe\" }\n",
            "[upstream.web\n",
            "[gossip]\nbind = \"nowhere at all\"\n",
        ] {
            host.write("weir.toml", edit);
            let found = host.configuration.find(running).unwrap();
            assert_eq!(found.options.upstreams.len(), 1, "{edit}");
            assert!(found.fresh.is_none(), "{edit}");
        }
        fs::remove_file(host.dir.path().join("weir.toml")).unwrap();
        assert!(host.configuration.find(running).is_ok(), "nor does a file that is gone");
        assert_eq!(host.configuration.last().unwrap().upstreams.len(), 1);
    }

    #[test]
    fn what_the_asking_side_does_not_run_with_is_not_used() {
        let host = Host::new(WEB);
        let running = host.hash();
        host.write("weir.d/more.toml", "[nginx]\nconfirm_timeout = \"7s\"\n");
        let refused = host.configuration.find(running).unwrap_err();
        assert!(refused.remedy().unwrap().starts_with("'weir reload'"));
        assert!(matches!(refused, Refusal::ConfigurationChanged { .. }));
        let reloaded = host.hash();
        let found = host.configuration.find(reloaded).unwrap();
        host.configuration.keep(&found).unwrap();
        assert!(matches!(host.configuration.find(running), Err(Refusal::ConfigurationChanged { .. })));
        host.write("weir.toml", "[upstream.web\n");
        assert!(host.configuration.find(reloaded).is_ok());
        assert!(matches!(host.configuration.find(running), Err(Refusal::ConfigurationChanged { .. })));
    }

    #[test]
    fn what_waits_for_a_restart_of_the_asking_side_stops_nothing_that_it_has_reloaded() {
        let host = Host::new(WEB);
        let started = load(&host.configuration.path).unwrap().config;
        let find = |asked| host.configuration.find(asked);
        host.configuration.keep(&find(started.hash()).unwrap()).unwrap();
        // What is edited and reloaded, and which NGINX counts then.
        for (edit, confirm_s) in [
            ("[nginx]\nbinary = \"/opt/nginx\"\n", 5),
            ("[nginx]\nbinary = \"/opt/nginx\"\nconfirm_timeout = \"7s\"\n[apply]\nstate = \"/srv/weir\"\n", 7),
            ("[apply]\nmode = \"direct\"\nsocket = \"/run/other.sock\"\n[nginx]\nconfirm_timeout = \"8s\"\n", 8),
        ] {
            host.write("weir.toml", &format!("{WEB}{edit}"));
            let edited = load(&host.configuration.path).unwrap().config;
            let running = edited.clone().since(&started);
            let found = find(running.hash()).unwrap();
            assert_eq!(found.options.nginx.confirm_timeout.as_secs(), confirm_s, "{edit}");
            assert_eq!(found.options.nginx.binary, started.nginx.binary, "{edit}");
            assert_eq!(found.options.apply.state, started.apply.state, "{edit}");
            host.configuration.keep(&found).unwrap();
            // After the restart the files count.
            assert_eq!(find(edited.hash()).unwrap().options.nginx.binary, edited.nginx.binary, "{edit}");
        }
    }

    #[test]
    fn the_first_mistake_is_told_where_nothing_was_applied_before() {
        let host = Host::new(WEB);
        let running = host.hash();
        host.write("weir.toml", &format!("{WEB}selcet = 1\n"));
        let refused = host.configuration.find(running).unwrap_err().to_string();
        assert!(refused.contains("weir.toml:3:1: unknown key 'upstream.web.selcet'"), "{refused}");
        assert!(refused.ends_with("'weir config check' lists every mistake"), "{refused}");
    }

    #[test]
    fn what_is_not_the_appliers_may_differ() {
        let host = Host::new(WEB);
        let running = host.hash();
        host.write("weir.toml", &format!("{WEB}[log]\nlevel = \"debug\"\n[node]\nname = \"lb9\"\n"));
        assert!(host.configuration.find(running).unwrap().fresh.is_some());
        // The same values in other files and in another order.
        host.write("weir.toml", "");
        host.write("weir.d/web.toml", WEB);
        assert!(host.configuration.find(running).unwrap().fresh.is_some());
    }

    #[test]
    fn whoever_could_write_it_is_named() {
        let host = Host::new(WEB);
        let running = host.hash();
        host.write("weir.d/more.toml", "");
        for (name, mode, words) in [
            ("weir.toml", 0o646, "weir.toml is writable by anyone; apply trusts only root: 'chown root:weir "),
            ("weir.toml", 0o664, "weir.toml is writable by group "),
            ("weir.d/more.toml", 0o666, "more.toml is writable by anyone; "),
            ("weir.d", 0o777, "weir.d is writable by anyone; "),
            ("", 0o775, " is writable by group "),
        ] {
            let path = host.dir.path().join(name);
            let before = fs::metadata(&path).unwrap().mode() & 0o7777;
            if rustix::process::geteuid().is_root() {
                std::os::unix::fs::chown(&path, None, Some(65534)).unwrap();
            }
            host.mode(name, mode);
            let refused = host.configuration.find(running).unwrap_err().to_string();
            assert!(refused.contains(words), "{name} {mode:o}: {refused}");
            assert!(refused.contains(if name.ends_with("toml") { "'chmod 640 " } else { "'chmod g" }), "{refused}");
            host.mode(name, before);
            assert!(host.configuration.find(running).is_ok(), "{name}");
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&host.configuration.path, Some(65534), None).unwrap();
            let refused = host.configuration.find(running).unwrap_err().to_string();
            assert!(refused.contains("weir.toml is writable by user nobody; apply trusts only root: "), "{refused}");
        }
    }
}
