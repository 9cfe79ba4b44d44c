//! What a master process was started with, by the title that NGINX gives it.

use std::path::{Path, PathBuf};

/// The arguments of a master that say which configuration it reads. A path with blanks in it is not recognised.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MasterTitle {
    config: Option<PathBuf>,
    prefix: Option<PathBuf>,
}

impl MasterTitle {
    /// Reads `nginx: master process /usr/sbin/nginx -c FILE -g daemon off;`; `None` of another process.
    pub fn parse(title: &str) -> Option<Self> {
        let words: Vec<&str> = title.strip_prefix("nginx: master process")?.split_whitespace().collect();
        let argument = |flag: &str| {
            let at = words.iter().position(|word| word.starts_with(flag))?;
            let attached = words[at].strip_prefix(flag).filter(|rest| !rest.is_empty());
            attached.or_else(|| words.get(at + 1).copied()).map(PathBuf::from)
        };
        Some(Self { config: argument("-c"), prefix: argument("-p") })
    }

    /// Its configuration file, where a build has its own at `default` and relative paths start at `prefix`.
    pub fn config(&self, default: &Path, prefix: &Path) -> PathBuf {
        let prefix = self.prefix.as_deref().unwrap_or(prefix);
        prefix.join(self.config.as_deref().unwrap_or(default))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_the_one_that_was_named_or_the_builds() {
        let (default, prefix) = (Path::new("/etc/nginx/nginx.conf"), Path::new("/usr/share/nginx"));
        let config = |title: &str| Some(MasterTitle::parse(title)?.config(default, prefix));
        for (title, path) in [
            ("nginx: master process /usr/sbin/nginx -g daemon on; master_process on;", Some("/etc/nginx/nginx.conf")),
            ("nginx: master process", Some("/etc/nginx/nginx.conf")),
            ("nginx: master process nginx-debug -c /srv/n.conf -g pid /run/x;", Some("/srv/n.conf")),
            ("nginx: master process nginx -c/srv/n.conf", Some("/srv/n.conf")),
            ("nginx: master process nginx -c n.conf", Some("/usr/share/nginx/n.conf")),
            ("nginx: master process nginx -p /srv/ -c conf/n.conf", Some("/srv/conf/n.conf")),
            ("nginx: master process nginx -c", Some("/etc/nginx/nginx.conf")),
            ("nginx: worker process", None),
            ("/usr/sbin/nginx -c /srv/n.conf", None),
        ] {
            assert_eq!(config(title).as_deref(), path.map(Path::new), "{title}");
        }
    }
}
