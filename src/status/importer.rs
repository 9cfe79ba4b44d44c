//! Two hosts seal with keys that the other lacks: which of them has to import the other's key, and in which words
//! (`ux §4` rows 3 and 4). A key that is imported on the wrong side splits the cluster, or lets back in who was shut out.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use super::Trouble;

/// What a node knows of a host whose key it lacks, or that lacks its own. Members are counted without that host.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    /// It is or was a member: the table holds it, or the snapshot of an earlier run.
    pub member: bool,
    /// We called it, at an address that somebody named, or all whom we call are in vain.
    pub called: bool,
    /// Its key was in our ring and was removed.
    pub removed: bool,
    /// It was not found since our start, so that others may have gone with it.
    pub unfound: bool,
    /// Another member seals with the same key. Who was away hears of the others one by one.
    pub shared: bool,
    /// Of those with us, the ones that are only believed to be: they have not pinged us since this host was heard.
    pub unheard: usize,
    /// Members that hear us, ourselves included, or that were there when the key was removed.
    pub with_us: usize,
    /// Members that do not: failed ones, those not found since our start, and this host if it is one.
    pub without_us: usize,
}

/// A member, as far as it counts here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Voter {
    pub addr: SocketAddr,
    pub presence: Presence,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presence {
    /// It is this node.
    Own,
    Present,
    Failed,
    /// Known from an earlier run or by `gossip.join`, and not found since our start.
    Unfound,
    Left,
}

/// Who has to import the other's key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Importer {
    We,
    /// It is or was a member, and most others hear us.
    They,
    /// It never was a member: ours must not be changed for it.
    Newcomer,
    /// It is or was a member, and those who would have the last word are yet to be heard.
    Undecided,
}

impl Standing {
    /// Of the host that `is_it` says; whether we `called` it, and with how many members its key was removed, if it was. Others
    /// that are `alike` seal as it does.
    pub fn of(
        members: impl IntoIterator<Item = Voter>,
        is_it: impl Fn(SocketAddr) -> bool,
        called: bool,
        removed: Option<usize>,
        alike: &[IpAddr],
    ) -> Self {
        let mut standing = Self { called, removed: removed.is_some(), ..Self::default() };
        for Voter { addr, presence } in members {
            let other = presence != Presence::Own;
            let it = other && is_it(addr);
            standing.member |= it;
            standing.unfound |= it && presence == Presence::Unfound;
            standing.shared |= other && !it && alike.contains(&addr.ip());
            match presence {
                Presence::Left => {}
                Presence::Own | Presence::Present if !it => standing.with_us += 1,
                Presence::Own | Presence::Present | Presence::Failed | Presence::Unfound => standing.without_us += 1,
            }
        }
        // Who took part in the removal holds the key of after it, wherever it is now.
        standing.with_us = standing.with_us.max(removed.unwrap_or_default());
        standing
    }

    pub fn importer(self) -> Importer {
        let Self { member, called, removed, unfound, shared, unheard, with_us, without_us } = self;
        let alone = with_us <= 1;
        if !member && called && alone {
            // Whoever is alone and calls wants to be let in.
            Importer::We
        } else if !member && !removed {
            Importer::Newcomer
        } else if member && shared && !removed {
            // It is nobody's own.
            Importer::We
        } else if member && !removed && with_us > without_us && (unfound || with_us <= without_us + unheard) {
            Importer::Undecided
        } else if !member || with_us > without_us || removed && !alone {
            Importer::They
        } else if with_us < without_us {
            Importer::We
        } else if removed {
            // One against one: it missed what was done here,
            Importer::They
        } else {
            // or we missed what was done there.
            Importer::We
        }
    }
}

impl Importer {
    /// Of `who`, that it seals with `key`, if its envelope tells that, which `ring` lacks.
    pub fn lacked_key(self, who: &str, key: Option<&dyn Display>, ring: &[impl Display]) -> Trouble {
        let ring = list(ring);
        let seals = match key {
            Some(key) => format!("seals with key {key}, this keyring has only {ring}"),
            None => format!("seals with a key that this keyring lacks (it has {ring})"),
        };
        let nobodys =
            key.map_or_else(|| "a key that nobody else has".to_owned(), |key| format!("{key}, which nobody else has"));
        let what = match self {
            Self::We | Self::Undecided => format!("{who} {seals}"),
            Self::They => format!("{who} was shut out: it seals with {nobodys}"),
            Self::Newcomer => format!("{who} is no member and {seals}"),
        };
        Trouble::new(what, self.way_out(key.is_some()))
    }

