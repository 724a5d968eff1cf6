//! `reports/<sweep>/`: tables, figures and one page that shows them, from a study. The same study gives the same bytes.

mod cost;
mod failures;
mod log_tail;
mod macros;
mod page;
mod provenance;
mod run_list;
mod verdict;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use askama::Template;

pub use crate::frame::Study;
pub use cost::cell_cost_table;

use crate::figure::{Data, FIGURES, Made, Picture};
use crate::frame::{
    Table, analyse, comparisons_csv, comparisons_table, csv_bytes, main_table, overall_table, published_table, replace,
    settings_table,
};

/// What a report left, all inside its folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The page to open.
    pub index: PathBuf,
    /// Every file, the page last.
    pub files: Vec<PathBuf>,
    /// Figures that could not be drawn: name and reason.
    pub skipped: Vec<(String, String)>,
}

/// Writes `index.html`, `report.md`, `tables/{main,comparisons,settings}.{md,tex,csv}`, `tables/macros.tex`, where they
/// have rows `tables/{overall,published}.{md,tex}`, and `figures/<name>.{svg,png,pdf,csv}` under `out`. A study without a
/// finished run still makes a page. Errors are those of the file system.
pub fn write(study: &Study, out: &Path) -> Result<Written> {
    let records = study.records_in_order();
    let analysis = analyse(study)?;
    let (main, settings) = (main_table(&analysis)?, settings_table(&analysis.cells));
    // Lists have no place in CSV; the runs themselves stand in the results.
    let flat = analysis.summary.drop_many(["seeds", "scores", "ids"]);
    let mut files = Vec::new();
    let mut put = |path: PathBuf, bytes: &[u8]| -> Result<()> {
        replace(&path, bytes)?;
        files.push(path);
        Ok(())
    };
    let tables = out.join("tables");
    let differences = main.differences.as_ref();
    let below = |text: String| if text.is_empty() { text } else { format!("\n{text}") };
    let with_differences =
        |text: fn(&Table) -> String| text(&main.scores) + &below(differences.map(text).unwrap_or_default());
    put(tables.join("main.md"), with_differences(Table::markdown).as_bytes())?;
    put(tables.join("main.tex"), with_differences(Table::latex).as_bytes())?;
    put(tables.join("main.csv"), main.csv.as_bytes())?;
    put(tables.join("macros.tex"), macros::macros(&main.csv)?.as_bytes())?;
    put(tables.join("settings.md"), settings.markdown().as_bytes())?;
    put(tables.join("settings.tex"), settings.latex().as_bytes())?;
    put(tables.join("settings.csv"), &csv_bytes(&flat)?)?;
    let comparisons = comparisons_table(&analysis);
    put(tables.join("comparisons.md"), comparisons.markdown().as_bytes())?;
    put(tables.join("comparisons.tex"), comparisons.latex().as_bytes())?;
    put(tables.join("comparisons.csv"), comparisons_csv(&analysis)?.as_bytes())?;
    let overall = Some(overall_table(&analysis)).filter(|t| !t.rows.is_empty());
    let published = published_table(study, &analysis).filter(|t| !t.rows.is_empty());
    for (name, table) in [("overall", &overall), ("published", &published)] {
        let Some(table) = table else { continue };
        put(tables.join(format!("{name}.md")), table.markdown().as_bytes())?;
        put(tables.join(format!("{name}.tex")), table.latex().as_bytes())?;
    }

    let folder = out.join("figures");
    let data = Data::with(study, &records, analysis.cells.clone());
    let (mut drawn, mut skipped) = (Vec::new(), Vec::new());
    for figure in FIGURES {
        let made = (figure.make)(&data).with_context(|| format!("the figure {}", figure.name))?;
        match &made {
            Made::Picture(picture) => {
                picture.write(&folder, figure.name)?;
                files.extend(Picture::ENDINGS.map(|end| folder.join(format!("{}.{end}", figure.name))));
            }
            Made::Skipped(reason) => {
                remove_stale(&folder, figure.name)?;
                skipped.push((figure.name.to_owned(), reason.clone()));
            }
        }
        drawn.push((figure, made));
    }
    let tables = page::Tables { main, comparisons, overall, published, settings };
    let content = page::Content::of(study, &records, &analysis, tables, drawn);
    let mut put = |name: &str, text: String| -> Result<PathBuf> {
        let path = out.join(name);
        replace(&path, text.as_bytes())?;
        files.push(path.clone());
        Ok(path)
    };
    put("report.md", page::Markdown::of(&content).render().context("the report in Markdown")?)?;
    let page = page::Page::of(&content, study, &records, &analysis);
    let index = put("index.html", page.render().context("the page of the report")?)?;
    Ok(Written { index, files, skipped })
}

