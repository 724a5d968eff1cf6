//! The table of comparisons: a row for each mode and task with every test, and the same over all tasks.

use anyhow::Result;

use super::comparison::{Finding, p_text, short};
use super::early::BIAS;
use super::{Analysis, Comparison, Early, Entry, REFERENCE, Table};
use crate::stats::{BOOTSTRAP_LEAST, Interval};
use crate::stop::Standing;

/// Every comparison, those over all tasks first; without a row where nothing shares a seed with the reference.
pub fn comparisons_table(analysis: &Analysis) -> Table {
    let judged_by: &[&str] = if analysis.looks.is_some() { &["look", "p at it", "bound"] } else { &["p Holm"] };
    let columns = [
        &["mode", "where", "pairs", "difference [95 %]", "p", "p Wilcoxon"],
        judged_by,
        &["d", "P(better)", "ε", "seeds for 80 %", "finding"],
    ]
    .concat();
    let rows: Vec<Vec<Entry>> = analysis.all_comparisons().map(row).collect();
    Table {
        columns: columns.into_iter().map(str::to_owned).collect(),
        headings: 2,
        notes: if rows.is_empty() { Vec::new() } else { notes(analysis) },
        rows,
    }
}

fn row(c: &Comparison) -> Vec<Entry> {
    let dash = || "–".to_owned();
    let better = c.finding() == Finding::Better;
    let pairs = Entry { aside: c.trouble.clone(), ..Entry::from(c.difference.pairs.to_string()) };
    let p = if c.permutation.exact { p_text(c.permutation.p) } else { format!("{}*", p_text(c.permutation.p)) };
    let judged_by = match &c.early {
        None => vec![p_text(c.holm)],
        Some(Early::Looked(Standing { look: Some(look), of, .. })) => {
            vec![format!("{} of {of} seeds", look.seeds), short(look.p), short(look.level)]
        }
        Some(_) => vec![dash(); 3],
    };
    let mut row = vec![
        Entry { aside: c.choice.clone(), ..Entry::from(c.line.clone()) },
        c.place.clone().into(),
        pairs,
        Entry { text: with_interval(c.difference.mean, c.interval, true), best: better, ..Entry::default() },
        p.into(),
        p_text(c.wilcoxon).into(),
    ];
    row.extend(judged_by.into_iter().map(Entry::from));
    row.extend([
        c.effect.map_or_else(dash, |d| format!("{d:+.2}")).into(),
        format!("{:.2}", c.improvement).into(),
        c.epsilon.map_or_else(dash, |e| format!("{e:.2}")).into(),
        match (c.seeds_needed, c.effect) {
            (Some(n), _) => n.to_string(),
            (None, Some(_)) => "> 10000".to_owned(),
            (None, None) => dash(),
        }
        .into(),
        match c.finding() {
            Finding::Better => "better",
            Finding::Worse => "worse",
            Finding::Open if c.is_under_way() => "open",
            Finding::Open => "cannot tell",
        }
        .to_owned()
        .into(),
    ]);
    row
}

fn notes(analysis: &Analysis) -> Vec<String> {
    let judged_by = match &analysis.looks {
        Some(looks) => format!(
            "Every mode against {REFERENCE}, paired by seed; differences in points. Bold is better than {REFERENCE} by \
             {looks}. p and p Wilcoxon are those of a fixed number of seeds and decide nothing here; comparisons over tasks, \
             and on other tasks than the trained one, are not judged. {BIAS}"
        ),
        None => format!(
            "Every mode against {REFERENCE}, paired by seed; differences in points. Bold is better than {REFERENCE} with p < \
             0.05 after Holm over {}.",
            analysis.families()
        ),
    };
    let mut notes = vec![
        judged_by,
        format!(
            "Interval: 95 % of the mean difference, an expanded percentile bootstrap, and Student's below \
             {BOOTSTRAP_LEAST} pairs. p: two-sided sign-flip permutation test, every pattern counted; p Wilcoxon: signed \
             ranks. Over tasks the signs are those of pairs of runs: every seed of every task that was trained on has its own. With n of them no sign-flip p is \
             below 2/2ⁿ: 3 to 5 seeds of one task cannot reach 0.05."
        ),
        "d: mean over standard deviation of the differences, with Hedges' correction. P(better): chance that a run of the \
         mode scores more than one of the reference. ε: Almost Stochastic Order, below 0.5 the mode is the better one. \
         Seeds for 80 %: how many would show an effect of the size seen in a test of its own, without Holm."
            .to_owned(),
        format!("The setting of a mode was {}.", analysis.selection()),
    ];
    if analysis.comparisons.iter().any(|c| !c.permutation.exact) {
        notes.push("* of 10,000 drawn patterns, the one seen among them; more than 16 pairs have too many.".to_owned());
    }
    notes
}

