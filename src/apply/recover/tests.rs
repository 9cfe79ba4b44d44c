use super::*;
use crate::apply::journal::Work;

fn begun(untested: bool) -> Option<Run> {
    let (generation, prev) = (Generation(2), Generation(1));
    Some(Run::Begun(Begin { generation, prev, untested, files: Vec::new(), work: Work::default() }))
}

#[test]
fn every_row_of_the_table_of_recovery() {
    use Action::{Back, Forward, Keep, Nothing, Yield};
    use Seen::{Foreign, New, Previous, Saved};
    let back = || Some(Run::Back { failed: Generation(2), to: Generation(1) });
    let only = |target| (target, None);
    let by = |target, beside| (target, Some(beside));
    // The last record, each target with what lies beside it, and what to do.
    for (run, files, action) in [
        (None, vec![], Nothing),
        // Nothing was exchanged yet; or it has been exchanged back.
        (begun(false), vec![by(Previous, New)], Keep),
        (begun(false), vec![only(Previous)], Keep),
        (begun(false), vec![by(Saved, New)], Keep),
        (begun(true), vec![by(Previous, New)], Keep),
        // It was: the test was before that.
        (begun(false), vec![by(New, Previous)], Forward),
        (begun(false), vec![only(New)], Forward),
        (begun(false), vec![by(New, Saved)], Forward),
        // Some were.
        (begun(false), vec![by(New, Previous), by(Previous, New)], Forward),
        (begun(false), vec![by(Previous, New), only(New)], Forward),
        // The test was not.
        (begun(true), vec![by(New, Previous)], Back),
        (begun(true), vec![by(Previous, New), only(New)], Back),
        // Somebody edited, before the exchange or after it.
        (begun(false), vec![by(New, Foreign)], Yield),
        (begun(false), vec![by(Foreign, New)], Yield),
        (begun(false), vec![by(Foreign, Previous)], Yield),
        (begun(true), vec![by(New, Foreign)], Yield),
        (begun(true), vec![only(Foreign), by(New, Previous)], Yield),
        // Going back goes on, wherever it stopped.
        (back(), vec![], Back),
    ] {
        let looks: Vec<Look> = files.iter().map(|(target, beside)| Look { target: *target, beside: *beside }).collect();
        assert_eq!(decide(run.as_ref(), &looks), action, "{run:?} {files:?}");
    }
}
