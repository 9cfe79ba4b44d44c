//! What answers on port 80 of a balancer, and the site that is put there (`ux §5`). Pure: files are [`super::nginx`]'s to look at.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Site;
use crate::nginx::{Directive, Server, in_block, walk};
use crate::upstream::UpstreamName;

/// The site that is shipped.
const SHIPPED: &str = include_str!("../../../etc/site.conf");

/// Port 80 of every address of IPv6.
pub(super) const IPV6: &str = "[::]:80";

/// What Debian puts where its welcome page is.
pub(super) const DEBIAN_PAGE: [&str; 1] = ["index.nginx-debian.html"];

/// What others do.
pub(super) const BUILT_IN_PAGE: [&str; 10] = [
    "404.html",
    "50x.html",
    "en-US",
    "icons",
    "img",
    "index.html",
    "nginx-logo.png",
    "nginx_modules",
    "poweredby.png",
    "system_noindex_logo.png",
];

/// What answers there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Port80 {
    /// Nobody.
    Free,
    /// Only what the distribution ships, untouched.
    Welcome(Welcome),
    /// The distribution's page, which somebody has edited.
    Edited(Welcome),
    /// Sites, by their places.
    Sites(Vec<String>),
    /// The one of an earlier run.
    Ours(Own),
    /// Another program: `apache2 (pid 812)`.
    Program(String),
}

/// The site of an earlier run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Own {
    /// The names that it passes requests to, in its order: upstreams of NGINX's.
    pub(super) passes: Vec<UpstreamName>,
    /// As that run wrote it, for this one; `None` where somebody has edited it.
    pub(super) written: Option<Written>,
}

/// A site that nobody has edited.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) addresses: Vec<String>,
}

impl Own {
    /// From its file and the servers in it.
    pub(super) fn of(text: String, servers: &[&Server<'_>]) -> Self {
        let mut passes: Vec<UpstreamName> = Vec::new();
        let blocks = servers.iter().filter_map(|server| server.directive.block.as_deref());
        blocks.for_each(|block| {
            walk(block, &mut |directive, _| {
                let to = directive.arguments.first().filter(|_| directive.name == "proxy_pass");
                let host = to.and_then(|to| to.strip_prefix("http://")?.split('/').next());
                passes.extend(host.and_then(UpstreamName::new).filter(|name| !passes.contains(name)));
            });
        });
        let addresses: Vec<String> =
            servers.iter().flat_map(|server| &server.addresses).map(|a| (*a).to_owned()).collect();
        let is_as_written = |upstream: &UpstreamName| {
            let fit = Fit { upstream, addresses: &addresses, ipv6: false, min_timeout: false };
            text == fit.text() || text == Fit { min_timeout: true, ..fit }.text()
        };
        let untouched = passes.first().is_some_and(is_as_written);
        Self { written: untouched.then_some(Written { text, addresses }), passes }
    }

    /// Whether requests go to one of these, by its own words; one that names nobody is an operator's to understand.
    pub(super) fn fits(&self, upstreams: &[UpstreamName]) -> bool {
        self.passes.is_empty() || self.passes.iter().any(|name| upstreams.contains(name))
    }
}

/// The distribution's page.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Welcome {
    /// The addresses at which it listens.
    pub(super) addresses: Vec<String>,
    /// The link by which NGINX reads it, where it has to go; otherwise a site before it answers.
    pub(super) link: Option<PathBuf>,
}

impl Welcome {
    /// The addresses of a site in its place: also one of IPv6, where nobody comes by IPv4.
    pub(super) fn reached(&self, ipv6_alone: bool) -> Vec<String> {
        let is_ipv6 = |address: &String| address.starts_with('[');
        let lacks_it = ipv6_alone && !self.addresses.is_empty() && !self.addresses.iter().any(is_ipv6);
        self.addresses.iter().cloned().chain(lacks_it.then(|| IPV6.to_owned())).collect()
    }
}

