//! What one change costs: tests, reloads, and time.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use weir::apply::{Apply, Report};
use weir::config::Automatic;

use crate::nginx::{Nginx, server, web};

const CHANGES: u8 = 12;
/// From the decision to confirmed workers (`design §7`), of which an apply is all but the debounce.
const LIMIT: Duration = Duration::from_millis(750);

#[test]
#[ignore = "needs nginx"]
fn a_change_of_any_number_of_servers_costs_one_test_and_one_reload_in_time() {
    let nginx = Nginx::start();
    let (program, tests) = (nginx.path("counting"), nginx.path("tests"));
    let script = format!("#!/bin/sh\ncase \"$2\" in -t|-T) echo >> {};; esac\nexec nginx \"$@\"\n", tests.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut options = nginx.options();
    options.nginx.binary = Automatic::Path(program);
    let apply = Apply::new(options);
    let (mut reloads, mut tested) = (0, 0);
    for count in [3, 50, 500_u16] {
        let mut took = Vec::new();
        for change in 0..CHANGES {
            let addr = |n: u16| SocketAddr::new(Ipv4Addr::new(127, 8, change, 1).into(), 1000 + n);
            let servers = (0..count).map(|n| server(&format!("web{n}"), addr(n)));
            let desired = web(servers);
            let started = Instant::now();
            let outcome = apply.apply(&desired);
            took.push(started.elapsed());
            assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
            (reloads, tested) = (reloads + 1, tested + 1);
            assert_eq!(nginx.reloads(), reloads);
            assert_eq!(std::fs::read_to_string(&tests).unwrap().lines().count(), tested);
        }
        took.sort_unstable();
        let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
        println!("{count} servers: median {} ms, most {} ms", median.as_millis(), most.as_millis());
        assert!(median < LIMIT, "{count} servers: {median:?}");
    }
}
