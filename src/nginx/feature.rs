//! What newer versions of NGINX have and older ones refuse.
//!
//! A version alone does not tell: forks go by numbers of their own, and distributions take out modules and bring changes back. So a
//! feature counts as there when the version says so *and* NGINX takes a configuration with it.

use std::path::Path;

use super::{Build, Version};

/// What weir's files, or its advice, depend on. `drain` and `resolve` of servers are not among them: weir writes neither (`nginx §3`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Feature {
    /// `keepalive 0;` in an upstream, where connections to its servers are kept unless something is said.
    KeepaliveOff,
    /// `keepalive_min_timeout`, with which a reload cuts off no idle client.
    KeepaliveMinTimeout,
}

impl Feature {
    /// The first version that has it.
    pub fn since(self) -> Version {
        match self {
            Self::KeepaliveOff => Version::new(1, 29, 7),
            Self::KeepaliveMinTimeout => Version::new(1, 27, 4),
        }
    }

    /// A whole configuration with it. Whatever NGINX opens or makes for its test is in `directory`.
    pub fn trial(self, build: &Build, directory: &Path) -> String {
        let within = match self {
            Self::KeepaliveOff => "upstream weir { server 127.0.0.1:1; keepalive 0; }",
            Self::KeepaliveMinTimeout => "keepalive_min_timeout 1s;",
        };
        let root = directory.display();
        let temp: String = build.temp_paths.iter().map(|name| format!("{name}_temp_path {root}/{name};\n")).collect();
        // As its own user NGINX gives these directories to nobody else.
        format!("user root root;\npid {root}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n{temp}{within}\n}}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_has_only_what_this_build_knows() {
        let build = Build::parse("nginx version: nginx/1.30.1\nconfigure arguments: --without-http_uwsgi_module");
        let text = Feature::KeepaliveOff.trial(&build, Path::new("/tmp/x"));
        assert!(text.contains("fastcgi_temp_path /tmp/x/fastcgi;") && text.contains("keepalive 0;"), "{text}");
        assert!(!text.contains("uwsgi"), "{text}");
    }

    #[test]
    fn each_is_there_from_its_version_on() {
        for (feature, last_without, first_with) in
            [(Feature::KeepaliveOff, "1.29.6", "1.29.7"), (Feature::KeepaliveMinTimeout, "1.27.3", "1.27.4")]
        {
            assert!(Version::parse(last_without).unwrap() < feature.since());
            assert_eq!(Version::parse(first_with), Some(feature.since()));
        }
    }
}
