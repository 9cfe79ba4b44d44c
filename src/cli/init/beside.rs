//! What the files beside the configuration say of this server's addresses: that counts, whatever is written into it.

use std::path::{Path, PathBuf};

use crate::config::{self, Advertise, BindAddress, BindHost, Config, Origin};

/// `gossip.bind` and `gossip.advertise`, where such a file has them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Beside {
    pub(super) bind: Option<BindAddress>,
    pub(super) advertise: Option<Advertise>,
}

impl Beside {
    /// Of these files, as they were read into `config`.
    pub(super) fn of(config: &Config, drop_ins: &[PathBuf]) -> Self {
        let says = |name: &str| {
            let setting =
                config.settings().iter().find(|setting| (&*setting.table, &*setting.name) == ("gossip", name));
            let Some(Origin::File { path, .. }) = setting.map(|setting| &setting.origin) else { return false };
            drop_ins.iter().any(|drop_in| drop_in == Path::new(&**path))
        };
        Self {
            bind: says("bind").then(|| config.gossip.bind.clone()),
            advertise: says("advertise").then_some(config.gossip.advertise),
        }
    }

    /// Whether they leave open by which address others reach this server.
    pub(super) fn is_open(&self) -> bool {
        let is_any = |bind: &BindAddress| matches!(bind.host, BindHost::Address(ip) if ip.is_unspecified());
        self.advertise.is_none() && self.bind.as_ref().is_none_or(is_any)
    }
}

/// `[::]:7946`.
pub(super) fn both_families() -> BindAddress {
    BindAddress { host: BindHost::Address(std::net::Ipv6Addr::UNSPECIFIED.into()), port: config::GOSSIP_PORT }
}

#[cfg(test)]
mod tests {
    use super::super::facts::coming;
    use super::super::tests::wanted;
    use super::*;

    #[test]
    fn what_a_file_beside_it_says_of_addresses_is_known() {
        let dir = tempfile::tempdir().expect("a directory");
        let drop_in = dir.path().join("a.toml");
        let look = |arguments: &str, text: &str| {
            std::fs::write(&drop_in, text).expect("it is ours");
            let drop_ins = std::slice::from_ref(&drop_in);
            let beside = Beside::of(&coming(&wanted(arguments), drop_ins), drop_ins);
            (beside.bind.as_ref().map(ToString::to_string).unwrap_or_default(), beside.advertise, beside.is_open())
        };
        let said = |ip: &str| Some(Advertise::Address(ip.parse().expect("an address"), None));
        for (arguments, text, bind, advertise, is_open) in [
            ("lb", "log.level = \"debug\"", "", None, true),
            ("lb", "gossip.bind = \"[::]:7946\"", "[::]:7946", None, true),
            ("lb", "gossip.bind = \"0.0.0.0:8000\"", "0.0.0.0:8000", None, true),
            ("lb", "gossip.bind = \"eth1\"", "eth1:7946", None, false),
            ("lb", "gossip.bind = \"[fd00::5]:7946\"", "[fd00::5]:7946", None, false),
            ("lb", "gossip.advertise = \"fd00::5\"", "", said("fd00::5"), false),
            ("lb", "gossip.advertise = \"auto\"", "", Some(Advertise::Auto), false),
            ("lb", "upstream.web.slow_start = \"5s\"\ngossip.bind = \"eth1\"", "eth1:7946", None, false),
            ("web", "check.site.interval = \"1s\"\ngossip.bind = \"eth1\"", "eth1:7946", None, false),
            ("web", "gossip.bind = 1", "", None, true),
        ] {
            assert_eq!(look(arguments, text), (bind.to_owned(), advertise, is_open), "{text}");
        }
        assert_eq!(Beside::of(&coming(&wanted("lb"), &[]), &[]), Beside::default());
    }
}
