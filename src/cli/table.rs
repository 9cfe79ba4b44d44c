//! Tables as text: columns padded with two blanks between, the last one as it comes.

use crate::escape::escape;

/// A table of peers' values; every cell is escaped when it is added.
#[derive(Debug, Default)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// How a table is laid out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Layout {
    /// Whether the first line names the columns.
    pub(crate) header: bool,
    /// Longest line, in characters; the last column is cut with `…` to fit. `None` cuts nothing.
    pub(crate) width: Option<usize>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it should have one cell for each column.
    pub(crate) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(|cell| escape(cell.as_ref()).into_owned()).collect());
    }

    /// The table as lines. `paint` may add colour to a cell, given its column and text; padding is counted without it.
    pub(crate) fn render(&self, layout: Layout, paint: impl Fn(usize, &str) -> String) -> String {
        let titles: Vec<String> = self.header.iter().map(ToString::to_string).collect();
        let shown = || layout.header.then_some(&titles).into_iter().chain(&self.rows);
        let columns = shown().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> =
            (0..columns).map(|i| shown().filter_map(|row| row.get(i)).map(|c| length(c)).max().unwrap_or(0)).collect();
        let mut out = String::new();
        for (number, row) in shown().enumerate() {
            let is_title = layout.header && number == 0;
            out.push_str(&line(row, &widths, layout.width, |column, text| {
                if is_title { text.to_owned() } else { paint(column, text) }
            }));
            out.push('\n');
        }
        out
    }
}

/// One line: cells padded to `widths`, no blanks at its end.
fn line(row: &[String], widths: &[usize], limit: Option<usize>, paint: impl Fn(usize, &str) -> String) -> String {
    let mut out = String::new();
    let mut used = 0;
    let mut owed = 0; // blanks that are written only if something follows them
    for (column, cell) in row.iter().enumerate() {
        let last = column + 1 == row.len();
        let cell = match limit {
            Some(limit) if last => cut(cell, limit.saturating_sub(used + owed)),
            _ => cell.clone(),
        };
        if !cell.is_empty() {
            out.extend(std::iter::repeat_n(' ', owed));
            used += owed + length(&cell);
            owed = 0;
            out.push_str(&paint(column, &cell));
        }
        owed += widths[column] - length(&cell).min(widths[column]) + 2;
    }
    out
}

/// `text` in at most `width` characters, its cut end marked. Narrower than eight it would say nothing, so it stays.
fn cut(text: &str, width: usize) -> String {
    if length(text) <= width || width < 8 {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&["NAME", "STATUS", "TAGS"]);
        table.row(["a\tb", "alive", "role=web port=8080"]);
        table.row(["lb1", "failed", ""]);
        table
    }

    #[test]
    fn columns_align_and_lines_end_without_blanks() {
        let text = sample().render(Layout { header: true, width: None }, |_, text| text.to_owned());
        assert_eq!(text, "NAME  STATUS  TAGS\na\\tb  alive   role=web port=8080\nlb1   failed\n");
    }

    #[test]
    fn only_the_last_column_is_cut_to_the_width() {
        let text = sample().render(Layout { header: false, width: Some(24) }, |_, text| text.to_owned());
        assert_eq!(text, "a\\tb  alive   role=web …\nlb1   failed\n");
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let text = sample().render(
            Layout::default(),
            |column, text| {
                if column == 1 { format!("<{text}>") } else { text.to_owned() }
            },
        );
        assert_eq!(text, "a\\tb  <alive>   role=web port=8080\nlb1   <failed>\n");
    }
}
