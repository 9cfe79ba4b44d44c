use std::os::unix::fs::symlink;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn replaced_file_is_whole_private_and_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyring.json");
    fs::write(directory.path().join(".keyring.json.new"), "litter of a crash").unwrap();
    replace(&path, b"first").unwrap();
    assert_eq!(mode(&path), 0o600);
    let mut file = replace(&path, b"new").unwrap();
    file.write_all(b" and more").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new and more");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn failed_replacement_keeps_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("target");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "x").unwrap();
    assert!(replace(&path, b"new").is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn the_mode_stays_and_a_secret_has_no_readers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    // before, after, after as a secret
    for (before, after, secret) in [(0o600, 0o600, 0o600), (0o640, 0o640, 0o600), (0o400, 0o400, 0o400)] {
        for (write, wanted) in [(replace as fn(&Path, &[u8]) -> io::Result<File>, after), (replace_secret, secret)] {
            drop(fs::remove_file(&path));
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
            write(&path, b"new").unwrap();
            assert_eq!(mode(&path), wanted, "{before:o}");
        }
    }
}

#[test]
fn a_link_stays_and_what_it_names_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("release")).unwrap();
    fs::write(at("release/ring"), "old").unwrap();
    symlink("release/ring", at("near")).unwrap();
    symlink(at("near"), at("far")).unwrap();
    // The way from a link leads on from its own directory.
    symlink("../near", at("release/back")).unwrap();
    for (number, link) in ["near", "far", "release/back"].into_iter().enumerate() {
        let contents = format!("new {number}");
        replace(&at(link), contents.as_bytes()).unwrap();
        assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
        assert_eq!(fs::read_to_string(at("release/ring")).unwrap(), contents, "{link}");
    }
    append(&at("far")).unwrap().write_all(b" and more").unwrap();
    assert_eq!(fs::read_to_string(at("release/ring")).unwrap(), "new 2 and more");
}

#[test]
fn a_dangling_link_gets_its_file_and_a_circle_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    symlink("file", at("link")).unwrap();
    replace(&at("link"), b"new").unwrap();
    assert_eq!(fs::read(at("file")).unwrap(), b"new");
    symlink("nowhere/file", at("lost")).unwrap();
    assert_eq!(replace(&at("lost"), b"new").unwrap_err().kind(), io::ErrorKind::NotFound);
    symlink("b", at("a")).unwrap();
    symlink("a", at("b")).unwrap();
    assert_eq!(replace(&at("a"), b"new").unwrap_err().raw_os_error(), Some(Errno::LOOP.raw_os_error()));
}

#[test]
#[ignore = "needs root"]
fn root_follows_no_link_of_a_user_to_a_file_of_another_and_takes_over_the_owner() {
    const USER: Option<u32> = Some(12_345);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let owner = |name: &str| fs::metadata(at(name)).map(|file| file.uid()).unwrap();
    fs::create_dir(at("home")).unwrap();
    std::os::unix::fs::chown(at("home"), USER, USER).unwrap();
    // A new file is the directory's owner's, its successor, too.
    for contents in ["first", "second"] {
        replace(&at("home/own"), contents.as_bytes()).unwrap();
        assert_eq!(Some(owner("home/own")), USER);
    }
    fs::write(at("roots"), "roots").unwrap();
    for (link, named, may) in [("home/bad", "roots", false), ("home/good", "home/own", true)] {
        symlink(at(named), at(link)).unwrap();
        std::os::unix::fs::lchown(at(link), USER, USER).unwrap();
        assert_eq!(replace(&at(link), b"new").is_ok(), may, "{link}");
    }
    assert_eq!(fs::read(at("roots")).unwrap(), b"roots");
}

#[test]
fn what_is_no_use_is_kept_beside_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), "x").unwrap();
    symlink("file", at("link")).unwrap();
    assert_eq!(put_aside(&at("link")).unwrap(), at("file.unreadable"));
    fs::create_dir(at("directory")).unwrap();
    assert_eq!(put_aside(&at("directory")).unwrap(), at("directory.unreadable"));
    fs::create_dir_all(at("home/ana")).unwrap();
    assert_eq!(put_aside(&at("home")).unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
    assert!(put_aside(&at("none")).is_err());
}

#[test]
fn mount_points_are_read_as_the_kernel_writes_them() {
    let point = |line: &str| mount_point(line.as_bytes()).map(|point| point.display().to_string());
    let line = "36 35 98:0 /a /var/lib/weir/keyring.json rw,noatime shared:1 - ext4 /dev/root rw";
    assert_eq!(point(line).as_deref(), Some("/var/lib/weir/keyring.json"));
    assert_eq!(point(r"36 35 98:0 / /a\040b\134c\01 rw - x y z").as_deref(), Some(r"/a b\c\01"));
    assert_eq!(point("36 35"), None);
    assert!(is_mount_point(Path::new("/proc")) && !is_mount_point(Path::new("/proc/self/mountinfo")));
}

#[test]
fn a_device_is_left_where_it_is() {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    if let Err(error) = mknod(&at("null"), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3)) {
        return eprintln!("SKIPPED: no device can be made here: {error}");
    }
    symlink("null", at("link")).unwrap();
    for path in [at("null"), at("link")] {
        assert_eq!(replace(&path, b"new").unwrap_err().to_string(), "it is a device");
        assert_eq!(put_aside(&path).unwrap_err().to_string(), "it is a device");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}
