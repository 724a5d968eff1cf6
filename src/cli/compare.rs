//! `sweep compare A B`: what got better, what got worse, and what cannot be told, paired by seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::answer::{Format, write_out};
use super::layout::table_text;
use super::recorded::Recorded;
use super::{Exit, Refusal, complain, study};
use crate::frame::{Cell, Entry, Match, Table, Verdict, Versus, points, short, study_cells, versus};
use crate::record::store::Select;
use crate::spec::fault::suggestion;
use crate::stats::{LEVEL, least_p};

/// How many settings without a counterpart are named; of more, only the number.
const NAMED: usize = 6;

#[derive(clap::Args)]
pub struct Arguments {
    /// The first side: a sweep file, the name of a sweep in the results folder, or SWEEP@COMMIT
    a: String,
    /// The second side, which is judged against the first
    #[arg(required_unless_present = "modes", conflicts_with = "modes")]
    b: Option<String>,
    /// Two modes of one sweep instead: the second is judged against the first
    #[arg(long, value_name = "FIRST,SECOND")]
    modes: Option<String>,
    /// How to answer
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Where records lie [default: ./results]
    #[arg(long, env = "SWEEP_RESULTS", value_name = "DIR")]
    results: Option<PathBuf>,
    /// Where records of the second side lie, if elsewhere: a folder kept from an older commit, or another machine's
    #[arg(long, value_name = "DIR", conflicts_with = "modes")]
    results_b: Option<PathBuf>,
}

/// One side, with the name that people gave it.
struct Side {
    name: String,
    cells: Vec<Cell>,
    /// Whether its scores are those of the whole dev set, or of a half.
    select: Select,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let results = arguments.results.as_deref();
    let sides = match (&arguments.modes, &arguments.b) {
        (Some(modes), _) => two_modes(&arguments.a, modes, results)?,
        (None, second) => {
            let other = arguments.results_b.as_deref().or(results);
            let second = second.as_deref().unwrap_or(&arguments.a);
            if arguments.a == second && arguments.results_b.is_none() {
                let say = "both sides are the same records; name two sweeps, two commits (SWEEP@COMMIT), two modes \
                           (--modes), or the second one's folder (--results-b)";
                return Err(Refusal(say.to_owned()).into());
            }
            [one_side(&arguments.a, results)?, one_side(second, other)?]
        }
    };
    let found = versus(&sides[0].cells, &sides[1].cells);
    let names = sides.each_ref().map(|side| side.name.as_str());
    if found.matches.is_empty() {
        return Err(Refusal(nothing_in_common(names, &sides, &found)).into());
    }
    if sides.iter().any(|side| side.select == Select::Half) {
        complain("note: scores of a sweep with select = \"half\" are those of the half of dev that is reported");
    }
    write_out(&match arguments.format {
        Format::Table => table_text(&table(names, &found)),
        Format::Markdown => table(names, &found).markdown(),
        Format::Json => serde_json::to_string_pretty(&Answer::of(names, &found))? + "\n",
        Format::Csv => csv(&found)?,
    })?;
    Ok(Exit::Done)
}

/// A sweep, or those of its records that a commit made.
fn one_side(written: &str, results: Option<&Path>) -> Result<Side> {
    // A path may hold an @ of its own.
    let (sweep, commit) = match written.rsplit_once('@') {
        Some((sweep, commit)) if !Path::new(written).is_file() => (sweep, Some(commit)),
        _ => (written, None),
    };
    let Recorded { store, manifest, .. } = Recorded::open(Path::new(sweep), results, None)?;
    let mut study = study::without_overlaps(&store, manifest)?;
    let name = commit.map_or_else(|| study.name.clone(), |commit| format!("{}@{commit}", study.name));
    if let Some(commit) = commit {
        let mut made: BTreeMap<String, usize> = BTreeMap::new();
        for record in &study.records {
            *made.entry(record.made.commit.clone()).or_default() += 1;
        }
        study.records.retain(|record| !commit.is_empty() && record.made.commit.starts_with(commit));
        if study.records.is_empty() {
            let made: Vec<String> = made
                .into_iter()
                .map(|(commit, runs)| match commit.as_str() {
                    "" => format!("{runs} by an unknown commit"),
                    commit => format!("{runs} by {commit}"),
                })
                .collect();
            let say = format!(
                "no record of {} was made by commit \"{commit}\"; there are {}. A run that was done again replaced its \
                 record: records of an older commit may lie in another folder, see --results-b",
                study.name,
                if made.is_empty() { "none".to_owned() } else { made.join(", ") }
            );
            return Err(Refusal(say).into());
        }
    }
    Ok(Side { name, cells: study_cells(&study)?, select: study.select })
}

