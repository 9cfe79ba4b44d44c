//! Clients that do not wait for each other: a request each so many milliseconds, whatever has become of the others. One that waited
//! for the last answer would stop asking while a server hangs, and so hide an outage.

use std::cell::RefCell;
use std::fs::File;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::support::network::{self, Network};

/// Nobody waits longer, and who has waited so long has failed.
const PATIENCE: Duration = Duration::from_secs(15);

/// How one request went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) took: Duration,
    /// It was answered with 200, in full.
    pub(crate) well: bool,
}

/// Of one balancer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Over a new connection each.
    pub(crate) new: Vec<Answer>,
    /// Over connections that are kept; a client that does not try again.
    pub(crate) kept: Vec<Answer>,
}

/// Requests that are being sent.
pub(crate) struct Load(JoinHandle<Vec<Answers>>);

impl Load {
    /// To port 80 of each of `hosts`, `rates` of each kind a second.
    pub(crate) fn start(network: &Network, from: usize, hosts: &[usize], rates: (u32, u32), time: Duration) -> Self {
        let addrs: Vec<SocketAddr> =
            hosts.iter().map(|host| SocketAddr::new(network::address(*host).parse().unwrap(), 80)).collect();
        Self(within(network, from, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, all(&addrs, rates, time))
        }))
    }

    /// What has become of all of them, in the order of the hosts.
    pub(crate) fn finish(self) -> Vec<Answers> {
        self.0.join().unwrap()
    }
}

/// Runs `task` on a host of the network.
pub(crate) fn within<T: Send + 'static>(
    network: &Network,
    host: usize,
    task: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let namespace = File::open(format!("/run/netns/{}", network.hosts[host])).unwrap();
    std::thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        task()
    })
}

async fn all(addrs: &[SocketAddr], (new, kept): (u32, u32), time: Duration) -> Vec<Answers> {
    let results: Vec<_> = addrs.iter().map(|addr| (*addr, Rc::new(RefCell::new(Answers::default())))).collect();
    let start = Instant::now();
    let mut pacers = Vec::new();
    for (addr, answers) in &results {
        let (addr, of_new, of_kept) = (*addr, Rc::clone(answers), Rc::clone(answers));
        pacers.push(tokio::task::spawn_local(pace(start, new, time, move || {
            let answers = Rc::clone(&of_new);
            async move {
                let answer = timed(once(addr)).await;
                answers.borrow_mut().new.push(answer);
            }
        })));
        let idle = Rc::new(RefCell::new(Vec::new()));
        pacers.push(tokio::task::spawn_local(pace(start, kept, time, move || {
            let (answers, idle) = (Rc::clone(&of_kept), Rc::clone(&idle));
            async move {
                let answer = timed(again(addr, &idle)).await;
                answers.borrow_mut().kept.push(answer);
            }
        })));
    }
    for pacer in pacers {
        pacer.await.unwrap();
    }
    results.into_iter().map(|(_, answers)| answers.borrow().clone()).collect()
}

/// A request each `1 / rate` s, and then all that are still under way.
async fn pace<F: Future<Output = ()> + 'static>(start: Instant, rate: u32, time: Duration, request: impl Fn() -> F) {
    let mut requests = Vec::new();
    for number in 0..rate * u32::try_from(time.as_secs()).unwrap() {
        tokio::time::sleep_until((start + Duration::from_secs(1) * number / rate).into()).await;
        requests.push(tokio::task::spawn_local(request()));
    }
    for request in requests {
        request.await.unwrap();
    }
}

async fn timed(request: impl Future<Output = std::io::Result<bool>>) -> Answer {
    let start = Instant::now();
    let well = matches!(tokio::time::timeout(PATIENCE, request).await, Ok(Ok(true)));
    Answer { took: start.elapsed(), well }
}

async fn once(addr: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(addr).await?;
    ask(&mut stream, "close").await
}

/// Over a connection that has answered before, if one is free.
async fn again(addr: SocketAddr, idle: &RefCell<Vec<TcpStream>>) -> std::io::Result<bool> {
    // As every client does, one that was closed meanwhile is left alone; what is closed at this very instant is lost.
    let is_open = |stream: &TcpStream| {
        stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let free = std::iter::from_fn(|| idle.borrow_mut().pop()).find(is_open);
    let mut stream = match free {
        Some(stream) => stream,
        None => TcpStream::connect(addr).await?,
    };
    let well = ask(&mut stream, "keep-alive").await?;
    if well {
        idle.borrow_mut().push(stream);
    }
    Ok(well)
}

/// Whether the whole answer came, and was 200.
async fn ask(stream: &mut TcpStream, connection: &str) -> std::io::Result<bool> {
    let request = format!("GET / HTTP/1.1\r\nHost: bench\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(whole) = whole(&answer) {
            return Ok(whole);
        }
        match stream.read(&mut piece).await? {
            0 => return Ok(false),
            len => answer.extend_from_slice(&piece[..len]),
        }
    }
}

/// Once all of an answer is there, whether it is 200.
fn whole(answer: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    let length = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).last();
    let length: usize = length.map_or(Some(0), |(_, length)| length.trim().parse().ok())?;
    (body.len() >= length).then(|| head.starts_with("HTTP/1.1 200"))
}
