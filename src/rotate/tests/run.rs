//! The steps, their order, and whom they wait for.

use super::super::*;
use super::world::*;
use crate::serf::{KeyOp, Status};

fn three() -> World {
    World::new([("a", Host::weir(&[1])), ("b", Host::serf(&[1])), ("c", Host::weir(&[1]))])
}

fn names(operator: &Operator) -> Vec<&'static str> {
    operator.asked.iter().map(|params| params.op.query_name()).collect()
}

#[test]
fn four_requests_rotate_a_healthy_cluster() {
    let mut world = three();
    let mut operator = world.operator(2, Options::default());
    let end = world.finish(&mut operator);
    let (old, new) = (vec![key(1).id()], key(2).id());
    let (locked_out, absent, left_over) = (Vec::new(), Vec::new(), Vec::new());
    assert_eq!(end, End::Rotated { old, new, members: 3, locked_out, absent, left_over });
    assert_eq!(
        names(&operator),
        ["_serf_list-keys", "_serf_install-key", "_serf_use-key", "_serf_list-keys", "_serf_remove-key"]
    );
    assert!(operator.asked.iter().all(|params| params.only.is_empty()), "everybody is asked, nobody named");
    assert!(operator.asked.iter().all(|params| params.ballot.is_some() == (params.op != KeyOp::List)));
    world.assert_only(2);
}

#[test]
fn its_end_names_every_key_that_is_gone() {
    let mut world = World::new([("a", Host::weir(&[1, 4, 3])), ("b", Host::weir(&[4, 1])), ("c", Host::weir(&[1, 4]))]);
    let end = world.rotate(2, Options::default());
    let gone = [1, 4, 3].map(|number| key(number).id());
    assert!(matches!(&end, End::Rotated { old, .. } if *old == gone), "{end:?}");
    world.assert_only(2);
}

#[test]
fn progress_counts_and_tells_when_a_step_is_complete() {
    let mut world = three();
    let mut operator = world.operator(2, Options::default());
    let install = world.run_to(&mut operator, |op| matches!(op, KeyOp::Install(_)));
    world.carry(&mut operator, &install, |to| to.as_str() != "c");
    world.finish(&mut operator);
    let counts: Vec<_> = operator
        .progress
        .iter()
        .filter_map(|progress| match progress {
            Progress::Confirmed { action, key, confirmed, of, complete, .. } => {
                Some((*action, *key, *confirmed, *of, *complete))
            }
            Progress::Planned(_) => None,
        })
        .collect();
    let (old, new) = (Some(key(1).id()), Some(key(2).id()));
    assert_eq!(
        counts,
        [
            (Action::List, None, 3, 3, true),
            (Action::Install, new, 2, 3, false),
            (Action::Install, new, 3, 3, true),
            (Action::Use, new, 3, 3, true),
            (Action::List, None, 3, 3, true),
            (Action::Remove, old, 3, 3, true),
        ]
    );
}

#[test]
fn a_silent_member_is_asked_by_name_five_times_and_then_named() {
    for (step, is_it) in [
        (Step::Check, (|op| *op == KeyOp::List) as fn(&KeyOp) -> bool),
        (Step::Install, |op| matches!(op, KeyOp::Install(_))),
        (Step::Use, |op| matches!(op, KeyOp::Use(_))),
        (Step::Remove, |op| matches!(op, KeyOp::Remove(_))),
    ] {
        let mut world = three();
        let mut operator = world.operator(2, Options::default());
        let first = world.run_to(&mut operator, is_it);
        let before = operator.asked.len() - 1;
        world.host("c").up = false;
        world.carry(&mut operator, &first, |_| true);
        let end = world.finish(&mut operator);
        assert_eq!(stopped(&end), (step, vec!["c"]));
        let asked = &operator.asked[before..];
        assert_eq!(asked.len() as u32, REPEATS);
        assert!(asked[1..].iter().all(|params| params.only == [name("c")] && is_it(&params.op)));
        world.host("c").up = true;
        assert_eq!(world.broken(), None);
        assert!(is_rotated(&world.rotate(3, Options::default())), "a later run finishes what stopped at {step:?}");
        world.assert_only(3);
    }
}