/// A server on port 80, and what is known of its file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    /// `sites-enabled/shop:3`.
    pub(super) place: String,
    pub(super) addresses: Vec<String>,
    pub(super) is_default: bool,
    pub(super) page: Page,
}

/// Whose a server is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Page {
    Ours(Own),
    /// The distribution's. The link by which NGINX reads it, if it does by one.
    Distribution {
        link: Option<PathBuf>,
        untouched: bool,
    },
    Somebodys,
}

impl Port80 {
    /// From all who answer there.
    pub(super) fn of(seen: &[Seen]) -> Self {
        let is_somebodys = |seen: &&Seen| !matches!(seen.page, Page::Distribution { untouched: true, .. });
        let named = |all: Vec<&Seen>| Self::Sites(all.into_iter().map(|seen| seen.place.clone()).collect());
        // The page beside them is not worth a word.
        let sites = || match seen.iter().filter(is_somebodys).collect::<Vec<_>>() {
            none if none.is_empty() => named(seen.iter().collect()),
            some => named(some),
        };
        let own = seen.iter().find_map(|seen| match &seen.page {
            Page::Ours(own) => Some(own),
            Page::Distribution { .. } | Page::Somebodys => None,
        });
        if let Some(own) = own {
            return Self::Ours(own.clone());
        }
        let mut welcome = Welcome::default();
        let mut all_untouched = true;
        for server in seen {
            let Page::Distribution { link, untouched } = &server.page else { return sites() };
            // One that says that it is the default cannot be passed by, nor be taken away with its file.
            if link.is_none() && server.is_default || welcome.link.is_some() && link.is_some() {
                return sites();
            }
            all_untouched &= untouched;
            welcome.addresses.extend(server.addresses.iter().cloned());
            welcome.link = welcome.link.or_else(|| link.clone());
        }
        match (seen, all_untouched) {
            ([], _) => Self::Free,
            (_, true) => Self::Welcome(welcome),
            (_, false) => Self::Edited(welcome),
        }
    }
}

/// Whether a server does no more than to show what the distribution's package put into its directory: as in the main file of EL and in
/// the `default.conf` of nginx.org's packages.
pub(super) fn is_built_in(server: &Server<'_>) -> bool {
    const HARMLESS: [&str; 8] =
        ["listen", "server_name", "root", "index", "include", "error_page", "access_log", "charset"];
    let block = server.directive.block.as_deref().unwrap_or_default();
    block.iter().all(|directive| match directive.name.as_str() {
        // Where something is included, it may do anything.
        "include" => directive.block.as_ref().is_some_and(Vec::is_empty),
        "location" => {
            let within = directive.block.as_deref().unwrap_or_default();
            within.iter().all(|inner| matches!(inner.name.as_str(), "root" | "index"))
        }
        name => HARMLESS.contains(&name),
    })
}

/// The directory that a server shows: its own, or that of its location `/`.
pub(super) fn root(server: &Server<'_>) -> Option<PathBuf> {
    let block = server.directive.block.as_deref()?;
    let at_top = |directive: &&Directive| {
        directive.name == "location" && directive.arguments.last().is_some_and(|path| path == "/")
    };
    let of_location = || block.iter().find(at_top).and_then(|location| in_block(location.block.as_deref()?, "root"));
    in_block(block, "root").or_else(of_location)?.arguments.first().map(PathBuf::from)
}

/// Whether a directory with these names holds more than the distribution's own `page`.
pub(super) fn is_more_than<'a>(names: impl IntoIterator<Item = &'a str>, page: &[&str]) -> bool {
    names.into_iter().any(|name| !page.contains(&name) && !name.starts_with('.'))
}

/// What is to become of port 80.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    /// A site is put there, in place of this.
    Put(Welcome),
    /// It is there.
    Kept,
    /// It is there as it was written, for an upstream that is no more.
    Renew(Written),
    /// Nothing is touched: somebody writes a site, or has.
    Nothing,
    /// `--site yes`, and it is somebody's.
    Refused(Vec<String>),
}