fn two_modes(sweep: &str, modes: &str, results: Option<&Path>) -> Result<[Side; 2]> {
    let Some((first, second)) = modes.split_once(',').map(|(a, b)| (a.trim(), b.trim())) else {
        return Err(Refusal(format!("--modes wants two modes, as in vanilla,child-d, and not \"{modes}\"")).into());
    };
    let Recorded { store, manifest, .. } = Recorded::open(Path::new(sweep), results, None)?;
    let study = study::without_overlaps(&store, manifest)?;
    let mut cells = study_cells(&study)?;
    let known: BTreeSet<String> = cells.iter().map(|cell| cell.mode.clone()).collect();
    let mut side = |mode: &str| -> Result<Side> {
        if !known.contains(mode) {
            let near = suggestion(mode, known.iter().map(String::as_str));
            return Err(Refusal(format!("{} has no record of mode \"{mode}\"; {near}", study.name)).into());
        }
        let own = cells.extract_if(.., |cell| cell.mode == mode).collect();
        Ok(Side { name: mode.to_owned(), cells: own, select: study.select })
    };
    if first == second {
        return Err(Refusal(format!("--modes {modes}: name two modes, and not one twice")).into());
    }
    Ok([side(first)?, side(second)?])
}

/// Why no two cells meet: the settings that no task has in common.
fn nothing_in_common([a, b]: [&str; 2], sides: &[Side; 2], found: &Versus) -> String {
    let [first, second] = sides.each_ref().map(|side| side.cells.as_slice());
    let empty = |name: &str| format!("{name} has no record yet; `sweep status` says how far sweeps are");
    match (first, second) {
        ([], _) => return empty(a),
        (_, []) => return empty(b),
        _ => {}
    }
    let named = |cells: &[&Cell]| {
        let mut names: Vec<String> = cells.iter().map(|c| format!("{} {}", c.task, c.mode)).collect();
        names.dedup();
        let more = if names.len() > NAMED { ", …" } else { "" };
        names.truncate(NAMED);
        names.join(", ") + more
    };
    format!(
        "{a} and {b} have no setting in common: the first has {}, the second {}. Runs meet that are equal in task and in \
         all settings but those that every run of one side has and no run of the other",
        named(&found.alone[0]),
        named(&found.alone[1])
    )
}

/// `lr 2e-5 → 4e-5`: what is compared.
fn difference_of((name, [first, second]): &(String, [Vec<String>; 2])) -> String {
    format!("{name} {} → {}", first.join(", "), second.join(", "))
}

fn counts(found: &Versus) -> [(Verdict, usize); 4] {
    [Verdict::Better, Verdict::Worse, Verdict::Open, Verdict::Same]
        .map(|verdict| (verdict, found.matches.iter().filter(|m| m.verdict == verdict).count()))
}

/// Both sides in points, their difference and the test.
fn table([a, b]: [&str; 2], found: &Versus) -> Table {
    let settings = found.matches.iter().any(|m| !m.setting.is_empty());
    let mut columns = vec!["task".to_owned()];
    if settings {
        columns.push("setting".to_owned());
    }
    let headings = columns.len();
    columns.extend([a.to_owned(), b.to_owned()]);
    columns.extend(["difference", "95 %", "p", "seeds", b].map(str::to_owned));
    if let Some(last) = columns.last_mut() {
        *last = format!("{b} is");
    }
    let rows = found.matches.iter().map(|m| {
        let mut row = vec![Entry::from(m.first.task.clone())];
        if settings {
            row.push(m.setting.clone().into());
        }
        let side = |cell: &Cell, place: usize| Entry {
            text: points(m.means.map(|means| means[place]), None),
            aside: cell.trouble(),
            ..Entry::default()
        };
        let interval = m.interval.map(|i| format!("[{:+.1}, {:+.1}]", i.low * 100.0, i.high * 100.0));
        let dash = || "–".to_owned();
        row.extend([
            side(m.first, 0),
            side(m.second, 1),
            m.difference.map_or_else(dash, |d| format!("{:+.1}", d * 100.0)).into(),
            interval.unwrap_or_else(dash).into(),
            match m.looked.and_then(|standing| Some((standing.look?, standing.of))) {
                Some((look, of)) => Entry {
                    text: short(look.p),
                    aside: format!("bound {}, {} of {of} seeds", short(look.level), look.seeds),
                    ..Entry::default()
                },
                None => m.adjusted.map_or_else(dash, |p| format!("{p:.3}")).into(),
            },
            m.pairs.to_string().into(),
            m.verdict.words().to_owned().into(),
        ]);
        row
    });
    Table { columns, headings, rows: rows.collect(), notes: notes([a, b], found) }
}

