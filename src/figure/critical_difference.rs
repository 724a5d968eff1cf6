//! Critical-difference diagram (Demšar 2006): mean ranks of the modes over tasks, modes that cannot be told apart joined
//! by a bar.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::measured::size;
use super::style::{self, Pen};
use super::{Area, Data, Plot, drawing};
use crate::frame::{Cell, best_of, chosen_over, in_words};
use crate::stats::{Ranks, rank_lines};

/// Tasks below which ranks say too little.
const LEAST: usize = 5;

pub struct CriticalDifference {
    diagrams: Vec<Diagram>,
    /// What the best on dev was chosen over.
    over: Vec<String>,
    /// Modes that were not scored on every task.
    left_out: Vec<String>,
}

/// One model and training size.
struct Diagram {
    title: String,
    model: String,
    train_size: Option<u32>,
    tasks: usize,
    /// Names and colours of the lines, in the order of `ranks`.
    lines: Vec<(usize, String)>,
    ranks: Ranks,
}

impl Plot for CriticalDifference {
    fn plan(data: &Data) -> Result<CriticalDifference, String> {
        // Scores on other tasks are those of the same runs again, and no tasks of their own.
        let is_own = |c: &&Cell| c.mean.is_some() && data.trained_on.contains(&c.task);
        let scored: Vec<&Cell> = data.cells.iter().filter(is_own).collect();
        let best = best_of(scored.iter().copied(), |c| (c.task.clone(), block(c), c.line()));
        let all = data.lines();
        let (mut diagrams, mut left_out): (Vec<Diagram>, Vec<String>) = (Vec::new(), Vec::new());
        let blocks = best_of(best.iter().copied(), block);
        let models = blocks.iter().any(|c| c.model != blocks[0].model);
        let sizes = blocks.iter().any(|c| c.train_size != blocks[0].train_size);
        for first in &blocks {
            let own: Vec<&Cell> = best.iter().copied().filter(|c| block(c) == block(first)).collect();
            let mut tasks: Vec<&str> = Vec::new();
            own.iter().for_each(|c| {
                if !tasks.contains(&&*c.task) {
                    tasks.push(&c.task)
                }
            });
            let score = |task: &str, line: &str| own.iter().find(|c| c.task == task && c.line() == line)?.mean;
            let ran = all.iter().enumerate().filter(|(_, line)| own.iter().any(|c| c.line() == **line));
            let (lines, missing): (Vec<_>, Vec<_>) =
                ran.partition(|(_, line)| tasks.iter().all(|task| score(task, line).is_some()));
            let rows: Option<Vec<Vec<f64>>> =
                tasks.iter().map(|task| lines.iter().map(|(_, line)| score(task, line)).collect()).collect();
            let Some(ranks) = rows.filter(|_| tasks.len() >= LEAST).and_then(|rows| rank_lines(&rows)) else {
                continue;
            };
            missing.iter().for_each(|(_, line)| {
                if !left_out.contains(line) {
                    left_out.push((*line).clone())
                }
            });
            let title = [models.then(|| first.model.clone()), sizes.then(|| size(first))];
            diagrams.push(Diagram {
                title: title.into_iter().flatten().collect::<Vec<_>>().join(" · "),
                model: first.model.clone(),
                train_size: first.train_size,
                tasks: tasks.len(),
                lines: lines.into_iter().map(|(line, name)| (line, name.clone())).collect(),
                ranks,
            });
        }
        if diagrams.is_empty() {
            return Err(format!("No two modes were scored on the same {LEAST} tasks or more, which ranks need."));
        }
        let over = chosen_over(scored, |c| (c.task.clone(), block(c), c.line()));
        Ok(CriticalDifference { diagrams, over, left_out })
    }

    fn size(&self) -> (u32, u32) {
        let width = self.diagrams.iter().map(Diagram::width).max().unwrap_or(0);
        let height: i32 = self.diagrams.iter().map(Diagram::high).sum();
        (width as u32, (height + MARGIN) as u32)
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        let mut top = 0;
        for diagram in &self.diagrams {
            let room = (pen.px(diagram.width()), pen.px(diagram.high()));
            diagram.draw(&on.clone().shrink((0, pen.px(top)), room), pen)?;
            top += diagram.high();
        }
        Ok(())
    }