/// By `--site` and what is there; `upstreams` are those of the configuration.
pub(super) fn wish(site: Site, port80: &Port80, upstreams: &[UpstreamName]) -> Wish {
    match (site, port80) {
        (Site::Auto | Site::Yes, Port80::Ours(own)) if !own.fits(upstreams) => {
            own.written.clone().map_or(Wish::Kept, Wish::Renew)
        }
        (_, Port80::Ours(_)) => Wish::Kept,
        (Site::No, _) => Wish::Nothing,
        (Site::Auto | Site::Yes, Port80::Free) => Wish::Put(Welcome::default()),
        (Site::Auto | Site::Yes, Port80::Welcome(welcome)) | (Site::Yes, Port80::Edited(welcome)) => {
            Wish::Put(welcome.clone())
        }
        (Site::Auto, Port80::Edited(_) | Port80::Sites(_) | Port80::Program(_)) => Wish::Nothing,
        (Site::Yes, Port80::Sites(places)) => Wish::Refused(places.clone()),
        (Site::Yes, Port80::Program(program)) => Wish::Refused(vec![program.clone()]),
    }
}

/// How the shipped site is fitted to this server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fit<'a> {
    pub(super) upstream: &'a UpstreamName,
    /// The addresses of the page whose place it takes.
    pub(super) addresses: &'a [String],
    /// Where nobody was: this server has IPv6.
    pub(super) ipv6: bool,
    /// NGINX knows `keepalive_min_timeout`.
    pub(super) min_timeout: bool,
}

impl Fit<'_> {
    /// The file.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "# Written by weir init: port 80 to the servers of upstream {}, which weir keeps in weir-{}.conf beside this. weir does not\n\
             # touch this file again, it is yours.\n",
            self.upstream, self.upstream
        );
        // The head of the shipped one says how it is copied.
        let body = SHIPPED.split_once("\n\n").map_or(SHIPPED, |(_, body)| body);
        let mut explained = Vec::new();
        for line in body.lines() {
            match line.trim_start() {
                "listen 80;" => text.push_str(&self.listens()),
                "server_name shop.example;" => {}
                "#keepalive_min_timeout 1s;" if self.min_timeout => {
                    text.push_str(
                        "    # A reload cuts off no client that reuses its connection in that instant.\n    keepalive_min_timeout 1s;\n",
                    );
                }
                "#keepalive_min_timeout 1s;" => {}
                comment if comment.starts_with("# A reload cuts off no client") => explained.push(line),
                _ => {
                    // Writing to a String cannot fail.
                    let _ = writeln!(text, "{}", line.replace("http://web;", &format!("http://{};", self.upstream)));
                }
            }
        }
        debug_assert_eq!(explained.len(), 1, "the shipped site explains keepalive_min_timeout in one line");
        squeezed(&text)
    }

    fn listens(&self) -> String {
        let free = if self.ipv6 { &["80", IPV6][..] } else { &["80"] };
        let addresses: Vec<&str> = match self.addresses {
            [] => free.to_vec(),
            some => some.iter().map(String::as_str).collect(),
        };
        addresses.iter().map(|address| format!("    listen {address} default_server;\n")).collect()
    }
}

/// Without two blank lines on end.
fn squeezed(text: &str) -> String {
    let mut out = String::new();
    let mut blank = true;
    for line in text.lines() {
        let is_blank = line.trim().is_empty();
        if !(is_blank && blank) {
            out.push_str(line);
            out.push('\n');
        }
        blank = is_blank;
    }
    out
}

