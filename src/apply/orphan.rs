//! Files of upstreams that are not configured any more: they go away as soon as nothing needs them.

use std::path::Path;

use super::plan::Change;
use super::store::{Saved, SavedFile};
use super::tree::read_tree;
use super::{Error, Options, place, targets};
use crate::nginx::{Directive, include_pattern, walk};

/// What has become of one.
#[derive(Debug)]
pub(super) enum Orphan {
    /// Nothing names it, or its upstream is elsewhere, so it may go if the test passes without it.
    Unnamed(Box<Change>),
    /// A site includes it by its own name, or sends requests to its upstream; or somebody has made it theirs.
    Needed,
    /// Somebody has removed it.
    Gone,
}

/// Every file of the generation in place that is no target any more.
pub(super) fn all<'s>(options: &Options, in_place: Option<&'s Saved>) -> Vec<&'s SavedFile> {
    let is_target = |file: &&SavedFile| options.targets().any(|target| target.output == file.target);
    in_place.map(Saved::files).unwrap_or_default().iter().filter(|file| !is_target(file)).collect()
}

/// Looks at one, whose upstream may have another file; `tree` is the whole configuration of NGINX, which begins with `config`.
pub(super) fn judge(
    file: &SavedFile,
    in_place: Option<&Saved>,
    has_moved: bool,
    tree: &[Directive],
    config: &Path,
) -> Result<Orphan, Error> {
    let before = match place::look(&file.upstream, &file.target) {
        Ok(Some(before)) => before,
        Ok(None) => return Ok(Orphan::Gone),
        // Whatever was made of it, it holds up nobody else's file.
        Err(_) => return Ok(Orphan::Needed),
    };
    let is_needed = !has_moved && is_named(file, tree, config);
    if is_needed || !targets::is_ours(in_place, &file.target, &before) {
        return Ok(Orphan::Needed);
    }
    let change = Change::new(file.upstream.clone(), file.target.clone(), None, Some(before));
    Ok(Orphan::Unnamed(Box::new(change)))
}

/// Whether a site would miss it.
pub(super) fn is_needed(file: &SavedFile, config: &Path) -> bool {
    let (tree, _unread) = read_tree(config);
    is_named(file, &tree, config)
}

/// Whether a site would miss it, as far as its text shows; the test knows better, but costs one.
fn is_named(file: &SavedFile, tree: &[Directive], config: &Path) -> bool {
    let mut named = false;
    walk(tree, &mut |directive, _| {
        let is_ours = *directive.file == *file.target;
        named |= if directive.is_include() {
            directive.arguments.first().is_some_and(|argument| include_pattern(argument, config) == file.target)
        } else {
            !is_ours && directive.arguments.iter().any(|argument| names_upstream(argument, file.upstream.as_str()))
        };
    });
    named
}

/// `web`, `http://web`, `grpcs://web/x`, `http://web:80`.
fn names_upstream(argument: &str, upstream: &str) -> bool {
    let host = argument.split_once("://").map_or(argument, |(_, host)| host);
    host.strip_prefix(upstream).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '?', '$']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::nginx::parse;
    use crate::upstream::{Generation, UpstreamName};

    #[test]
    fn a_file_that_a_site_names_is_needed() {
        let file = SavedFile {
            target: "/etc/nginx/conf.d/weir-web.conf".into(),
            upstream: UpstreamName::new("web").unwrap(),
            hash: Some(Digest::of(b"")),
            attributes: None,
            turn: Generation(1),
        };
        let config = Path::new("/etc/nginx/nginx.conf");
        for (text, needed) in [
            ("http { include conf.d/*.conf; }", false),
            ("http { include conf.d/weir-web.conf; }", true),
            ("http { include /etc/nginx/conf.d/weir-web.conf; }", true),
            ("http { server { location / { proxy_pass http://web; } } }", true),
            ("http { server { location / { proxy_pass https://web/shop; } } }", true),
            ("http { server { location / { fastcgi_pass web; } } }", true),
            ("http { server { location / { proxy_pass http://web2; } } }", false),
            ("http { server { location / { proxy_pass http://10.0.0.1; } } }", false),
            ("stream { server { proxy_pass web; } }", true),
        ] {
            let tree = parse(config, text).unwrap();
            assert_eq!(is_named(&file, &tree, config), needed, "{text}");
        }
        let own = parse(&file.target, "upstream web { zone web 64k; }").unwrap();
        assert!(!is_named(&file, &own, config), "its own words");
    }
}
