//! What was tried on paper and fell, held against the protocol as it is.

use super::super::*;
use super::world::*;
use crate::crypto::Keyring;
use crate::serf::{KeyOp, Status};

const fn is_install(op: &KeyOp) -> bool {
    matches!(op, KeyOp::Install(_))
}

const fn is_use(op: &KeyOp) -> bool {
    matches!(op, KeyOp::Use(_))
}

const fn is_remove(op: &KeyOp) -> bool {
    matches!(op, KeyOp::Remove(_))
}

/// A and B install and confirm, `use` at A, C comes back with the old ring: C could not read A.
#[test]
fn alive_members_do_not_suffice() {
    let mut world = World::new([("a", Host::weir(&[1])), ("b", Host::serf(&[1])), ("c", Host::serf(&[1]).failed())]);
    let end = world.rotate(2, Options::default());
    assert_eq!(stopped(&end), (Step::Install, vec!["c"]));
    assert!(
        matches!(&end, End::Stopped(Stopped { who, .. }) if matches!(who[0].1, Why::Away { status: Status::Failed, .. }))
    );
    world.host("c").status = Status::Alive;
    world.host("c").up = true;
    assert_eq!(world.broken(), None);
    assert!(is_rotated(&world.rotate(3, Options::default())));
    world.assert_only(3);
}

/// Install and use go on without C; with `remove` not waiting for it, C would come back and nobody would know its key.
#[test]
fn remove_waits_for_the_absent_too() {
    let mut world = World::new([("a", Host::weir(&[1])), ("b", Host::weir(&[1])), ("c", Host::weir(&[1]).failed())]);
    world.absent_allowed = true;
    let mut operator = world.operator(2, absent(&["c"]));
    let end = world.finish(&mut operator);
    assert_eq!(without(&end), ["c"]);
    assert!(!operator.asked.iter().any(|params| is_remove(&params.op)), "nobody is told to remove");
    assert_eq!(world.host("a").ring, ring(&[2, 1]));
    world.host("c").status = Status::Alive;
    world.host("c").up = true;
    assert_eq!(world.broken(), None, "A answers in the key that C came in");
    assert!(is_rotated(&world.rotate(3, Options::default())));
    world.assert_only(3);
}

/// Op 2 installs K3 at A and is told so; op 1 lists, sees K3, and would remove it from A with the rest.
#[test]
fn two_operators_need_ballots() {
    let trace = |weir: bool| {
        let host = || if weir { Host::weir(&[1]) } else { Host::serf(&[1]) };
        let mut world = World::new([("a", host()), ("b", host())]);
        world.unguarded = !weir;
        let mut first = world.operator(2, Options::default());
        let list = world.run_to(&mut first, is_use);
        world.carry(&mut first, &list, |_| true);
        // Now op 2, as far as A.
        let mut second = world.operator(3, Options::default());
        let install = world.run_to(&mut second, is_install);
        let at_a = world.deliver(&name("a"), &install).unwrap();
        assert!(at_a.ok);
        let first_end = world.finish(&mut first);
        // Op 2 believes A and asks B alone.
        let at_b = world.deliver(&name("b"), &install).unwrap();
        let nodes = [(name("a"), at_a), (name("b"), at_b)].into();
        second.rotation.handle_outcome(world.peers(), &KeyOutcome { nodes, ..KeyOutcome::default() });
        let seal = world.next_request(&mut second).unwrap();
        assert!(is_use(&seal.op));
        world.carry(&mut second, &seal, |to| to.as_str() == "b");
        (world, first_end, second)
    };
    let (world, ..) = trace(false);
    assert!(world.broken().is_some(), "without ballots A cannot read B");
    let (mut world, first_end, mut second) = trace(true);
    let End::Stopped(Stopped { step: Step::Remove, who, .. }) = first_end else { panic!("{first_end:?}") };
    assert!(matches!(&who[0].1, Why::Superseded(text) if text == "superseded by a rotation from op"));
    world.finish(&mut second);
    assert!(is_rotated(&world.rotate(4, Options::default())));
    world.assert_only(4);
}

/// B refuses op 1, restarts, and must not obey op 1's late `remove`, or it loses K3, which A already seals with.
#[test]
fn ballots_outlive_a_restart() {
    let trace = |forgets: bool| {
        let host = || Host { forgets_ballots: forgets, ..Host::weir(&[1, 3]) };
        let mut world = World::new([("a", host()), ("b", host())]);
        world.unguarded = forgets;
        let mut first = world.operator(2, Options::default());
        let late = world.run_to(&mut first, |op| matches!(op, KeyOp::Remove(bytes) if **bytes == *key(3).bytes()));
        // K3 comes by a later rotation, which A follows.
        let mut second = world.operator(3, Options::default());
        let install = world.run_to(&mut second, is_install);
        world.carry(&mut second, &install, |_| true);
        let seal = world.next_request(&mut second).unwrap();
        world.deliver(&name("a"), &seal);
        assert!(!world.deliver(&name("b"), &late).unwrap().ok);
        world.host("b").restart();
        let obeyed = world.deliver(&name("b"), &late).unwrap().ok;
        (world, obeyed)
    };
    let (world, obeyed) = trace(true);
    assert!(obeyed && world.broken().is_some(), "with ballots in memory only");
    let (world, obeyed) = trace(false);
    assert!(!obeyed);
    assert_eq!(world.broken(), None);
}

