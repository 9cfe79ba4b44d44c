//! A site of NGINX's, put in place on an operator's word (`weir init`): not one of the targets, and not touched without one.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::directory::{Directory, Entry};
use super::lock::Lock;
use super::master::{Master, Patience};
use super::namespace::Candidate;
use super::place::Place;
use super::system::{Nginx, Validation};
use super::{Error, Options, disk};

/// What is to be put where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewSite {
    /// In a directory that NGINX reads.
    pub path: PathBuf,
    pub text: String,
    /// What is there and makes way, nothing unless given; if it is another by now, it stays.
    pub replaces: Option<String>,
    /// The link to a site that would answer instead. What it leads to stays.
    pub without: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SitePlaced {
    /// New workers serve it.
    Live,
    /// It passed the test, and NGINX does not run.
    Stored,
}

/// Tests the site where it is to be, puts it there and has NGINX confirm it. On failure everything is as it was.
///
/// The link goes before the site comes, so that also a run that dies between the two leaves a configuration that loads. Blocks for
/// as long as an apply that is under way, and then up to the confirm timeout.
pub fn put_site(options: &Options, site: &NewSite) -> Result<SitePlaced, Error> {
    let _lock = Lock::take(&options.apply.state)?;
    let nginx = Nginx::find(&options.nginx, options.names())?;
    let place = Place::of(&site.path)?;
    let may_go = match (place.entry()?, &site.replaces) {
        (Entry::Missing, None) => true,
        (Entry::File(found), Some(known)) => found.bytes == known.as_bytes(),
        (Entry::Missing | Entry::File(_) | Entry::Odd { .. }, _) => false,
    };
    if !may_go {
        return Err(Error::write(&site.path)(io::ErrorKind::AlreadyExists.into()));
    }
    let master = nginx.master()?;
    let link = site.without.as_deref().map(Link::read).transpose()?;
    place.write_candidate(site.text.as_bytes(), None)?;
    let placed = put(options, &nginx, site, &place, link.as_ref(), master.as_ref());
    // The first error is the one to tell; what is left beside the target, and what it displaced, no include reads.
    let _ = place.clear();
    placed
}

fn put(
    options: &Options,
    nginx: &Nginx<'_>,
    site: &NewSite,
    place: &Place,
    link: Option<&Link>,
    master: Option<&Master>,
) -> Result<SitePlaced, Error> {
    let (dot, path) = (place.dot(), [site.path.as_path()]);
    let created = if site.replaces.is_some() { &[][..] } else { &path };
    let away = link.map(|link| Candidate { target: &link.path, file: None });
    let candidates: Vec<Candidate<'_>> =
        std::iter::once(Candidate { target: &site.path, file: Some(&dot) }).chain(away).collect();
    let tested = match nginx.validate(&options.weir, &candidates, created, &options.ours())? {
        Validation::Passed(patience) => Some(patience),
        Validation::NeedsPlacing(_) => None,
    };
    let done = exchange(site, place, link).and_then(|()| {
        let patience = match tested {
            Some(patience) => patience,
            None => {
                let started = Instant::now();
                nginx.test_with(created, &options.ours())?;
                Patience::after(started.elapsed(), options.nginx.confirm_timeout)
            }
        };
        load(nginx, master, patience, options)
    });
    done.inspect_err(|_| go_back(options, nginx, site, place, link, master))
}

fn exchange(site: &NewSite, place: &Place, link: Option<&Link>) -> Result<(), Error> {
    link.map_or(Ok(()), Link::remove)?;
    if site.replaces.is_some() { place.exchange() } else { place.place_new() }?;
    place.sync()
}

fn load(
    nginx: &Nginx<'_>,
    master: Option<&Master>,
    patience: Patience,
    options: &Options,
) -> Result<SitePlaced, Error> {
    let Some(master) = master else { return Ok(SitePlaced::Stored) };
    match nginx.reload(master, patience, &options.ours()) {
        Ok(()) => Ok(SitePlaced::Live),
        Err(Error::MasterGone) => Ok(SitePlaced::Stored),
        Err(error) => Err(error),
    }
}

fn exchange_back(site: &NewSite, place: &Place) -> Result<(), Error> {
    if let Some(before) = &site.replaces {
        // Where the exchange itself failed, it is there.
        if place.beside()?.is_some_and(|bytes| bytes == before.as_bytes()) {
            place.exchange()?;
        }
    } else if matches!(place.entry()?, Entry::File(found) if found.bytes == site.text.as_bytes()) {
        // What somebody else has put there meanwhile stays.
        place.take_away()?;
        place.clear()?;
    }
    Ok(())
}

/// As far as it goes: the failure before this is the one to tell.
fn go_back(
    options: &Options,
    nginx: &Nginx<'_>,
    site: &NewSite,
    place: &Place,
    link: Option<&Link>,
    master: Option<&Master>,
) {
    let back = || {
        exchange_back(site, place)?;
        link.map_or(Ok(()), Link::restore)?;
        place.sync()?;
        // One that has loaded the site, though it was not seen to, serves what is there.
        let patience = Patience::after(Duration::ZERO, options.nginx.confirm_timeout);
        master.map_or(Ok(()), |master| nginx.reload(master, patience, &options.ours()))
    };
    let _ = back();
}

/// A symbolic link and where it leads.
#[derive(Debug)]
struct Link {
    path: PathBuf,
    to: PathBuf,
}

impl Link {
    fn read(path: &Path) -> Result<Self, Error> {
        let to = fs::read_link(path).map_err(Error::read(path))?;
        Ok(Self { path: path.to_owned(), to })
    }

    fn opened(&self) -> Result<(Directory, &OsStr), Error> {
        Directory::of(&self.path)
    }

    fn remove(&self) -> Result<(), Error> {
        let (directory, name) = self.opened()?;
        directory.remove(name)?;
        directory.sync()
    }

    fn restore(&self) -> Result<(), Error> {
        match std::os::unix::fs::symlink(&self.to, &self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::write(&self.path)(error)),
            Ok(()) | Err(_) => disk::sync_parent(&self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_takes_the_place_of_another_and_gives_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weir-site.conf");
        let read = || fs::read_to_string(&path).ok();
        let (old, new) = (Some("old".to_owned()), Some("new".to_owned()));
        for before in [None, old.clone()] {
            if let Some(text) = &before {
                fs::write(&path, text).unwrap();
            }
            let site = NewSite { path: path.clone(), text: "new".to_owned(), replaces: before.clone(), without: None };
            let place = Place::of(&path).unwrap();
            place.write_candidate(site.text.as_bytes(), None).unwrap();
            exchange_back(&site, &place).unwrap();
            assert_eq!(read(), before, "nothing was exchanged");
            exchange(&site, &place, None).unwrap();
            assert_eq!(read(), new);
            exchange_back(&site, &place).unwrap();
            assert_eq!(read(), before);
        }
        let site = NewSite { path: path.clone(), text: "new".to_owned(), replaces: None, without: None };
        let place = Place::of(&path).unwrap();
        place.write_candidate(site.text.as_bytes(), None).unwrap();
        assert!(exchange(&site, &place, None).is_err(), "somebody else has the name");
        exchange_back(&site, &place).unwrap();
        assert_eq!(read(), old, "and keeps it");
    }
}
