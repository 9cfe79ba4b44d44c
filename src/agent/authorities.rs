//! The files of certificates that checks and probes are to trust, looked at before anybody needs them (`ux §1.2`, `tls_ca`).
//!
//! An agent starts all the same: what such a check finds then is that it cannot ask.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::request;
use crate::config::{Config, ConfigErrors, Loaded, Service, Subject, Tls};
use crate::error::Trouble;
use crate::health::answer::Unusable;

/// The key by which a file is named.
const KEY: &str = "tls_ca";

/// A file of authorities that a configuration names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Authority {
    /// `check.site`, `upstream.web.probe`.
    pub(crate) table: String,
    pub(crate) path: PathBuf,
}

impl Authority {
    /// `check.site.tls_ca`.
    pub(crate) fn key(&self) -> String {
        format!("{}.{KEY}", self.table)
    }

    /// What is wrong with the file, if anything. Blocks.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let why = request::unusable(&self.path)?;
        let what = format!("{} = \"{}\" {why}", self.key(), self.path.display());
        Some(Trouble::new(what, way_out(&self.path, why)))
    }
}

fn way_out(path: &Path, why: Unusable) -> String {
    match why {
        Unusable::Unread(Errno::EACCES) => format!("let the user weir read it: 'chmod 644 {}'", path.display()),
        Unusable::Unread(Errno::ENOENT | Errno::ENOTDIR) => {
            "put the authority's certificate there, or correct the path".to_owned()
        }
        Unusable::Unread(_) | Unusable::NoFile => "name a file of certificates in PEM".to_owned(),
        Unusable::Empty | Unusable::Slow => {
            "it has to be in PEM, from a line -----BEGIN CERTIFICATE----- on".to_owned()
        }
    }
}

/// All that `config` names.
pub(crate) fn named(config: &Config) -> Vec<Authority> {
    let of = |service: &Service, table: String| match service {
        Service::Http(http) => match &http.tls {
            Tls::Authority(path) => Some(Authority { table, path: path.clone() }),
            Tls::System | Tls::Unverified => None,
        },
        Service::Tcp(_) => None,
    };
    let checks = config.checks.iter().filter_map(|check| match &check.subject {
        Subject::Service { service, .. } => of(service, format!("check.{}", check.name)),
        Subject::Exec(_) | Subject::Ttl(_) | Subject::Systemd(_) => None,
    });
    let probes = config.upstreams.iter().filter_map(|upstream| {
        let probe = upstream.probe.as_ref()?;
        of(&probe.service, format!("upstream.{}.probe", upstream.options.name))
    });
    checks.chain(probes).collect()
}

/// The configuration, if every file that it names holds certificates. Blocks.
pub(crate) fn examined(loaded: Loaded) -> Result<Loaded, ConfigErrors> {
    let trouble = |authority: Authority| Some((authority.table.clone(), KEY, authority.trouble()?));
    let mistakes = named(&loaded.config).into_iter().filter_map(trouble).collect();
    loaded.without_mistakes(mistakes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, Sources, load};

    fn loaded(text: &str) -> Loaded {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), format!("[encryption]\nseal = \"off\"\n{text}")).unwrap();
        load(&Sources {
            paths: vec![Source::File(file.path().to_owned())],
            host_name: "lb1".into(),
            ..Sources::default()
        })
        .unwrap()
    }

    #[test]
    fn every_file_that_holds_no_certificate_is_named_with_key_value_and_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(at("text"), "no certificate\n").unwrap();
        std::fs::copy(request::tests::Authority::new().path(), at("good")).unwrap();
        let text = format!(
            "[check.site]\nhttp = \"https://127.0.0.1/\"\ntls_ca = \"{}\"\n[check.well]\nhttp = \"https://127.0.0.1/\"\ntls_ca \
             = \"{}\"\n[upstream.web]\nselect = {{ role = \"web\" }}\nprobe = {{ https = \"/\", tls_ca = \"{}\" }}\n",
            at("missing"),
            at("good"),
            at("text")
        );
        let errors = examined(loaded(&text)).unwrap_err();
        let told: Vec<String> = errors.mistakes().iter().map(|mistake| mistake.trouble.to_string()).collect();
        assert_eq!(
            told,
            [
                format!(
                    "check.site.tls_ca = \"{}\" cannot be read: no such file or directory; put the authority's certificate \
                     there, or correct the path",
                    at("missing")
                ),
                format!(
                    "upstream.web.probe.tls_ca = \"{}\" holds no certificate; it has to be in PEM, from a line -----BEGIN \
                     CERTIFICATE----- on",
                    at("text")
                ),
            ]
        );
        assert!(errors.mistakes().iter().all(|mistake| mistake.at.to_string().contains(".toml:")), "{errors}");
        let well = text.replace("missing", "good").replace("/text", "/good");
        assert!(examined(loaded(&well)).is_ok());
    }
}
