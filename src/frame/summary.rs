//! The summary over seeds: one row a setting.

use anyhow::Result;
use polars::prelude::*;

use super::runs::{SETTING, STOPPED};

/// Per setting (everything but the seed): `n` scored runs, their `mean`, `std` (of the sample, null below two),
/// `median`, `min` and `max`, the mean over the `even` half of dev, how many runs `collapsed`, were `undefined`,
/// `diverged`, were `stopped` early (the last `stopped_at` which step) or `failed` otherwise, and the lists `seeds`, `scores` and `ids`. Rows in the order in which settings first
/// appear.
pub fn summary(runs: &DataFrame) -> Result<DataFrame> {
    let score = || col("score");
    let status = || col("status");
    let count = |expr: Expr| expr.cast(DataType::UInt32).sum();
    let summary = runs.clone().lazy().group_by_stable(SETTING.map(col)).agg([
        col("metric").drop_nulls().first(),
        col("train_examples").max(),
        len().alias("runs"),
        score().count().alias("n"),
        score().mean().alias("mean"),
        score().std(1).alias("std"),
        score().median().alias("median"),
        score().min().alias("min"),
        score().max().alias("max"),
        col("score_even").mean().alias("even"),
        count(col("collapsed").fill_null(lit(false))).alias("collapsed"),
        count(status().eq(lit("done")).and(score().is_null()).and(col("collapsed").not())).alias("undefined"),
        count(status().eq(lit("diverged"))).alias("diverged"),
        count(status().eq(lit(STOPPED))).alias("stopped"),
        col("stopped_at").max(),
        count(
            ["done", "diverged", STOPPED].into_iter().map(|other| status().neq(lit(other))).fold(lit(true), Expr::and),
        )
        .alias("failed"),
        col("seed").alias("seeds"),
        score().alias("scores"),
        col("id").alias("ids"),
    ]);
    Ok(summary.collect()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::{cells, example, runs};

    #[test]
    fn statistics_are_those_of_the_sample() {
        let scores = [0.50, 0.52, 0.57];
        let records: Vec<_> =
            scores.iter().zip(1..).map(|(s, seed)| example::record("rte", "vanilla", None, seed, *s)).collect();
        let cells = cells(&summary(&runs(&records).unwrap()).unwrap(), &[]).unwrap();
        assert_eq!(cells.len(), 1);
        let cell = &cells[0];
        assert_eq!((cell.n, cell.median, cell.min, cell.max), (3, Some(0.52), Some(0.50), Some(0.57)));
        assert!((cell.mean.unwrap() - 0.53).abs() < 1e-12);
        // numpy.std([0.50, 0.52, 0.57], ddof=1)
        assert!((cell.std.unwrap() - 0.036_055_512_754_639_89).abs() < 1e-12);
        assert_eq!(cell.scores[&3], 0.57);
    }

    #[test]
    fn runs_without_a_score_are_counted_not_averaged() {
        let cells = cells(&summary(&runs(&example::nasty().records_in_order()).unwrap()).unwrap(), &[]).unwrap();
        let diverged: u32 = cells.iter().map(|c| c.diverged).sum();
        let failed: u32 = cells.iter().map(|c| c.failed).sum();
        let collapsed: u32 = cells.iter().map(|c| c.collapsed).sum();
        assert_eq!((diverged, failed, collapsed), (2, 3, 1));
        let undefined = cells.iter().find(|c| c.n == 0 && c.collapsed == 1).unwrap();
        assert_eq!((undefined.mean, undefined.std), (None, None));
        assert!(cells.iter().all(|c| c.n != 1 || c.std.is_none()));
    }

    #[test]
    fn nothing_sums_up_to_nothing() {
        assert_eq!(summary(&runs(&[]).unwrap()).unwrap().height(), 0);
    }
}
