//! What this host's NGINX has that others have not: asked of the program itself, once for each file that it is.

use std::fs;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Options;
use super::program::{Program, State};
use super::targets::page_size;
use crate::command;
use crate::config;
use crate::nginx::{Feature, Host};

/// It reads one small file.
const LIMIT: Duration = Duration::from_secs(10);

/// What programs of this state were found to have.
type Tried = Mutex<Vec<(State, Feature, bool)>>;

/// Of this process. NGINX is exchanged a few times in its life.
static TRIED: Tried = Mutex::new(Vec::new());

/// What the files of these upstreams depend on besides what is in them.
pub(super) fn host(options: &Options) -> Host {
    let asks = options.targets().any(|target| target.block.keeps_nothing());
    Host { page: page_size(), keepalive_off: asks && has(&options.nginx, Feature::KeepaliveOff) }
}

/// Whether the program that is installed has it. Where that cannot be seen it has not: what older versions take, newer ones do.
pub(super) fn has(nginx: &config::Nginx, feature: Feature) -> bool {
    Program::find(&nginx.binary, []).is_ok_and(|program| is_in(&TRIED, &program, feature))
}

fn is_in(tried: &Tried, program: &Program, feature: Feature) -> bool {
    if program.build.number().is_none_or(|number| number < feature.since()) {
        return false;
    }
    let mut tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
    let known = tried.iter().find(|(state, known, _)| *state == program.state && *known == feature);
    if let Some((.., has)) = known {
        return *has;
    }
    // What could not be tried may be next time.
    let Ok(has) = takes(program, feature) else { return false };
    tried.retain(|(state, ..)| *state == program.state);
    tried.push((program.state.clone(), feature, has));
    has
}

/// The test of a configuration with it, which nobody else reads.
fn takes(program: &Program, feature: Feature) -> io::Result<bool> {
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("nginx.conf");
    fs::write(&config, feature.trial(&program.build, directory.path()))?;
    let mut command = command::clean(&program.path);
    command.args(["-q", "-t", "-p"]).arg(directory.path()).arg("-c").arg(&config);
    command::run(command, LIMIT, "").map(|ran| ran.success)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::config::Automatic;

    /// It calls itself that, and takes a configuration that has no such words.
    fn nginx(directory: &Path, version: &str, refuses: &str) -> Program {
        let path = directory.join("nginx");
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = -V ] && {{ echo nginx version: {version} >&2; exit; }}\n\
             echo x >> {}/trials\n! grep -q '{refuses}' \"$6\"\n",
            directory.display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Program::find(&Automatic::Path(path), []).unwrap()
    }

    #[test]
    fn a_feature_is_there_if_the_version_and_a_trial_say_so() {
        for (version, refuses, has, trials) in [
            ("nginx/1.29.7", "nothing", true, 1),
            ("nginx/1.29.7", "keepalive 0", false, 1),
            ("nginx/1.29.6", "nothing", false, 0),
            ("openresty/1.29.7.1", "nothing", false, 0),
        ] {
            let (directory, tried) = (tempfile::tempdir().unwrap(), Tried::default());
            let program = nginx(directory.path(), version, refuses);
            for _ in 0..2 {
                assert_eq!(is_in(&tried, &program, Feature::KeepaliveOff), has, "{version} {refuses}");
            }
            let count = fs::read_to_string(directory.path().join("trials")).unwrap_or_default().lines().count();
            assert_eq!(count, trials, "{version} {refuses}: it is tried once");
        }
    }
}
