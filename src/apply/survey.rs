//! A look at the NGINX that is there, for `weir doctor`. Nothing is changed but what `nginx -t` itself does.

use super::master::Master;
use super::program::Program;
use super::system::Nginx;
use super::{Apply, Error, Options, feature};
use crate::nginx::{Context, Feature};
use crate::upstream::UpstreamName;

/// What was seen.
#[derive(Debug)]
pub struct Survey {
    /// As `nginx -V` has it, if it does; an error if there is no program, or it cannot be run.
    pub version: Result<Option<String>, Error>,
    /// What advice depends on and this NGINX has.
    pub features: Vec<Feature>,
    /// Why upstreams of `stream { }` have no place in it, if they have none.
    pub no_stream: Option<Error>,
    /// The running master's number and its sets of old workers; `Ok(None)` if none runs.
    pub master: Result<Option<(u32, usize)>, Error>,
    /// What the test of the whole configuration says; `None` if it was not run.
    pub test: Option<Result<(), Error>>,
}

/// Looks. With `test` also runs `nginx -t`, which only root can do for an NGINX of root's. Blocks for up to half a minute if
/// its configuration waits for DNS.
pub fn survey(options: &Options, test: bool) -> Survey {
    let nginx = match Nginx::find(&options.nginx, options.names()) {
        Ok(nginx) => nginx,
        Err(error) => {
            return Survey { version: Err(error), features: Vec::new(), no_stream: None, master: Ok(None), test: None };
        }
    };
    Survey {
        version: Ok(nginx.version().map(ToOwned::to_owned)),
        features: [Feature::KeepaliveMinTimeout]
            .into_iter()
            .filter(|feature| feature::has(&options.nginx, *feature))
            .collect(),
        no_stream: nginx.need_stream(streams(options)).err(),
        master: nginx.master().map(|master| master.map(|master| (master.pid(), sets_of_old_workers(&master)))),
        test: test.then(|| nginx.test_with(&[], &[])),
    }
}

fn streams(options: &Options) -> Vec<UpstreamName> {
    let streams = options.targets().filter(|target| target.block.context == Context::Stream);
    streams.map(|target| target.options.name.clone()).collect()
}

impl Apply {
    /// What the program that is installed calls its version. Why there is none is told by whoever looks for the master.
    pub fn nginx_version(&self) -> Option<String> {
        Program::find(&self.options.nginx.binary, []).ok()?.build.version
    }
}

/// Each reload leaves as many behind as serve.
fn sets_of_old_workers(master: &Master) -> usize {
    let workers = master.workers();
    workers.leaving.len().div_ceil(workers.serving.len().max(1))
}