    /// Who does not tell its key may be Serf.
    const fn way_out(self, is_ours: bool) -> &'static str {
        match (self, is_ours) {
            (Self::We, true) => "'weir keys export' there, 'weir keys import' here",
            (Self::We, false) => "'weir keys export' (serf keys -list) there, 'weir keys import' here",
            (Self::They, true) => "'weir keys export' here, 'weir keys import' there",
            (Self::They, false) => "'weir keys export' here, 'weir keys import' (serf: -keyring-file) there",
            (Self::Undecided, _) => {
                "see with 'weir keys list' on other members which of the two most have, then 'weir keys import' it where it is \
                 lacking"
            }
            (Self::Newcomer, true) => "if it is to be one: 'weir keys export' here, 'weir keys import' there",
            (Self::Newcomer, false) => {
                "if it is to be one: 'weir keys export' here, 'weir keys import' (serf: -keyring-file) there"
            }
        }
    }

    /// For a host that hung up, most likely for want of our key.
    pub const fn after_hanging_up(self) -> &'static str {
        match self {
            Self::We => "compare 'weir keys list' (serf keys -list) there, then 'weir keys import' here",
            Self::Undecided => {
                "compare 'weir keys list' (serf keys -list) there and on other members, then 'weir keys import' where the key of \
                 most is lacking"
            }
            Self::They | Self::Newcomer => {
                "compare 'weir keys list' (serf keys -list) there; 'weir keys export' here shows the key that it lacks"
            }
        }
    }

    /// For a host that lacks our primary key, and whose own, `theirs`, we hold.
    pub fn for_our_key(self, theirs: &dyn Display) -> String {
        match self {
            Self::We => format!("'weir keys use {theirs}' here"),
            Self::They | Self::Newcomer => "'weir keys export' here, 'weir keys import' there".to_owned(),
            Self::Undecided => self.way_out(true).to_owned(),
        }
    }
}