    fn caption(&self) -> String {
        let tests = self.diagrams.iter().map(|d| {
            let p = if d.ranks.p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {:.3}", d.ranks.p) };
            let name = if d.title.is_empty() { String::new() } else { format!("{}: ", d.title) };
            format!("{name}{} tasks, Friedman {p}, critical difference {:.2}", d.tasks, d.ranks.critical)
        });
        let mut caption = format!(
            "Mean ranks of the modes over tasks, 1 is best. Modes under one bar cannot be told apart at 95 % (Nemenyi). {}.",
            tests.collect::<Vec<_>>().join("; ")
        );
        if !self.over.is_empty() {
            caption += &format!(" On each task each mode at its best on dev over {}.", in_words(&self.over));
        }
        if !self.left_out.is_empty() {
            caption += &format!(" Not scored on every task and left out: {}.", self.left_out.join(", "));
        }
        caption
    }

    fn csv(&self) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let head =
            ["model", "train_size", "mode", "tasks", "mean_rank", "critical_difference", "friedman_p", "cliques"];
        csv.write_record(head)?;
        for diagram in &self.diagrams {
            for (i, (_, name)) in diagram.lines.iter().enumerate() {
                let cliques = diagram.ranks.cliques.iter().enumerate().filter(|(_, clique)| clique.contains(&i));
                csv.write_record([
                    diagram.model.clone(),
                    diagram.train_size.map_or(String::new(), |n| n.to_string()),
                    name.clone(),
                    diagram.tasks.to_string(),
                    format!("{:.4}", diagram.ranks.mean[i]),
                    format!("{:.4}", diagram.ranks.critical),
                    format!("{:.6}", diagram.ranks.p),
                    cliques.map(|(n, _)| (n + 1).to_string()).collect::<Vec<_>>().join(" "),
                ])?;
            }
        }
        Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
    }
}

/// What makes a diagram.
fn block(cell: &Cell) -> (String, Option<u32>) {
    (cell.model.clone(), cell.train_size)
}

const MARGIN: i32 = 14;
const AXIS: i32 = 420;
const LONGEST: i32 = 240;
const TITLE: i32 = 28;
/// From there to the axis: critical difference, numbers.
const HEAD: i32 = 64;
const BAR: i32 = 12;
const ROW: i32 = 22;

impl Diagram {
    /// Room for the names at either side of the axis.
    fn names(&self) -> i32 {
        let names = self.lines.iter().map(|(_, name)| style::width(&format!("{name} (0.00)")));
        names.max().unwrap_or(0).min(LONGEST) + 16
    }

    fn width(&self) -> i32 {
        2 * (MARGIN + self.names()) + AXIS
    }

    fn high(&self) -> i32 {
        self.head() + self.bars() + self.lines.len().div_ceil(2) as i32 * ROW + MARGIN
    }

    /// From the top to the axis.
    fn head(&self) -> i32 {
        if self.title.is_empty() { HEAD } else { TITLE + HEAD }
    }

