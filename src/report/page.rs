//! The page, and the same for a repository, as plain values; `templates/report.html` and `templates/report.md` set them.

use std::collections::HashSet;

use askama::Template;

use super::cost::cost_table;
use super::failures::{Cause, causes};
use super::provenance::{Fact, facts, provenance};
use super::run_list::{RunList, run_list};
use super::verdict::{Verdict, verdicts};
use crate::figure::{Figure, Made, Picture};
use crate::frame::{Analysis, Finding, MainTable, REFERENCE, Record, RunId, Study, Table};

#[derive(Template)]
#[template(path = "report.html")]
pub struct Page<'a> {
    content: &'a Content,
    views: Vec<View<'a>>,
    comparisons: Table,
    settings: Table,
    runs: RunList,
}

#[derive(Template)]
#[template(path = "report.md")]
pub struct Markdown<'a> {
    content: &'a Content,
}

/// What both show.
pub struct Content {
    name: String,
    question: Option<String>,
    verdicts: Vec<Verdict>,
    warnings: Vec<String>,
    counts: Vec<Count>,
    facts: Vec<Fact>,
    tables: Tables,
    figures: Vec<Drawn>,
    cost: Table,
    failures: Vec<Cause>,
    provenance: Vec<Fact>,
}

pub struct Tables {
    pub main: MainTable,
    pub comparisons: Table,
    /// Over tasks, where a line has two or more.
    pub overall: Option<Table>,
    /// Published numbers beside ours, where the study asks for them.
    pub published: Option<Table>,
    pub settings: Table,
}

struct Count {
    /// Class in the style sheet.
    kind: &'static str,
    number: usize,
    word: &'static str,
}

struct Drawn {
    name: &'static str,
    title: &'static str,
    drawn: Result<Picture, String>,
}

/// One way to look at the main table.
struct View<'a> {
    name: String,
    table: &'a Table,
}

/// Rows of a table that a page bears, and verdicts that stand open on it.
const MOST_ROWS: usize = 400;
const MOST_VERDICTS: usize = 24;
/// Bytes of a figure's CSV that the page carries along.
const MOST_CSV: usize = 200 << 10;

impl Content {
    /// `records` in the order of the plan, each run once.
    pub fn of(
        study: &Study,
        records: &[Record],
        analysis: &Analysis,
        tables: Tables,
        figures: Vec<(&'static Figure, Made)>,
    ) -> Content {
        let figures = figures.into_iter().map(|(figure, made)| Drawn {
            name: figure.name,
            title: figure.title,
            drawn: match made {
                Made::Picture(picture) => Ok(picture),
                Made::Skipped(reason) => Err(reason),
            },
        });
        Content {
            name: study.name.clone(),
            question: study.question.clone(),
            verdicts: verdicts(analysis),
            warnings: [&study.warnings[..], &analysis.warnings].concat(),
            counts: counts(study, records, analysis),
            facts: facts(study, records),
            tables,
            figures: figures.collect(),
            cost: cost_table(records),
            failures: causes(records),
            provenance: provenance(records),
        }
    }

    fn found(&self, finding: Finding) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.finding == finding).count()
    }

    /// `Against vanilla: 2 better, 1 worse, 5 that cannot be told`.
    fn summary(&self) -> String {
        let counts = [(Finding::Better, "better"), (Finding::Worse, "worse"), (Finding::Open, "that cannot be told")];
        let said = counts.iter().map(|(finding, word)| (self.found(*finding), word)).filter(|(n, _)| *n > 0);
        let said: Vec<String> = said.map(|(n, word)| format!("{n} {word}")).collect();
        format!("Against {REFERENCE}: {}", said.join(", "))
    }

    fn first_verdicts(&self) -> &[Verdict] {
        &self.verdicts[..self.verdicts.len().min(MOST_VERDICTS)]
    }

    fn other_verdicts(&self) -> &[Verdict] {
        let rest = &self.verdicts[self.first_verdicts().len()..];
        &rest[..rest.len().min(MOST_ROWS)]
    }
}