fn list(ring: &[impl Display]) -> String {
    let ids: Vec<String> = ring.iter().map(ToString::to_string).collect();
    if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::Importer::{Newcomer, They, Undecided, We};
    use super::*;

    #[test]
    fn who_has_to_import_the_key_of_the_other() {
        let check = |member, called, removed, (with_us, without_us), importer| {
            let standing = Standing { member, called, removed, with_us, without_us, ..Standing::default() };
            assert_eq!(standing.importer(), importer, "{standing:?}");
            // We were away during a rotation, and have not heard of all others yet; unless those two were locked out.
            let shared = Standing { shared: true, ..standing };
            assert_eq!(shared.importer(), if member && !removed { We } else { importer }, "{shared:?}");
        };
        // member called removed with, without us
        check(true, false, true, (2, 1), They); // locked out by `keys rotate --force`
        check(true, false, false, (2, 1), They); // it took a key of its own
        check(true, true, false, (2, 1), They);
        check(true, false, false, (1, 2), We); // we were away during a rotation
        check(true, true, false, (1, 2), We);
        check(true, false, true, (2, 3), They); // three were locked out on purpose
        check(true, false, true, (1, 2), We); // we rotated alone
        check(true, false, true, (1, 1), They); // of two, the one that did not rotate
        check(true, false, false, (1, 1), We);
        check(true, false, false, (2, 2), We); // a cluster in two halves, the other one rotated
        check(true, false, true, (2, 2), They);
        // Never a member.
        check(false, false, false, (1, 0), Newcomer); // an unrelated cluster dials us
        check(false, false, false, (3, 0), Newcomer);
        check(false, false, false, (1, 2), Newcomer);
        check(false, true, false, (3, 0), Newcomer); // somebody joins an unrelated cluster to ours
        check(false, true, false, (1, 0), We); // a new host on its way in
        check(false, true, true, (1, 0), We);
        check(false, false, true, (3, 0), They); // forgotten by now, and it has a key of ours
        check(false, false, true, (1, 0), They);
    }

    #[test]
    fn members_are_counted_without_the_host_itself() {
        use Presence::{Failed as Missing, Left, Own, Present};
        let addr = |host: u8| SocketAddr::from(([10, 0, 0, host], 7946));
        let count = |members: &[(u8, Presence)]| {
            let voters = members.iter().map(|&(host, presence)| Voter { addr: addr(host), presence });
            let Standing { member, with_us, without_us, .. } =
                Standing::of(voters, |at| at.ip() == addr(3).ip(), false, None, &[]);
            (member, with_us, without_us)
        };
        assert_eq!(count(&[(1, Own), (2, Present), (3, Missing)]), (true, 2, 1));
        // Not yet given up, or another process at its address.
        assert_eq!(count(&[(1, Own), (2, Present), (3, Present)]), (true, 2, 1));
        assert_eq!(count(&[(1, Own), (2, Missing), (4, Missing)]), (false, 1, 2));
        assert_eq!(count(&[(1, Own), (2, Left), (3, Left)]), (true, 1, 0));
        // Restarted after it has removed the key of 3 together with 2, whom it has not found yet.
        let voters = [(1, Own), (2, Presence::Unfound), (3, Presence::Unfound)]
            .map(|(host, presence)| Voter { addr: addr(host), presence });
        let restarted = Standing::of(voters, |at| at == addr(3), false, Some(2), &[]);
        assert_eq!((restarted.with_us, restarted.importer()), (2, They));
        // Behind one address with us.
        assert_eq!(count(&[(3, Own), (2, Present)]), (false, 2, 0));
    }

    #[test]
    fn nobody_is_said_to_be_shut_out_before_those_with_us_were_heard() {
        let check = |(with_us, unheard, without_us), importer| {
            let standing = Standing { member: true, with_us, unheard, without_us, ..Standing::default() };
            assert_eq!(standing.importer(), importer, "{standing:?}");
            // Of a key that was removed here it is known.
            let removed = Standing { removed: true, ..standing };
            assert_ne!(removed.importer(), Undecided, "{removed:?}");
            let restarted = Standing { unfound: true, ..standing };
            assert_eq!(restarted.importer(), if importer == They { Undecided } else { importer }, "{restarted:?}");
            let newcomer = Standing { member: false, ..standing };
            assert_eq!(newcomer.importer(), Newcomer, "{newcomer:?}");
        };
        // with us, of those unheard; without us
        check((3, 0, 1), They);
        check((3, 1, 1), They);
        check((3, 2, 1), Undecided);
        check((2, 1, 1), Undecided);
        check((5, 4, 1), Undecided);
        check((2, 1, 3), We);
        check((1, 0, 1), We);
    }

    #[test]
    fn a_key_is_shared_where_another_member_has_it() {
        use Presence::{Own, Present, Unfound as Missing};
        let ip = |host: u8| IpAddr::from([10, 0, 0, host]);
        let is_shared = |alike: &[IpAddr]| {
            let members = [(1, Own), (2, Present), (3, Missing), (4, Missing)];
            let voters = members.map(|(host, presence)| Voter { addr: SocketAddr::new(ip(host), 7946), presence });
            Standing::of(voters, |at| at.ip() == ip(3), false, None, alike).shared
        };
        assert!(is_shared(&[ip(3), ip(4)]) && is_shared(&[ip(2)]));
        assert!(!is_shared(&[ip(3)]) && !is_shared(&[ip(1)]) && !is_shared(&[ip(9)]) && !is_shared(&[]));
    }

    #[test]
    fn only_on_our_side_is_a_key_to_be_imported_here() {
        let key: Option<&dyn Display> = Some(&"b07e4410");
        for (importer, key, said) in [
            (
                We,
                key,
                "web1 seals with key b07e4410, this keyring has only 3fa9c1d2; 'weir keys export' there, 'weir keys import' here",
            ),
            (
                They,
                key,
                "web1 was shut out: it seals with b07e4410, which nobody else has; 'weir keys export' here, 'weir keys import' there",
            ),
            (
                Newcomer,
                key,
                "web1 is no member and seals with key b07e4410, this keyring has only 3fa9c1d2; if it is to be one: \
                 'weir keys export' here, 'weir keys import' there",
            ),
            (
                Undecided,
                key,
                "web1 seals with key b07e4410, this keyring has only 3fa9c1d2; see with 'weir keys list' on other members \
                 which of the two most have, then 'weir keys import' it where it is lacking",
            ),
            (
                We,
                None,
                "web1 seals with a key that this keyring lacks (it has 3fa9c1d2); 'weir keys export' (serf keys -list) \
                 there, 'weir keys import' here",
            ),
            (
                They,
                None,
                "web1 was shut out: it seals with a key that nobody else has; 'weir keys export' here, 'weir keys import' \
                 (serf: -keyring-file) there",
            ),
        ] {
            assert_eq!(importer.lacked_key("web1", key, &["3fa9c1d2"]).to_string(), said);
        }
        for importer in [They, Newcomer, Undecided] {
            for way_out in [
                importer.way_out(true).to_owned(),
                importer.way_out(false).to_owned(),
                importer.after_hanging_up().to_owned(),
                importer.for_our_key(&"aa"),
            ] {
                assert!(!way_out.contains("import' here") && !way_out.contains("keys use"), "{way_out}");
            }
        }
    }
}