    /// Room for the bars between axis and names.
    fn bars(&self) -> i32 {
        self.ranks.cliques.len() as i32 * BAR + 14
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        let (left, head, modes) = (MARGIN + self.names(), self.head(), self.lines.len());
        let at = |rank: f64| {
            let share = (rank - 1.0) / (modes as f64 - 1.0);
            ((f64::from(left) + share * f64::from(AXIS)) * f64::from(pen.scale)).round() as i32
        };
        let path =
            |points: Vec<(i32, i32)>, style: ShapeStyle| on.draw(&PathElement::new(points, style)).map_err(drawing);
        let text = |words: String, (x, y): (i32, i32), style: TextStyle, across: HPos| {
            on.draw(&Text::new(words, (x, pen.px(y)), style.pos(Pos::new(across, VPos::Center)))).map_err(drawing)
        };
        let title = style::fitted(&self.title, self.width() - 2 * MARGIN, true);
        text(title, (pen.px(MARGIN), 16), pen.title(), HPos::Left)?;
        // The critical difference as a length, at the axis' beginning; one longer than the axis ends with it.
        let reach = at(1.0 + self.ranks.critical.min(modes as f64 - 1.0));
        let y = pen.px(head - 48);
        path(vec![(at(1.0), y), (reach, y)], pen.line(style::INK))?;
        for x in [at(1.0), reach] {
            path(vec![(x, y - pen.px(4)), (x, y + pen.px(4))], pen.line(style::INK))?;
        }
        let words = format!("critical difference {:.2}", self.ranks.critical);
        text(words, (reach + pen.px(8), head - 47), pen.small(), HPos::Left)?;
        path(vec![(at(1.0), pen.px(head)), (at(modes as f64), pen.px(head))], pen.line(style::AXIS))?;
        // Of many ranks not every one is named.
        let every = modes.div_ceil(12);
        for rank in 1..=modes {
            let x = at(rank as f64);
            path(vec![(x, pen.px(head - 6)), (x, pen.px(head))], pen.line(style::AXIS))?;
            if (rank - 1) % every == 0 {
                text(rank.to_string(), (x, head - 17), pen.small(), HPos::Center)?;
            }
        }
        let mut order: Vec<usize> = (0..modes).collect();
        order.sort_by(|a, b| self.ranks.mean[*a].total_cmp(&self.ranks.mean[*b]));
        let half = modes.div_ceil(2);
        for (place, &i) in order.iter().enumerate() {
            let (line, name) = &self.lines[i];
            let rank = self.ranks.mean[i];
            let (best, row) = (place < half, if place < half { place } else { modes - 1 - place });
            let y = head + self.bars() + row as i32 * ROW + ROW / 2;
            let end = if best { left - 8 } else { left + AXIS + 8 };
            let corners = vec![(at(rank), pen.px(head)), (at(rank), pen.px(y)), (pen.px(end), pen.px(y))];
            path(corners, pen.hair(style::colour(*line)))?;
            let name = style::fitted(&format!("{name} ({rank:.2})"), self.names() - 12, false);
            let (x, across) = if best { (end - 4, HPos::Right) } else { (end + 4, HPos::Left) };
            text(name, (pen.px(x), y), pen.small(), across)?;
        }
        for (n, clique) in self.ranks.cliques.iter().enumerate() {
            let ranks = clique.iter().map(|i| self.ranks.mean[*i]);
            let (low, high) = ranks.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), r| (l.min(r), h.max(r)));
            let y = head + 10 + n as i32 * BAR;
            let corners = [(at(low) - pen.px(4), pen.px(y)), (at(high) + pen.px(4), pen.px(y + 4))];
            on.draw(&Rectangle::new(corners, style::INK.filled())).map_err(drawing)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn five_tasks_make_a_diagram_and_four_do_not() {
        let plot = CriticalDifference::plan(&Data::of(&example::good(5, 2, &[None])).unwrap()).unwrap();
        let diagram = &plot.diagrams[0];
        assert_eq!((diagram.tasks, diagram.lines.len()), (5, 3));
        // Every task shares out the ranks 1, 2 and 3.
        assert!((diagram.ranks.mean.iter().sum::<f64>() - 6.0).abs() < 1e-12);
        assert!(plot.caption().contains("at its best on dev over p"), "{}", plot.caption());
        assert!(CriticalDifference::plan(&Data::of(&example::good(4, 2, &[None])).unwrap()).is_err());
    }

    #[test]
    fn a_mode_that_missed_a_task_is_left_out_aloud() {
        let mut study = example::good(5, 2, &[None]);
        study.records.retain(|r| r.run.mode != "child-f" || r.run.task.name != "tweets-rating");
        let plot = CriticalDifference::plan(&Data::of(&study).unwrap()).unwrap();
        assert_eq!((plot.diagrams[0].lines.len(), &*plot.left_out), (2, &["child-f".to_owned()][..]));
    }
}