impl Page<'_> {
    pub fn of<'a>(content: &'a Content, study: &Study, records: &[Record], analysis: &Analysis) -> Page<'a> {
        let main = &content.tables.main;
        let mut views = vec![
            View { name: "Mean".to_owned(), table: &main.scores },
            View { name: "Median".to_owned(), table: &main.medians },
            View { name: "Best seed".to_owned(), table: &main.maxima },
        ];
        views.extend(main.differences.as_ref().map(|table| View { name: format!("Difference to {REFERENCE}"), table }));
        Page {
            content,
            views,
            comparisons: first_rows(&content.tables.comparisons, "tables/comparisons.csv"),
            settings: first_rows(&content.tables.settings, "tables/settings.csv"),
            runs: run_list(study, records, &analysis.spared),
        }
    }
}

impl<'a> Markdown<'a> {
    pub fn of(content: &'a Content) -> Markdown<'a> {
        Markdown { content }
    }
}

impl Drawn {
    /// The CSV as a link that needs no other file; `None` where it would weigh too much.
    fn data_link(&self) -> Option<String> {
        let picture = self.drawn.as_ref().ok()?;
        (picture.csv.len() <= MOST_CSV)
            .then(|| format!("data:text/csv;charset=utf-8,{}", percent_encoded(&picture.csv)))
    }
}

/// The text as the rest of a data URI.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 5 / 4);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b',' | b'=' => out.push(byte.into()),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// As much of a table as a page bears, and where the rest is.
fn first_rows(table: &Table, file: &str) -> Table {
    let mut first = table.clone();
    if table.rows.len() > MOST_ROWS {
        first.rows.truncate(MOST_ROWS);
        first.notes.push(format!("The first {MOST_ROWS} of {} rows; all are in {file}.", table.rows.len()));
    }
    first
}

fn counts(study: &Study, records: &[Record], analysis: &Analysis) -> Vec<Count> {
    let done = records.iter().filter(|r| r.outcome().is_some()).count();
    let failed = records.iter().filter(|r| r.failure().is_some()).count();
    let stopped = records.len() - done - failed;
    let known: HashSet<&RunId> = records.iter().map(|r| &r.id).collect();
    let (spared, waiting): (Vec<&RunId>, Vec<&RunId>) = study
        .planned
        .iter()
        .map(|(id, _)| id)
        .filter(|id| !known.contains(id))
        .partition(|id| analysis.spared.contains(id));
    let mut counts = vec![
        Count { kind: "planned", number: study.planned.len(), word: "runs planned" },
        Count { kind: "done", number: done, word: "done" },
        Count { kind: if failed > 0 { "failed" } else { "none" }, number: failed, word: "failed" },
    ];
    // Most sweeps have no rule that ends work early.
    let early = [(stopped, "stopped early"), (spared.len(), "not needed (decided)")];
    counts.extend(early.into_iter().filter(|(n, _)| *n > 0).map(|(number, word)| Count {
        kind: "early",
        number,
        word,
    }));
    counts.push(Count { kind: "waiting", number: waiting.len(), word: "not yet run" });
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_link_holds_any_text() {
        assert_eq!(percent_encoded("a b,1\n\"ä\""), "a%20b,1%0A%22%C3%A4%22");
    }

    #[test]
    fn long_tables_say_where_the_rest_is() {
        let table = Table { rows: vec![vec!["x".to_owned().into()]; MOST_ROWS + 1], ..Table::default() };
        let first = first_rows(&table, "tables/x.csv");
        assert_eq!(
            (first.rows.len(), &*first.notes[0]),
            (MOST_ROWS, "The first 400 of 401 rows; all are in tables/x.csv.")
        );
        assert_eq!(first_rows(&first, "").rows, first.rows);
    }
}