/// A picture of an earlier report must not stand beside a page that says there is none.
fn remove_stale(folder: &Path, name: &str) -> Result<()> {
    for end in Picture::ENDINGS {
        let path = folder.join(format!("{name}.{end}"));
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;
    use crate::frame::example;

    fn page(study: &Study) -> (tempfile::TempDir, Written, String) {
        let folder = tempfile::tempdir().unwrap();
        let written = write(study, &folder.path().join("reports/x")).unwrap();
        let html = fs::read_to_string(&written.index).unwrap();
        (folder, written, html)
    }

    #[test]
    fn a_whole_sweep_makes_every_file_twice_the_same() {
        let study = example::good(3, 2, &[Some(100), None]);
        let (_one, first, html) = page(&study);
        let (_two, second, _) = page(&study);
        assert_eq!(first.files.len(), 12 + 4 * (FIGURES.len() - first.skipped.len()) + 2);
        for (a, b) in first.files.iter().zip(&second.files) {
            assert_eq!(fs::read(a).unwrap(), fs::read(b).unwrap(), "{}", a.display());
        }
        assert_eq!(html.matches("<svg").count(), FIGURES.len() - first.skipped.len());
        assert!(FIGURES.len() - first.skipped.len() >= 5);
        for link in ["tables/main.tex", "figures/overlap.png", "figures/low-resource.csv", "figures/reserve-rate.svg"] {
            assert!(html.contains(&format!("href=\"{link}\"")), "{link}");
        }
        for remote in [" src=", "href=\"http", "href=\"//", "url(", "@import"] {
            assert!(!html.contains(remote), "the page loads something else: {remote}");
        }
    }

    #[test]
    fn the_order_of_records_does_not_matter() {
        let study = example::good(2, 2, &[None]);
        let mut turned = study.clone();
        turned.records.reverse();
        let (_one, _, a) = page(&study);
        let (_two, _, b) = page(&turned);
        assert!(a == b);
    }

    #[test]
    fn names_and_messages_are_escaped_and_failures_told() {
        let (_folder, written, html) = page(&example::nasty());
        assert!(!html.contains("<script>alert") && !html.contains("<b>&\"rte"), "raw names in the page");
        for told in ["out of memory", "data/x.tsv:3: 2 fields, 3 expected", "not yet run", "is &#60;stale&#62;"] {
            assert!(html.contains(told), "{told}");
        }
        assert!(written.skipped.iter().any(|(name, _)| name == "low-resource"));
        let tex = fs::read_to_string(written.index.with_file_name("tables").join("main.tex")).unwrap();
        assert!(tex.contains("rte\\_1") && tex.contains("vanilla\\_\\textbar{}x\\$"), "{tex}");
    }

    #[test]
    fn nothing_recorded_still_makes_a_page() {
        let (_folder, written, html) = page(&Study { name: "empty".into(), ..Study::default() });
        assert_eq!(written.skipped.len(), FIGURES.len());
        assert!(html.contains("no run that it needs has finished") && html.contains("<b>0</b> runs planned"), "{html}");
    }

    #[test]
    fn a_picture_that_is_no_longer_drawn_is_removed() {
        let (folder, _, _) = page(&example::good(2, 1, &[Some(100), None]));
        let out = folder.path().join("reports/x");
        assert!(out.join("figures/low-resource.png").exists());
        write(&example::good(2, 1, &[None]), &out).unwrap();
        assert!(!out.join("figures/low-resource.png").exists() && out.join("figures/overlap.png").exists());
    }
}
