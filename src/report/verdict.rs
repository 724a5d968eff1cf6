//! What came out, a sentence a comparison.

use crate::frame::{Cell, REFERENCE, best_of, difference};

#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub kind: Kind,
    pub sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Better,
    Worse,
    /// The seeds at hand cannot tell.
    Open,
}

impl Kind {
    /// Shown as a badge; the sentence says it too.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Better => "better",
            Kind::Worse => "worse",
            Kind::Open => "cannot tell",
        }
    }

    /// Class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Kind::Better => "better",
            Kind::Worse => "worse",
            Kind::Open => "open",
        }
    }
}

/// Every mode against the reference on the same task, model and size.
pub fn verdicts(cells: &[Cell]) -> Vec<Verdict> {
    let place = |c: &Cell| (c.task.clone(), c.model.clone(), c.train_size);
    let chosen = best_of(cells, |c| (place(c), c.line()));
    let of_cell = |cell: &&Cell| {
        let reference = chosen.iter().find(|r| r.mode == REFERENCE && place(r) == place(cell) && cell.fits(r))?;
        let gap = difference(cell, reference)?;
        let size = cell.train_size.map_or(String::new(), |n| format!(" ({n} examples)"));
        let (line, task) = (cell.line(), &cell.task);
        let points = format!("{:+.1} points over {} seeds", gap.mean * 100.0, gap.pairs);
        let sentence = format!("{line} differs from {REFERENCE} on {task}{size} by {points}");
        Some(Verdict { kind: Kind::Open, sentence })
    };
    chosen.iter().filter(|c| c.mode != REFERENCE).filter_map(of_cell).collect()
}
