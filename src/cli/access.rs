//! `weir access`: what this process may do with files. `weir doctor` starts it as the unit would start the agent.

use std::path::{Path, PathBuf};

use rustix::fs::Access as Mode;
use rustix::io::Errno;

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use crate::agent::file::is_mount_point;
use crate::status::doctor::{Access as Allowed, Permission};

/// Say what this process may do with files, as a list in JSON.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Access {
    /// Files and directories
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

impl Access {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let all: Vec<Allowed> = self.paths.iter().map(|path| look(path)).collect();
        output.json(&all)?;
        Ok(Exit::Done)
    }
}

/// Asks the kernel, which knows of users, groups, lists and mounts.
pub(super) fn look(path: &Path) -> Allowed {
    let may = |mode| permission(rustix::fs::access(path, mode));
    let on_the_way = path.ancestors().skip(1).filter(|directory| !directory.as_os_str().is_empty());
    let is_closed = |directory: &&Path| rustix::fs::access(*directory, Mode::EXEC_OK) == Err(Errno::ACCESS);
    Allowed {
        read: may(Mode::READ_OK),
        write: may(Mode::WRITE_OK),
        execute: may(Mode::EXEC_OK),
        // The outermost: what lies in it is closed, too.
        closed: on_the_way.filter(is_closed).last().map(|directory| directory.display().to_string()),
        mount: path.is_file() && is_mount_point(path),
    }
}

fn permission(asked: rustix::io::Result<()>) -> Permission {
    match asked {
        Ok(()) => Permission::Granted,
        Err(Errno::ACCESS | Errno::PERM) => Permission::Denied,
        Err(Errno::ROFS) => Permission::ReadOnly,
        Err(Errno::NOENT | Errno::NOTDIR) => Permission::Missing,
        Err(_) => Permission::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_kernel_is_asked_for_each_kind_of_use() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let all = Allowed {
            read: Permission::Granted,
            write: Permission::Granted,
            execute: Permission::Denied,
            closed: None,
            mount: false,
        };
        assert_eq!(look(&file), all);
        assert_eq!(look(dir.path()), Allowed { execute: Permission::Granted, ..all });
        assert_eq!(look(&dir.path().join("none")).read, Permission::Missing);
        assert_eq!(look(&file.join("under")).read, Permission::Missing);
    }
}