/// Every comparison with full precision; scores in points.
///
/// # Errors
/// None that a user can cause.
pub fn comparisons_csv(analysis: &Analysis) -> Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record([
        "mode",
        "line",
        "setting",
        "task",
        "model",
        "train_size",
        "pairs",
        "difference_points",
        "low_points",
        "high_points",
        "p_permutation",
        "permutation_exact",
        "p_wilcoxon",
        "p_holm",
        "family",
        "hedges_dz",
        "probability_of_improvement",
        "aso_epsilon",
        "seeds_for_80_percent",
        "look_seeds",
        "look_of_seeds",
        "look_p",
        "look_bound",
        "finding",
        "verdict",
    ])?;
    let real = |x: Option<f64>| x.map_or(String::new(), |x| format!("{x:.6}"));
    let points = |x: Option<f64>| real(x.map(|x| x * 100.0));
    for c in analysis.all_comparisons() {
        let look = match &c.early {
            Some(Early::Looked(standing)) => standing.look.map(|look| (look, standing.of)),
            _ => None,
        };
        csv.write_record([
            c.mode.clone(),
            c.line.clone(),
            c.choice.clone(),
            c.task.clone(),
            c.model.clone(),
            c.train_size.map_or(String::new(), |n| n.to_string()),
            c.difference.pairs.to_string(),
            points(Some(c.difference.mean)),
            points(c.interval.map(|i| i.low)),
            points(c.interval.map(|i| i.high)),
            real(Some(c.permutation.p)),
            c.permutation.exact.to_string(),
            real(Some(c.wilcoxon)),
            real(c.p_holm()),
            c.family.to_string(),
            real(c.effect),
            real(Some(c.improvement)),
            real(c.epsilon),
            c.seeds_needed.map_or(String::new(), |n| n.to_string()),
            look.map_or(String::new(), |(look, _)| look.seeds.to_string()),
            look.map_or(String::new(), |(_, of)| of.to_string()),
            look.map_or(String::new(), |(look, _)| format!("{:e}", look.p)),
            look.map_or(String::new(), |(look, _)| format!("{:e}", look.level)),
            format!("{:?}", c.finding()).to_lowercase(),
            c.verdict(),
        ])?;
    }
    Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
}

/// Every line over its tasks; without a row where no line has two tasks.
pub fn overall_table(analysis: &Analysis) -> Table {
    let said = analysis.overall.iter().any(|o| !o.said.is_empty());
    let mut columns = vec!["mode".to_owned()];
    columns.extend(said.then(|| "where".to_owned()));
    columns.extend(["tasks", "IQM [95 %]", "mean difference [95 %]", "p Holm"].map(str::to_owned));
    let rows = analysis.overall.iter().map(|o| {
        let mut row = vec![Entry::from(o.line.clone())];
        row.extend(said.then(|| Entry::from(o.said.join(", "))));
        let compared = o.comparison.as_ref();
        let best = compared.is_some_and(|c| c.finding() == Finding::Better);
        let difference = compared.map_or("–".to_owned(), |c| with_interval(c.difference.mean, c.interval, true));
        row.extend([
            Entry::from(o.tasks.to_string()),
            with_interval(o.iqm, o.interval, false).into(),
            Entry { text: difference, best, ..Entry::default() },
            compared.and_then(Comparison::p_holm).map_or("–".to_owned(), p_text).into(),
        ]);
        row
    });
    let rows: Vec<Vec<Entry>> = rows.collect();
    let notes = vec![
        "IQM: mean of the middle half of all scores, tasks × seeds, in points; the interval draws seeds anew within each \
         task. Scores of tasks with different metrics stand together as they are."
            .to_owned(),
        match &analysis.looks {
            Some(_) => format!(
                "Mean difference: to {REFERENCE}, of the mean over the tasks, paired by seed. It is not judged: how many seeds \
                 there are was decided task by task."
            ),
            None => format!(
                "Mean difference: to {REFERENCE}, of the mean over the tasks, paired by seed. Bold is better with p < 0.05 \
                 after Holm over all comparisons of the study."
            ),
        },
    ];
    Table { headings: 1 + usize::from(said), columns, notes: if rows.is_empty() { Vec::new() } else { notes }, rows }
}

/// `64.2 [63.1, 65.0]`, with a sign where it is a difference.
pub(super) fn with_interval(mean: f64, interval: Option<Interval>, signed: bool) -> String {
    let mean = mean * 100.0;
    let mean = if signed { format!("{mean:+.1}") } else { format!("{mean:.1}") };
    match interval {
        Some(i) => format!("{mean} [{:.1}, {:.1}]", i.low * 100.0, i.high * 100.0),
        None => mean,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::{analyse, example};

    #[test]
    fn a_row_for_every_comparison_and_bold_only_by_the_test() {
        let analysis = analyse(&example::good(2, 10, &[None])).unwrap();
        let table = comparisons_table(&analysis);
        assert_eq!(table.rows.len(), 2 + 2 * 2);
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
        for (row, c) in table.rows.iter().zip(analysis.all_comparisons()) {
            assert_eq!(row[3].best, c.holm < 0.05 && c.difference.mean > 0.0);
        }
        assert!(table.rows.iter().any(|row| row[3].best), "the example's gain of two points is found");
        let csv = comparisons_csv(&analysis).unwrap();
        assert_eq!(csv.lines().count(), 1 + table.rows.len());
        assert!(
            table.notes[0].contains("the 4 comparisons by task and the 2 comparisons over tasks")
                && !csv.contains("NaN")
        );

        let overall = overall_table(&analysis);
        assert_eq!((overall.rows.len(), overall.columns.len()), (3, overall.rows[0].len()));
        assert!(overall.rows[0][2].text.contains('['), "{:?}", overall.rows[0]);
    }

    #[test]
    fn three_seeds_of_a_task_make_nothing_bold() {
        let analysis = analyse(&example::good(1, 3, &[None])).unwrap();
        let tables = [comparisons_table(&analysis), overall_table(&analysis)];
        let main = crate::frame::main_table(&analysis).unwrap();
        let all = tables.iter().chain([&main.scores]).chain(&main.differences);
        assert!(all.flat_map(|t| t.rows.iter().flatten()).all(|entry| !entry.best));
    }

    #[test]
    fn nothing_to_compare_has_no_rows() {
        let analysis = analyse(&crate::frame::Study::default()).unwrap();
        assert!(comparisons_table(&analysis).rows.is_empty() && overall_table(&analysis).rows.is_empty());
        assert_eq!(comparisons_csv(&analysis).unwrap().lines().count(), 1);
    }
}