#[test]
fn an_answer_that_was_lost_is_given_again() {
    let mut world = three();
    let mut operator = world.operator(2, Options::default());
    while let Some(params) = world.next_request(&mut operator) {
        // Obeyed, and nobody hears of it.
        world.deliver(&name("b"), &params);
        world.carry(&mut operator, &params, |to| to.as_str() != "b");
        let again = world.next_request(&mut operator).unwrap();
        assert_eq!(again.only, [name("b")]);
        world.carry(&mut operator, &again, |_| true);
    }
    assert!(is_rotated(&operator.end.unwrap()));
    world.assert_only(2);
}

#[test]
fn a_newcomer_confirms_all_steps_so_far() {
    for at in ["_serf_install-key", "_serf_use-key", "_serf_remove-key"] {
        let mut world = World::new([("a", Host::weir(&[1])), ("b", Host::weir(&[1])), ("c", Host::weir(&[1]))]);
        // Between its join and its confirmation it is heard as an absent member is.
        world.absent_allowed = true;
        let mut operator = world.operator(2, Options::default());
        let params = world.run_to(&mut operator, |op| op.query_name() == at);
        world.carry(&mut operator, &params, |_| true);
        if at == "_serf_remove-key" {
            assert!(is_rotated(&world.finish(&mut operator)), "nothing is left to wait for");
            continue;
        }
        // It joined with the key of before, which the others still hold.
        world.hosts.insert(name("d"), Host::weir(&[1]));
        let before = operator.asked.len();
        // Membership was read when the request ended; it is read again when the next one does.
        assert!(is_rotated(&world.finish(&mut operator)), "{at}");
        let to_it: Vec<_> = operator.asked[before..]
            .iter()
            .filter(|params| params.only == [name("d")])
            .map(|p| p.op.query_name())
            .collect();
        assert!(to_it.contains(&"_serf_install-key"), "{at}: {to_it:?}");
        world.assert_only(2);
    }
}

#[test]
fn members_that_left_within_ten_minutes_block_and_older_ones_are_listed() {
    let left = |seconds, forced_out| Host {
        status: Status::Left,
        age: Duration::from_secs(seconds),
        forced_out,
        ..Host::weir(&[1]).failed()
    };
    let with = |host| World::new([("a", Host::weir(&[1])), ("b", Host { status: Status::Left, ..host })]);
    let end = with(left(599, false)).rotate(2, Options::default());
    assert_eq!(stopped(&end), (Step::Install, vec!["b"]));
    for host in [left(600, false), left(1, true)] {
        let mut world = with(host);
        let mut operator = world.operator(2, Options::default());
        assert!(is_rotated(&world.finish(&mut operator)));
        let Some(Progress::Planned(plan)) = operator.progress.get(1) else { panic!("{:?}", operator.progress) };
        assert_eq!(plan.tombstones, [name("b")]);
    }
}

#[test]
fn force_locks_out_whom_it_names_and_nobody_waits_for_it() {
    let mut world = World::new([("a", Host::weir(&[1])), ("b", Host::weir(&[1])), ("c", Host::weir(&[1]).failed())]);
    let end = world.rotate(2, force(&["c"]));
    assert!(matches!(&end, End::Rotated { members: 2, locked_out, .. } if *locked_out == [name("c")]), "{end:?}");
    world.assert_only(2);
    assert_eq!(world.host("c").ring, ring(&[1]));
}

#[test]
fn a_member_to_be_locked_out_that_is_there_follows_all_the_same() {
    let mut world = three();
    let end = world.rotate(2, force(&["c"]));
    assert!(matches!(&end, End::Rotated { locked_out, .. } if locked_out.is_empty()), "{end:?}");
    world.assert_only(2);
}

#[test]
fn an_absent_member_that_comes_back_in_time_is_taken_along() {
    let mut world = World::new([("a", Host::weir(&[1])), ("b", Host::weir(&[1])), ("c", Host::weir(&[1]).failed())]);
    world.absent_allowed = true;
    let mut operator = world.operator(2, absent(&["c"]));
    let seal = world.run_to(&mut operator, |op| matches!(op, KeyOp::Use(_)));
    world.host("c").up = true;
    world.host("c").status = Status::Alive;
    world.carry(&mut operator, &seal, |_| true);
    assert!(is_rotated(&world.finish(&mut operator)));
    world.assert_only(2);
}