fn notes([a, b]: [&str; 2], found: &Versus) -> Vec<String> {
    let said = counts(found).into_iter().filter(|(_, n)| *n > 0);
    let said: Vec<String> = said.map(|(verdict, n)| format!("{n} {}", verdict.words())).collect();
    let mut notes = vec![format!("{b} against {a}: {}.", said.join(", "))];
    if !found.compared.is_empty() {
        let differences: Vec<String> = found.compared.iter().map(difference_of).collect();
        notes.push(format!("What differs: {}.", differences.join("; ")));
    }
    notes.push(
        "Scores in points (×100) over the seeds that both sides have; the mean difference with its 95 % bootstrap \
         interval; p of the two-sided sign-flip test, after Holm over this table."
            .to_owned(),
    );
    if found.matches.iter().any(|m| m.looked.is_some()) {
        notes.push(
            "Seeds were added only while a comparison was open: p is that of its last look, by a paired t test, and below \
             the bound it is decided. Differences that ended early are estimated too large on average."
                .to_owned(),
        );
    } else if found.matches.iter().any(|m| m.first.looked.is_some() || m.second.looked.is_some()) {
        notes.push(
            "How many seeds there are was decided by comparisons with vanilla, so p values of a fixed number of seeds hold \
             only roughly."
                .to_owned(),
        );
    }
    let tested = found.matches.iter().filter(|m| m.adjusted.is_some()).count();
    let most = found.matches.iter().map(|m| m.pairs).max().unwrap_or(0);
    let least = least_p(most) * tested as f64;
    if tested > 0 && least >= LEVEL {
        notes.push(format!(
            "With {most} {} and {tested} {} no test can reach {LEVEL}: the least p is {:.3}. More seeds can tell, or \
             fewer comparisons.",
            if most == 1 { "seed" } else { "seeds" },
            if tested == 1 { "comparison" } else { "comparisons" },
            least.min(1.0)
        ));
    }
    for (name, alone) in [a, b].into_iter().zip(&found.alone).filter(|(_, alone)| !alone.is_empty()) {
        let mut named: Vec<String> = alone.iter().map(|c| label(c)).collect();
        let more = named.len().saturating_sub(NAMED);
        named.truncate(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(format!("Only in {name}: {}{more}.", named.join("; ")));
    }
    notes
}

/// `rte child-d p=0.3`.
fn label(cell: &Cell) -> String {
    [cell.task.clone(), cell.mode.clone(), cell.setting()]
        .into_iter()
        .filter(|s| !s.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The comparison for programs; scores are raw, not in points.
#[derive(Serialize)]
struct Answer<'a> {
    first: &'a str,
    second: &'a str,
    /// What differs: setting, values of the first, of the second.
    compared: &'a [(String, [Vec<String>; 2])],
    better: usize,
    worse: usize,
    cannot_be_told: usize,
    same: usize,
    matches: Vec<Row<'a>>,
    only_in_first: Vec<String>,
    only_in_second: Vec<String>,
}

#[derive(Serialize)]
struct Row<'a> {
    task: &'a str,
    setting: &'a str,
    metric: Option<&'a str>,
    seeds: usize,
    first_mean: Option<f64>,
    second_mean: Option<f64>,
    difference: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    p: Option<f64>,
    p_holm: Option<f64>,
    /// The bound of the last look, and the seeds at it, where seeds were added only while the comparison was open.
    look_bound: Option<f64>,
    look_seeds: Option<u32>,
    verdict: Verdict,
}

impl<'a> Answer<'a> {
    fn of([first, second]: [&'a str; 2], found: &'a Versus) -> Answer<'a> {
        let [(_, better), (_, worse), (_, cannot_be_told), (_, same)] = counts(found);
        let labels = |cells: &[&Cell]| cells.iter().map(|cell| label(cell)).collect();
        Answer {
            first,
            second,
            compared: &found.compared,
            better,
            worse,
            cannot_be_told,
            same,
            matches: found.matches.iter().map(Row::of).collect(),
            only_in_first: labels(&found.alone[0]),
            only_in_second: labels(&found.alone[1]),
        }
    }
}

impl<'a> Row<'a> {
    fn of(m: &'a Match) -> Row<'a> {
        let look = m.looked.and_then(|standing| standing.look);
        Row {
            task: &m.first.task,
            setting: &m.setting,
            metric: m.first.metric.as_deref().or(m.second.metric.as_deref()),
            seeds: m.pairs,
            first_mean: m.means.map(|means| means[0]),
            second_mean: m.means.map(|means| means[1]),
            difference: m.difference,
            low: m.interval.map(|interval| interval.low),
            high: m.interval.map(|interval| interval.high),
            p: m.p,
            p_holm: m.adjusted,
            look_bound: look.map(|look| look.level),
            look_seeds: look.map(|look| look.seeds),
            verdict: m.verdict,
        }
    }
}

fn csv(found: &Versus) -> Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for m in &found.matches {
        csv.serialize(Row::of(m))?;
    }
    Ok(String::from_utf8(csv.into_inner()?)?)
}
