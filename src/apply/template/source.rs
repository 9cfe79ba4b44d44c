//! The template itself: root's, read and filled on this side.

use crate::apply::Error;
use crate::apply::trust::trust;
use crate::config;
use crate::file;
use crate::template::{self, Data, MAX_SOURCE_BYTES, Mistake, Why};

/// Reads it. If we are root, nobody else may be able to write it or put another in its place.
pub(super) fn read(template: &config::Template) -> Result<String, Error> {
    let path = &template.source;
    trust(path)?;
    let bytes = file::read(path, MAX_SOURCE_BYTES).map_err(Error::read(path))?;
    String::from_utf8(bytes).map_err(|_| mistake(template, Mistake { line: None, why: Why::Encoding }))
}

/// Fills it, on a thread with room for whatever it nests.
pub(super) fn render(template: &config::Template, source: &str, data: Data) -> Result<String, Error> {
    let own = source.to_owned();
    let thread = std::thread::Builder::new().name("template".to_owned()).stack_size(template::stack_bytes(own.len()));
    let rendered = thread.spawn(move || template::render(&own, &data)).map_err(Error::read(&template.source))?.join();
    let broke_off = || Mistake { line: None, why: Why::Other("the template engine broke off".to_owned()) };
    rendered.unwrap_or_else(|_| Err(broke_off())).map_err(|error| mistake(template, error))
}

fn mistake(template: &config::Template, mistake: Mistake) -> Error {
    Error::Template { template: template.name.clone(), source: template.source.clone(), mistake }
}