/// Its name beside the upstream's file.
pub(super) fn path(upstream_file: &Path) -> PathBuf {
    upstream_file.with_file_name("weir-site.conf")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::{parse, servers_at};

    fn seen(page: Page, is_default: bool) -> Seen {
        Seen { place: "a:1".to_owned(), addresses: vec!["80".to_owned()], is_default, page }
    }

    fn distribution(link: Option<&str>, untouched: bool) -> Page {
        Page::Distribution { link: link.map(PathBuf::from), untouched }
    }

    fn name(name: &str) -> UpstreamName {
        UpstreamName::new(name).unwrap()
    }

    fn written(upstream: &str) -> Written {
        let addresses = vec!["80".to_owned(), "[::]:80".to_owned()];
        let upstream = name(upstream);
        let fit = Fit { upstream: &upstream, addresses: &addresses, ipv6: false, min_timeout: true };
        Written { text: fit.text(), addresses }
    }

    fn own(upstream: &str, untouched: bool) -> Own {
        Own { passes: vec![name(upstream)], written: untouched.then(|| written(upstream)) }
    }

    #[test]
    fn a_site_of_ours_is_known_by_its_file() {
        let of = |text: &str| {
            let tree = parse(Path::new("/etc/nginx/conf.d/weir-site.conf"), &format!("http {{\n{text}}}")).unwrap();
            let servers = servers_at(&tree, 80);
            Own::of(text.to_owned(), &servers.iter().collect::<Vec<_>>())
        };
        let text = written("shop").text;
        assert_eq!(of(&text), own("shop", true));
        let edited = text.replace("proxy_read_timeout 10s;", "proxy_read_timeout 60s;");
        assert_eq!(of(&edited), own("shop", false));
        assert!(!own("shop", true).fits(&[name("web")]) && own("shop", true).fits(&[name("web"), name("shop")]));
        let else_where = of("server { listen 80; location / { proxy_pass http://127.0.0.1:8080; } }");
        assert!(else_where.passes.is_empty() && else_where.fits(&[name("web")]));
    }

    #[test]
    fn port_80_is_whoever_answers_there() {
        let link = Some("/etc/nginx/sites-enabled/default");
        let welcome = |link: Option<&str>| Welcome { addresses: vec!["80".to_owned()], link: link.map(PathBuf::from) };
        let sites = || Port80::Sites(vec!["a:1".to_owned()]);
        for (all, wanted) in [
            (vec![], Port80::Free),
            (vec![seen(distribution(link, true), true)], Port80::Welcome(welcome(link))),
            (vec![seen(distribution(None, true), false)], Port80::Welcome(welcome(None))),
            (vec![seen(distribution(None, true), true)], sites()),
            (vec![seen(distribution(link, false), true)], Port80::Edited(welcome(link))),
            (vec![seen(Page::Somebodys, false)], sites()),
            (
                vec![seen(Page::Ours(own("web", true)), true), seen(Page::Somebodys, false)],
                Port80::Ours(own("web", true)),
            ),
        ] {
            assert_eq!(Port80::of(&all), wanted, "{all:?}");
        }
        let both = [seen(distribution(link, true), true), seen(Page::Somebodys, false)];
        assert_eq!(Port80::of(&both), sites(), "the page beside a site is not named");
    }

    #[test]
    fn nothing_of_somebodys_is_touched() {
        let (free, edited) = (Port80::Free, Port80::Edited(Welcome::default()));
        let sites = Port80::Sites(vec!["shop:3".to_owned()]);
        let program = Port80::Program("apache2 (pid 8)".to_owned());
        let put = Wish::Put(Welcome::default());
        let (kept, stale) = (Port80::Ours(own("web", true)), Port80::Ours(own("shop", true)));
        for (site, port80, wanted) in [
            (Site::Auto, &free, put.clone()),
            (Site::Auto, &Port80::Welcome(Welcome::default()), put.clone()),
            (Site::Auto, &edited, Wish::Nothing),
            (Site::Auto, &sites, Wish::Nothing),
            (Site::Auto, &program, Wish::Nothing),
            (Site::Auto, &kept, Wish::Kept),
            (Site::Auto, &stale, Wish::Renew(written("shop"))),
            (Site::Yes, &stale, Wish::Renew(written("shop"))),
            (Site::Auto, &Port80::Ours(own("shop", false)), Wish::Kept),
            (Site::No, &stale, Wish::Kept),
            (Site::Yes, &edited, put.clone()),
            (Site::Yes, &sites, Wish::Refused(vec!["shop:3".to_owned()])),
            (Site::Yes, &program, Wish::Refused(vec!["apache2 (pid 8)".to_owned()])),
            (Site::No, &free, Wish::Nothing),
            (Site::No, &kept, Wish::Kept),
        ] {
            assert_eq!(wish(site, port80, &[name("web")]), wanted, "{site:?} {port80:?}");
        }
    }

    #[test]
    fn the_page_of_a_distribution_is_known_by_what_it_does() {
        let built_in = |text: &str| {
            let tree = parse(Path::new("/etc/nginx/nginx.conf"), &format!("http {{ {text} }}")).unwrap();
            let servers = servers_at(&tree, 80);
            (is_built_in(&servers[0]), root(&servers[0]))
        };
        let el = "server { listen 80; listen [::]:80; server_name _; root /usr/share/nginx/html;\n\
            error_page 404 /404.html; location = /404.html { } error_page 500 /50x.html; location = /50x.html { } }";
        assert_eq!(built_in(el), (true, Some("/usr/share/nginx/html".into())));
        let org = "server { listen 80; server_name localhost; location / { root /usr/share/nginx/html; index index.html; }\n\
            error_page 500 /50x.html; location = /50x.html { root /usr/share/nginx/html; } }";
        assert_eq!(built_in(org), (true, Some("/usr/share/nginx/html".into())));
        let edited = "server { listen 80; location / { proxy_pass http://127.0.0.1:8080; } }";
        assert_eq!(built_in(edited), (false, None));
        let php = "server { listen 80; root /srv; location ~ \\.php$ { fastcgi_pass unix:/run/php; } }";
        assert!(!built_in(php).0);
        assert!(!is_more_than(["index.nginx-debian.html", ".well-known"], &DEBIAN_PAGE));
        assert!(is_more_than(["index.nginx-debian.html", "index.html"], &DEBIAN_PAGE));
        assert!(!is_more_than(["index.html", "404.html"], &BUILT_IN_PAGE));
        assert!(is_more_than(["index.html", "shop"], &BUILT_IN_PAGE));
    }

    #[test]
    fn the_shipped_site_is_fitted_to_this_server() {
        let upstream = UpstreamName::new("shop").unwrap();
        let addresses = ["80".to_owned(), "[::]:80".to_owned()];
        let fit = Fit { upstream: &upstream, addresses: &addresses, ipv6: false, min_timeout: true };
        let text = fit.text();
        let tree = parse(Path::new("/etc/nginx/conf.d/weir-site.conf"), &format!("http {{\n{text}}}")).unwrap();
        let servers = servers_at(&tree, 80);
        assert_eq!(
            (servers.len(), servers[0].is_default, &servers[0].addresses[..]),
            (1, true, &["80", "[::]:80"][..])
        );
        let block = servers[0].directive.block.as_deref().unwrap();
        assert!(in_block(block, "server_name").is_none() && in_block(block, "keepalive_min_timeout").is_some());
        assert!(text.contains("proxy_pass http://shop;") && text.contains("proxy_read_timeout 10s;"), "{text}");
        let plain = Fit { addresses: &[], min_timeout: false, ..fit.clone() }.text();
        assert!(!plain.contains("keepalive_min_timeout") && !plain.contains("\n\n\n"), "{plain}");
        assert_eq!(plain.matches("listen 80 default_server;").count(), 1, "{plain}");
        let reached = |addresses: &[&str], ipv6_alone| {
            let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
            Welcome { addresses, link: None }.reached(ipv6_alone).join(" ")
        };
        assert_eq!((reached(&["80"], false), reached(&["80"], true)), ("80".to_owned(), "80 [::]:80".to_owned()));
        assert_eq!((reached(&["80", "[::]:80"], true), reached(&[], true)), ("80 [::]:80".to_owned(), String::new()));
        assert!(Fit { addresses: &[], ipv6: true, ..fit }.text().contains("listen [::]:80 default_server;"));
    }
}
