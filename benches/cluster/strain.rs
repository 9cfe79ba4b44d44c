//! Who is wrongly declared failed while the machine is overloaded, or while members stand still for a moment.
//!
//! Nobody dies in these clusters, so every member that an agent tells its clients has failed is a mistake.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use weir::rpc::client::Record;
use weir::rpc::proto::EventRecord;

use super::support::Agent;
use super::{Bench, connect, number};

/// How long the strain lasts.
const STRAIN: Duration = Duration::from_secs(60);
/// Agents hold member events back for a moment; and a stream may have much to catch up on.
const AFTERMATH: Duration = Duration::from_secs(8);
/// How long a member stands still.
const PAUSE: Duration = Duration::from_secs(2);

impl Bench {
    /// Failures seen by anybody while busy processes want both cores for themselves.
    pub(super) fn overload(&self) {
        let busy = number("WEIR_BENCH_BUSY", 4);
        for size in [10, 25] {
            let name = format!("wrongly failed in 60 s: {size} beside {busy} busy processes");
            self.compare(&name, size, |bench, kind| {
                let cluster = bench.cluster(kind, size);
                let processes: Vec<_> = (0..busy).map(|_| Busy::start()).collect();
                bench.wrongly_failed(&cluster, async move {
                    sleep(STRAIN).await;
                    drop(processes);
                })
            });
        }
    }

    /// Failures seen by anybody while members are stopped for two seconds.
    pub(super) fn pause(&self) {
        // How many stand still at once, and how long they run in between.
        for (paused, between) in [(1, 1000), (3, 200)] {
            let name = format!("wrongly failed in 60 s: {paused} of 10 paused for 2 s, every {between} ms");
            self.compare(&name, 10, |bench, kind| {
                let mut cluster = bench.cluster(kind, 10);
                let pids: Vec<_> = cluster.iter_mut().map(|agent| agent.process().pid()).collect();
                bench.wrongly_failed(&cluster, stop_in_turn(pids, paused, Duration::from_millis(between)))
            });
        }
    }

    /// How many failures the agents told their clients during `strain` and shortly after it.
    fn wrongly_failed(&self, cluster: &[Agent], strain: impl Future<Output = ()>) -> f64 {
        self.runtime.block_on(async {
            let mut watchers = JoinSet::new();
            let mut ends = Vec::new();
            for agent in cluster {
                let (end, ended) = oneshot::channel();
                ends.push(end);
                watchers.spawn(failures(agent.rpc, ended));
            }
            strain.await;
            sleep(AFTERMATH).await;
            drop(ends);
            watchers.join_all().await.into_iter().sum::<usize>() as f64
        })
    }
}

/// Counts members that an agent says have failed, until the end.
async fn failures(rpc: SocketAddr, mut ended: oneshot::Receiver<()>) -> usize {
    let mut client = connect(rpc).await;
    client.stream("member-failed").await.unwrap();
    let mut failed = 0;
    loop {
        tokio::select! {
            _sender_dropped = &mut ended => return failed,
            pushed = client.next() => {
                if let Record::Event(EventRecord::Member { members, .. }) = pushed.unwrap().record {
                    failed += members.len();
                }
            }
        }
    }
}

/// Stops `at_once` processes for [`PAUSE`], lets them run, and goes on with the next ones; alone with itself, one set stays.
async fn stop_in_turn(pids: Vec<u32>, at_once: usize, between: Duration) {
    let end = Instant::now() + STRAIN;
    let mut first = 0;
    while Instant::now() < end {
        let stopped: Vec<_> = pids.iter().cycle().skip(first).take(at_once).collect();
        stopped.iter().for_each(|pid| send(**pid, Signal::SIGSTOP));
        sleep_until(Instant::now() + PAUSE).await;
        stopped.iter().for_each(|pid| send(**pid, Signal::SIGCONT));
        sleep(between).await;
        first = if at_once == 1 { first + 1 } else { first };
    }
}

fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid as i32), signal).expect("the process is ours");
}

/// A process that computes without end, at normal priority, until dropped.
struct Busy(Child);

impl Busy {
    fn start() -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        Self(command.spawn().expect("a shell can be started"))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _already_gone = self.0.wait();
    }
}
