//! Columns of text for a terminal, however narrow it is.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::frame::{Entry, Table};

/// Between two columns.
const GAP: usize = 2;
/// What a column is cut to at most, where it alone is wider than the terminal; less cannot be read.
const LEAST: usize = 8;

pub struct Column {
    pub name: String,
    /// Set right, as numbers are.
    pub right: bool,
    pub cells: Vec<String>,
}

/// The columns side by side, each entry on a line of its own. Columns that do not fit into `width` characters follow
/// below as a block of their own, which repeats the first `headings` columns; what is wider alone is cut, with `…`.
pub fn lay_out(columns: &[Column], headings: usize, width: Option<usize>) -> String {
    let rows = columns.iter().map(|c| c.cells.len()).max().unwrap_or(0);
    let widths: Vec<usize> = columns
        .iter()
        .map(|c| c.cells.iter().map(|cell| cell.width()).chain([c.name.width()]).max().unwrap_or(0))
        .collect();
    let most = width.map_or(usize::MAX, |width| width.max(LEAST));
    // Headings are repeated as far as half the terminal holds them, and the first one always.
    let half = |end: &usize| widths[..*end].iter().map(|w| w + GAP).sum::<usize>() <= most / 2;
    let headings = (1..=headings.min(columns.len())).take_while(half).last().unwrap_or(headings.min(1));
    let (heads, others): (Vec<usize>, Vec<usize>) = (0..columns.len()).partition(|i| *i < headings);
    let share = if others.is_empty() { most } else { (most / 2).saturating_sub(GAP).max(LEAST) };
    let head_width: usize = heads.iter().map(|i| widths[*i].min(share) + GAP).sum();
    let room = most.saturating_sub(head_width).max(LEAST);
    let own = |i: usize| widths[i].min(if i < headings { share } else { room });

    let mut blocks: Vec<Vec<usize>> = Vec::new();
    let mut used = 0;
    for i in others {
        match blocks.last_mut() {
            Some(block) if used + GAP + own(i) <= room => {
                block.push(i);
                used += GAP + own(i);
            }
            _ => {
                blocks.push(vec![i]);
                used = own(i);
            }
        }
    }
    if blocks.is_empty() {
        blocks.push(Vec::new());
    }
    let line = |block: &[usize], text: &dyn Fn(&Column) -> &str| {
        let shown = heads.iter().chain(block);
        let cells: Vec<String> = shown.map(|&i| padded(text(&columns[i]), own(i), columns[i].right)).collect();
        cells.join(&" ".repeat(GAP)).trim_end().to_owned() + "\n"
    };
    let block = |block: &Vec<usize>| {
        let mut out = line(block, &|c| c.name.as_str());
        let rule: Vec<String> = heads.iter().chain(block).map(|&i| "─".repeat(own(i))).collect();
        out += &(rule.join(&" ".repeat(GAP)) + "\n");
        for row in 0..rows {
            out += &line(block, &|c| c.cells.get(row).map_or("", String::as_str));
        }
        out
    };
    blocks.iter().map(block).collect::<Vec<_>>().join("\n")
}

/// A table for people: the best entries have a star, the notes follow as paragraphs.
pub fn table_text(table: &Table) -> String {
    let width = terminal_width();
    let cell = |entry: &Entry| {
        let text = if entry.best { format!("{}*", entry.text) } else { entry.text.clone() };
        if entry.aside.is_empty() { text } else { format!("{text} ({})", entry.aside) }
    };
    let column = |(i, name): (usize, &String)| Column {
        name: name.clone(),
        right: i >= table.headings,
        cells: table.rows.iter().map(|row| row.get(i).map_or_else(String::new, cell)).collect(),
    };
    let columns: Vec<Column> = table.columns.iter().enumerate().map(column).collect();
    let starred = table.rows.iter().flatten().any(|entry| entry.best);
    let star = starred.then(|| "A star stands for bold.".to_owned());
    let notes = table.notes.iter().chain(&star).map(|note| format!("\n{}", wrapped(note, width)));
    lay_out(&columns, table.headings, width) + &notes.collect::<String>()
}

/// A paragraph broken between words.
pub fn wrapped(text: &str, width: Option<usize>) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        if used > 0 && width.is_some_and(|width| used + 1 + word.width() > width) {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out += word;
        used += word.width();
    }
    out + "\n"
}

/// The text in exactly so many columns of the terminal.
fn padded(text: &str, width: usize, right: bool) -> String {
    let text = if text.width() > width { cut(text, width) } else { text.to_owned() };
    let space = " ".repeat(width.saturating_sub(text.width()));
    if right { space + &text } else { text + &space }
}

fn cut(text: &str, width: usize) -> String {
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept + "…"
}

/// How wide the terminal is: as it says itself, else as the environment says; `None` where the output goes elsewhere.
pub fn terminal_width() -> Option<usize> {
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    comfy_table::Table::new().width().map(usize::from).or_else(told).filter(|width| *width > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(name: &str, right: bool, cells: &[&str]) -> Column {
        Column { name: name.into(), right, cells: cells.iter().map(|c| (*c).to_owned()).collect() }
    }

    #[test]
    fn columns_that_do_not_fit_follow_below() {
        let columns = [
            column("mode", false, &["vanilla", "child-d"]),
            column("rte", true, &["6", "64.2"]),
            column("cola", true, &["7", "8"]),
        ];
        assert_eq!(
            lay_out(&columns, 1, None),
            "mode      rte  cola\n───────  ────  ────\nvanilla     6     7\nchild-d  64.2     8\n"
        );
        assert_eq!(
            lay_out(&columns, 1, Some(16)),
            "mode      rte\n───────  ────\nvanilla     6\nchild-d  64.2\n\nmode     cola\n───────  ────\nvanilla     7\n\
             child-d     8\n"
        );
    }

    #[test]
    fn wide_letters_count_twice_and_are_cut_whole() {
        assert_eq!(padded("実験実験", 5, false), "実験…");
        assert_eq!(padded("実験実験", 4, false), "実… ");
        assert_eq!(lay_out(&[], 0, Some(10)), "\n\n");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            cells in prop::collection::vec("[a-zé実 ]{0,40}", 1..6), headings in 0usize..3, width in 20usize..90
        ) {
            let columns: Vec<Column> = cells.iter().map(|cell| column("name", false, &[cell])).collect();
            for line in lay_out(&columns, headings.min(cells.len()), Some(width)).lines() {
                prop_assert!(line.width() <= width, "{line:?} in {width}");
            }
        }
    }
}