/// What the operator asked for is no stop, and nobody is waited for who is known to be away.
#[test]
fn a_run_without_who_is_absent_ends_well_and_keeps_the_old_keys() {
    let mut world = World::new([("a", Host::weir(&[1, 9])), ("b", Host::weir(&[1])), ("c", Host::weir(&[1]).failed())]);
    world.absent_allowed = true;
    let mut operator = world.operator(2, absent(&["c"]));
    let end = world.finish(&mut operator);
    let End::Rotated { members: 2, left_over, absent, .. } = &end else { panic!("{end:?}") };
    assert_eq!(*left_over, [key(1).id(), key(9).id()]);
    assert!(matches!(&absent[..], [(who, Why::Away { .. })] if *who == name("c")), "{absent:?}");
    assert_eq!(names(&operator), ["_serf_list-keys", "_serf_install-key", "_serf_use-key"]);
}

#[test]
fn a_stop_tells_which_keys_stay_and_whether_anybody_took_the_new_one() {
    let told = |world: &mut World, number| match world.rotate(number, Options::default()) {
        End::Stopped(Stopped { step, taken, sealing, left_over, .. }) => (step, taken, sealing, left_over),
        other => panic!("{other:?}"),
    };
    let ids = |fills: &[u8]| fills.iter().map(|fill| key(*fill).id()).collect::<Vec<_>>();
    let mut world = World::new([("a", Host::weir(&[1])), ("b", Host::weir(&[1]).failed())]);
    assert_eq!(told(&mut world, 2), (Step::Install, true, false, ids(&[1])));
    assert_eq!(told(&mut world, 3), (Step::Install, true, false, ids(&[1, 2])), "the first stop left one as well");
    let mut nobody = World::new([("c", Host::credential(&[1]))]);
    assert_eq!(told(&mut nobody, 2), (Step::Install, false, false, ids(&[1])));

    let mut late = World::new([("a", Host::weir(&[1])), ("b", Host::weir(&[1]))]);
    for (is_it, sealing, number) in [
        ((|op| matches!(op, KeyOp::Use(_))) as fn(&KeyOp) -> bool, false, 2),
        (|op| matches!(op, KeyOp::Remove(_)), true, 3),
    ] {
        let mut operator = late.operator(number, Options::default());
        let params = late.run_to(&mut operator, is_it);
        late.hosts.values_mut().for_each(|host| host.up = false);
        late.carry(&mut operator, &params, |_| true);
        let End::Stopped(stop) = late.finish(&mut operator) else { panic!("nobody was there") };
        assert_eq!((stop.taken, stop.sealing), (true, sealing), "{:?}", stop.step);
        late.hosts.values_mut().for_each(|host| host.up = true);
    }
}

#[test]
fn the_ghost_of_a_renamed_host_blocks_nobody() {
    for status in [Status::Left, Status::Failed] {
        let ghost = Host { status, replaced: true, ..Host::weir(&[1]).failed() };
        let mut world = World::new([("a", Host::weir(&[1])), ("web2", ghost), ("web9", Host::weir(&[1]))]);
        assert!(is_rotated(&world.rotate(2, Options::default())), "{status}");
    }
}

#[test]
fn by_their_own_word_members_obey_ballots() {
    let mut world = three();
    let mut operator = world.operator(2, Options { dry_run: true, ..Options::default() });
    world.finish(&mut operator);
    let Some(Progress::Planned(plan)) = operator.progress.last() else { panic!() };
    let obey: Vec<_> = plan.members.iter().map(|member| member.peer.obeys_ballots).collect();
    assert_eq!(obey, [true, false, true]);
}

#[test]
fn names_that_nobody_bears_stop_the_run_before_anything_is_asked() {
    for options in [absent(&["nobody"]), force(&["nobody"])] {
        let mut world = three();
        let mut operator = world.operator(2, options);
        let end = world.finish(&mut operator);
        assert_eq!(stopped(&end), (Step::Check, vec!["nobody"]));
        assert!(operator.asked.is_empty());
    }
}

#[test]
fn a_dry_run_lists_and_changes_nothing() {
    let mut world =
        World::new([("a", Host::weir(&[1, 2])), ("b", Host::serf(&[2, 1])), ("c", Host::weir(&[1]).failed())]);
    let before = world.clone();
    let mut operator = world.operator(3, Options { dry_run: true, ..Options::default() });
    assert_eq!(world.finish(&mut operator), End::Planned);
    assert_eq!(names(&operator), ["_serf_list-keys"]);
    let Some(Progress::Planned(plan)) = operator.progress.last() else { panic!() };
    assert_eq!(plan.wait, Some(AFTERMATH));
    assert_eq!(plan.old.len(), 2);
    let known: Vec<_> = plan.members.iter().map(|member| member.seals_with).collect();
    assert_eq!(known, [Some(key(1).id()), Some(key(2).id()), None]);
    assert_eq!(format!("{:?}", world.hosts), format!("{:?}", before.hosts));
}

