//! Critical-difference diagram (Demšar 2006): mean ranks of the modes over tasks, modes that cannot be told apart joined
//! by a bar.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{self, Pen};
use super::{Area, Data, Plot, drawing};
use crate::frame::{Cell, RankedLines, chosen_over, in_words, rank_cells};

pub struct CriticalDifference {
    diagrams: Vec<Diagram>,
    /// What the best on dev was chosen over.
    over: Vec<String>,
}

/// One model and training size.
struct Diagram {
    title: String,
    /// Numbers and names of the lines, in the order of the ranks.
    lines: Vec<(usize, String)>,
    found: RankedLines,
}

impl Plot for CriticalDifference {
    fn plan(data: &Data) -> Result<CriticalDifference, String> {
        // Scores on other tasks are those of the same runs again, and no tasks of their own.
        let is_own = |c: &&Cell| c.mean.is_some() && data.trained_on.contains(&c.task);
        let scored: Vec<&Cell> = data.cells.iter().filter(is_own).collect();
        let own: Vec<Cell> = scored.iter().map(|cell| (*cell).clone()).collect();
        let all = data.lines();
        let number = |name: &String| (all.iter().position(|line| line == name).unwrap_or(0), name.clone());
        let diagrams: Vec<Diagram> = rank_cells(&own)
            .into_iter()
            .map(|found| Diagram {
                title: found.said.join(" · "),
                lines: found.lines.iter().map(number).collect(),
                found,
            })
            .collect();
        if diagrams.is_empty() {
            return Err("No two modes were scored on the same five tasks or more, which ranks need.".to_owned());
        }
        let over = chosen_over(scored, |c| (c.task.clone(), c.model.clone(), c.train_size, c.line()));
        Ok(CriticalDifference { diagrams, over })
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
            let p =
                if d.found.ranks.p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {:.3}", d.found.ranks.p) };
            let name = if d.title.is_empty() { String::new() } else { format!("{}: ", d.title) };
            format!(
                "{name}{} tasks, Friedman {p}, critical difference {:.2}",
                d.found.tasks.len(),
                d.found.ranks.critical
            )
        });
        let mut caption = format!(
            "Mean ranks of the modes over tasks, 1 is best. Modes under one bar cannot be told apart at 95 % (Nemenyi). {}.",
            tests.collect::<Vec<_>>().join("; ")
        );
        if !self.over.is_empty() {
            caption += &format!(" On each task each mode at its best on dev over {}.", in_words(&self.over));
        }
        let mut left_out: Vec<&str> =
            self.diagrams.iter().flat_map(|d| &d.found.left_out).map(|line| &**line).collect();
        left_out.sort_unstable();
        left_out.dedup();
        if !left_out.is_empty() {
            caption += &format!(" Not scored on every task and left out: {}.", left_out.join(", "));
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
                let cliques = diagram.found.ranks.cliques.iter().enumerate().filter(|(_, clique)| clique.contains(&i));
                csv.write_record([
                    diagram.found.model.clone(),
                    diagram.found.train_size.map_or(String::new(), |n| n.to_string()),
                    name.clone(),
                    diagram.found.tasks.len().to_string(),
                    format!("{:.4}", diagram.found.ranks.mean[i]),
                    format!("{:.4}", diagram.found.ranks.critical),
                    format!("{:.6}", diagram.found.ranks.p),
                    cliques.map(|(n, _)| (n + 1).to_string()).collect::<Vec<_>>().join(" "),
                ])?;
            }
        }
        Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
    }
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
        self.found.ranks.cliques.len() as i32 * BAR + 14
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
        let reach = at(1.0 + self.found.ranks.critical.min(modes as f64 - 1.0));
        let y = pen.px(head - 48);
        path(vec![(at(1.0), y), (reach, y)], pen.line(style::INK))?;
        for x in [at(1.0), reach] {
            path(vec![(x, y - pen.px(4)), (x, y + pen.px(4))], pen.line(style::INK))?;
        }
        let words = format!("critical difference {:.2}", self.found.ranks.critical);
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
        order.sort_by(|a, b| self.found.ranks.mean[*a].total_cmp(&self.found.ranks.mean[*b]));
        let half = modes.div_ceil(2);
        for (place, &i) in order.iter().enumerate() {
            let (line, name) = &self.lines[i];
            let rank = self.found.ranks.mean[i];
            let (best, row) = (place < half, if place < half { place } else { modes - 1 - place });
            let y = head + self.bars() + row as i32 * ROW + ROW / 2;
            let end = if best { left - 8 } else { left + AXIS + 8 };
            let corners = vec![(at(rank), pen.px(head)), (at(rank), pen.px(y)), (pen.px(end), pen.px(y))];
            path(corners, pen.hair(style::colour(*line)))?;
            let name = style::fitted(&format!("{name} ({rank:.2})"), self.names() - 12, false);
            let (x, across) = if best { (end - 4, HPos::Right) } else { (end + 4, HPos::Left) };
            text(name, (pen.px(x), y), pen.small(), across)?;
        }
        for (n, clique) in self.found.ranks.cliques.iter().enumerate() {
            let ranks = clique.iter().map(|i| self.found.ranks.mean[*i]);
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
        assert_eq!((diagram.found.tasks.len(), diagram.lines.len()), (5, 3));
        // Every task shares out the ranks 1, 2 and 3.
        assert!((diagram.found.ranks.mean.iter().sum::<f64>() - 6.0).abs() < 1e-12);
        assert!(plot.caption().contains("at its best on dev over p"), "{}", plot.caption());
        assert!(CriticalDifference::plan(&Data::of(&example::good(4, 2, &[None])).unwrap()).is_err());
    }

    #[test]
    fn a_mode_that_missed_a_task_is_left_out_aloud() {
        let mut study = example::good(5, 2, &[None]);
        study.records.retain(|r| r.run.mode != "child-f" || r.run.task.name != "tweets-rating");
        let plot = CriticalDifference::plan(&Data::of(&study).unwrap()).unwrap();
        assert_eq!(plot.diagrams[0].lines.len(), 2);
        assert!(plot.caption().contains("left out: child-f."), "{}", plot.caption());
    }
}