/// Plain Serf obeys no ballot: op 1's late `remove` still takes K3 from it. The command and the README say it.
#[test]
fn two_operators_are_not_safe_with_one_plain_serf_member() {
    let mut world = World::new([("a", Host::weir(&[1, 3])), ("s", Host::serf(&[1, 3]))]);
    world.unguarded = true;
    let mut first = world.operator(2, Options::default());
    let late = world.run_to(&mut first, |op| matches!(op, KeyOp::Remove(bytes) if **bytes == *key(3).bytes()));
    let mut second = world.operator(3, Options::default());
    let install = world.run_to(&mut second, is_install);
    world.carry(&mut second, &install, |_| true);
    let seal = world.next_request(&mut second).unwrap();
    world.deliver(&name("a"), &seal);
    assert!(!world.deliver(&name("a"), &late).unwrap().ok, "the weir member holds to its ballot");
    assert!(world.deliver(&name("s"), &late).unwrap().ok);
    assert!(world.broken().is_some());
}

/// An undelivered `use K2` of the aborted run may reach the Serf member after it confirmed `use K3`, while the others remove
/// K2. So the next run gives it time to arrive.
#[test]
fn one_operator_after_the_other_waits_for_what_is_under_way_to_a_serf_member() {
    let mut world = World::new([("a", Host::weir(&[1])), ("s", Host::serf(&[1]))]);
    let mut first = world.operator(2, Options::default());
    let seal = world.run_to(&mut first, is_use);
    world.carry(&mut first, &seal, |to| to.as_str() == "a");
    drop(first);
    let mut second = world.operator(3, Options::default());
    let list = world.next_request(&mut second).unwrap();
    world.carry(&mut second, &list, |_| true);
    let planned = std::iter::from_fn(|| second.rotation.poll_output()).collect::<Vec<_>>();
    assert!(
        matches!(&planned[..], [Output::Progress(Progress::Confirmed { .. }), Output::Progress(Progress::Planned(plan)), Output::Wait(AFTERMATH)] if plan.wait == Some(AFTERMATH)),
        "{planned:?}"
    );
    // It arrives meanwhile; what was listed before is listed anew.
    world.deliver(&name("s"), &seal);
    second.rotation.handle_waited(world.peers());
    let list = world.next_request(&mut second).unwrap();
    assert_eq!(list.op, KeyOp::List);
    world.carry(&mut second, &list, |_| true);
    assert!(is_rotated(&world.finish(&mut second)));
    assert!(second.waits.is_empty(), "once is enough");
    world.assert_only(3);
}

#[test]
fn there_is_no_pause_without_serf_members_or_without_an_extra_key() {
    for (other, keys) in [(Host::weir(&[1, 2]), &[1, 2][..]), (Host::serf(&[1]), &[1])] {
        let mut world = World::new([("a", Host::weir(keys)), ("b", other)]);
        let mut operator = world.operator(3, Options::default());
        assert!(is_rotated(&world.finish(&mut operator)));
        assert!(operator.waits.is_empty());
    }
}

/// All confirmed, `remove` at A, the credential member restarts with its old key: nobody could read it.
#[test]
fn not_kept_is_not_confirmed() {
    let hosts = || [("a", Host::weir(&[1])), ("b", Host::weir(&[1])), ("c", Host::credential(&[1]))];
    let mut world = World::new(hosts());
    let end = world.rotate(2, Options::default());
    assert_eq!(stopped(&end), (Step::Install, vec!["c"]));
    let End::Stopped(stop) = &end else { panic!() };
    assert_eq!(stop.who[0].1, Why::NotKept("not kept".into()));

    let mut world = World::new(hosts());
    world.absent_allowed = true;
    let end = world.rotate(2, absent(&["c"]));
    assert_eq!(without(&end), ["c"], "step 3 waits until the credential holds the key");
    assert_eq!(world.host("c").ring, ring(&[2, 1]), "it obeys in memory");
    world.host("c").restart();
    assert_eq!(world.broken(), None, "the old key still opens everywhere");
    // The operator replaces the credential by what the rotation is to end with.
    world.host("c").kept = Kept::Credential(ring(&[4]));
    world.host("c").restart();
}

/// It restarts with the key of its command line after `use`. Nobody can see that from afar.
#[test]
fn serf_member_without_keyring_file_is_lost_by_its_restart() {
    let mut world =
        World::new([("a", Host::weir(&[1])), ("s", Host { kept: Kept::CommandLine(ring(&[1])), ..Host::serf(&[1]) })]);
    assert!(is_rotated(&world.rotate(2, Options::default())));
    world.host("s").restart();
    assert!(world.broken().is_some());
}

/// `[K1, K2]` is the ring after `install K2` and after `use K1` during the opposite rotation: whatever a run left, wherever it
/// was left, the next run brings its own key and ends with that alone.
#[test]
fn no_plan_is_derived_from_rings_or_kept() {
    for interrupted_at in 0.. {
        let mut world = World::new([
            ("a", Host::weir(&[1])),
            ("b", Host::weir(&[1])),
            ("c", Host::weir(&[1])),
            ("d", Host::weir(&[1])),
        ]);
        let mut first = world.operator(2, Options::default());
        let mut deliveries = 0;
        let mut cut = false;
        while let Some(params) = world.next_request(&mut first).filter(|_| !cut) {
            world.carry(&mut first, &params, |_| {
                deliveries += 1;
                cut = deliveries > interrupted_at;
                !cut
            });
        }
        drop(first);
        let mut second = world.operator(3, Options::default());
        assert!(is_rotated(&world.finish(&mut second)), "interrupted at {interrupted_at}");
        world.assert_only(3);
        if !cut {
            assert!(interrupted_at > 16, "list, install, use and remove at four members");
            return;
        }
    }
}

#[test]
fn opposite_rotations_leave_the_same_ring() {
    let mut onward = ring(&[1]);
    onward.install(key(2));
    let mut back = Keyring::new(key(2), [key(1)]);
    back.use_key(&key(1)).unwrap();
    assert_eq!(onward, back);
}