#[test]
fn a_crowded_ring_is_cleaned_up_first_and_keeps_every_primary() {
    let mut world = World::new([
        ("a", Host::weir(&[1, 2, 3, 4, 5, 6, 7])),
        ("b", Host::weir(&[2, 1, 3])),
        ("c", Host { shows: 2, ..Host::weir(&[1, 2, 8, 9, 10]) }),
    ]);
    let mut operator = world.operator(20, Options::default());
    let install = world.run_to(&mut operator, |op| matches!(op, KeyOp::Install(_)));
    assert_eq!(world.host("a").ring, ring(&[1, 2]));
    assert_eq!(world.host("b").ring, ring(&[2, 1]));
    world.carry(&mut operator, &install, |_| true);
    assert!(is_rotated(&world.finish(&mut operator)));
    world.assert_only(20);
}

#[test]
fn clean_up_needs_to_know_every_primary() {
    let mut world = World::new([("a", Host::weir(&[1, 2, 3, 4, 5, 6, 7])), ("b", Host::weir(&[2, 1]).failed())]);
    world.absent_allowed = true;
    let mut operator = world.operator(20, absent(&["b"]));
    let end = world.finish(&mut operator);
    assert_eq!(stopped(&end), (Step::CleanUp, vec!["b"]));
    assert!(names(&operator).iter().all(|name| *name == "_serf_list-keys"));
}

#[test]
fn cut_lists_are_taken_again_until_they_are_whole() {
    let mut world = World::new([("a", Host::weir(&[1, 2, 3, 4])), ("b", Host { shows: 2, ..Host::weir(&[1, 5, 6]) })]);
    let mut operator = world.operator(20, Options::default());
    let end = world.finish(&mut operator);
    assert!(is_rotated(&end), "{end:?}");
    world.assert_only(20);
}

#[test]
fn a_list_that_never_becomes_whole_is_named() {
    let mut world = World::new([("a", Host::weir(&[1])), ("b", Host { shows: 0, ..Host::weir(&[1]) })]);
    let end = world.rotate(2, Options::default());
    let End::Stopped(stop) = &end else { panic!("{end:?}") };
    assert_eq!((stop.step, &stop.who[..]), (Step::Remove, &[(name("b"), Why::Truncated)][..]));
}

#[test]
fn a_ring_changed_by_hand_after_it_confirmed_is_asked_again() {
    let mut world = World::new([("a", Host::weir(&[1])), ("s", Host::serf(&[1]))]);
    let mut operator = world.operator(2, Options::default());
    let seal = world.run_to(&mut operator, |op| matches!(op, KeyOp::Use(_)));
    world.carry(&mut operator, &seal, |_| true);
    // `serf keys -use` of somebody else.
    world.host("s").ring.use_key(&key(1)).unwrap();
    assert!(is_rotated(&world.finish(&mut operator)));
    world.assert_only(2);
}

#[test]
fn filters_that_do_not_fit_are_left_out() {
    let mut world = three();
    let mut operator = world.operator(2, Options::default());
    let list = world.next_request(&mut operator).unwrap();
    world.carry(&mut operator, &list, |to| to.as_str() != "c");
    let filtered = world.next_request(&mut operator).unwrap();
    assert_eq!(filtered.only, [name("c")]);
    operator.rotation.handle_unsent(world.peers(), &QueryError::TooLarge { limit: 1024 });
    let whole = world.next_request(&mut operator).unwrap();
    assert_eq!((whole.op, whole.only), (KeyOp::List, Vec::new()));
}

#[test]
fn a_request_that_could_not_be_sent_is_tried_again_later_and_not_for_ever() {
    let world = three();
    let mut operator = world.operator(2, Options::default());
    for _ in 0..REPEATS {
        world.next_request(&mut operator).unwrap();
        operator.rotation.handle_unsent(world.peers(), &QueryError::TooMany);
    }
    assert!(world.next_request(&mut operator).is_none());
    assert_eq!(operator.waits.len() as u32, REPEATS);
    assert_eq!(stopped(&operator.end.unwrap()).0, Step::Check);
}
