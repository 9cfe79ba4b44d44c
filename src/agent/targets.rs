//! From the configuration to what `apply` needs to know.

use std::path::PathBuf;

use crate::apply;
use crate::config::{Automatic, Config, ForeignEdit, Reload, Upstream};

/// What `apply` is built from.
pub fn apply_options(config: &Config) -> apply::Options {
    let nginx = &config.nginx;
    let path = |automatic: &Automatic| match automatic {
        Automatic::Auto => None,
        Automatic::Path(path) => Some(path.clone()),
    };
    apply::Options {
        targets: config.upstreams.iter().filter_map(target).collect(),
        nginx: apply::NginxOptions {
            binary: path(&nginx.binary).unwrap_or_else(|| PathBuf::from("nginx")),
            config: nginx.config.clone(),
            unit: Some(nginx.unit.clone()).filter(|unit| !unit.is_empty()),
            pid_file: path(&nginx.pid_file),
            reload: match &nginx.reload {
                Reload::Signal => apply::Reload::Signal,
                Reload::Argv(argv) => apply::Reload::Command(argv.clone()),
            },
            confirm_timeout: nginx.confirm_timeout,
        },
        state: config.apply.state.clone(),
        foreign_edit: match config.apply.foreign_edit {
            ForeignEdit::Restore => apply::ForeignEdit::Restore,
            ForeignEdit::Hold => apply::ForeignEdit::Hold,
        },
    }
}

/// `None` for an upstream without a file.
fn target(upstream: &Upstream) -> Option<apply::Target> {
    let (file, options) = (upstream.file.as_ref()?, &upstream.options);
    let ports = (options.port.min, options.port.max);
    Some(apply::Target { block: file.block.clone(), output: file.output.clone(), allow: options.allow.clone(), ports })
}
