//! Scores on other tasks than the one trained on: a row per task, a dot per mode with its 95 % interval.

use anyhow::Result;
use plotters::prelude::DrawingBackend;

use super::dots::{Dot, DotPanel, DotRow, Dots};
use super::legend::Legend;
use super::lines::panel_title;
use super::measured::size;
use super::style::Pen;
use super::{Area, Data, Plot};
use crate::frame::{Cell, Way, best_of, chosen_over, in_words, target_name};

pub struct Transfer {
    dots: Dots,
    drawn: Vec<Drawn>,
    ways: Vec<Way>,
    /// What the best on dev was chosen over.
    over: Vec<String>,
}

struct Drawn {
    cell: Cell,
    line: usize,
    trained: String,
    way: Way,
    target: String,
    /// In points, with the ends of its 95 % interval.
    mean: f64,
    interval: Option<(f64, f64)>,
}

impl Plot for Transfer {
    fn plan(data: &Data) -> Result<Transfer, String> {
        let mut reached: Vec<(&str, Way, &str)> = Vec::new();
        for cell in &data.cells {
            for elsewhere in data.runs_of(cell).filter_map(|r| r.outcome()).flat_map(|o| &o.elsewhere) {
                let one = (&*cell.task, elsewhere.way, &*elsewhere.task);
                if !reached.contains(&one) {
                    reached.push(one);
                }
            }
        }
        let scored = |name: &str| data.cells.iter().filter(|c| c.task == name && c.n > 0).collect::<Vec<&Cell>>();
        let lines = data.lines();
        let (mut drawn, mut over): (Vec<Drawn>, Vec<String>) = (Vec::new(), Vec::new());
        for (trained, way, target) in reached {
            let cells = scored(&target_name(trained, way, target));
            over.extend(chosen_over(cells.iter().copied(), line_key));
            for cell in best_of(cells, line_key) {
                let line = lines.iter().position(|name| *name == cell.line());
                let (Some(line), Some(mean)) = (line, cell.mean) else { continue };
                drawn.push(Drawn {
                    cell: cell.clone(),
                    line,
                    trained: trained.to_owned(),
                    way,
                    target: target.to_owned(),
                    mean: 100.0 * mean,
                    interval: cell.interval.map(|i| (100.0 * i.low, 100.0 * i.high)),
                });
            }
        }
        if drawn.is_empty() {
            return Err("No run was scored on another task than its own.".to_owned());
        }
        let mut keys: Vec<&Drawn> = Vec::new();
        for one in &drawn {
            if !keys.iter().any(|held| panel_key(held) == panel_key(one)) {
                keys.push(one);
            }
        }
        let differs = |f: fn(&Cell) -> String| keys.iter().any(|one| f(&one.cell) != f(&keys[0].cell));
        let (models, sizes) = (differs(|c| c.model.clone()), differs(|c| format!("{:?}", c.train_size)));
        let metrics = |first: &Drawn| -> Vec<String> {
            let own = drawn.iter().filter(|one| panel_key(one) == panel_key(first));
            own.filter_map(|one| one.cell.metric.clone()).collect()
        };
        let panels = keys.iter().map(|first| {
            let metrics = metrics(first);
            let one_metric = metrics.iter().all(|metric| *metric == metrics[0]);
            let mut rows: Vec<(&str, DotRow)> = Vec::new();
            let mut own: Vec<&Drawn> = drawn.iter().filter(|one| panel_key(one) == panel_key(first)).collect();
            own.sort_by_key(|one| one.line);
            for one in own {
                let dot = Dot { line: one.line, x: one.mean, ends: one.interval, from: None };
                match rows.iter_mut().find(|(target, _)| *target == one.target) {
                    Some((_, row)) => row.dots.push(dot),
                    None => {
                        let metric = one.cell.metric.as_deref().unwrap_or("score");
                        let name = if one_metric { one.target.clone() } else { format!("{} ({metric})", one.target) };
                        rows.push((&one.target, DotRow { name, dots: vec![dot] }));
                    }
                }
            }
            let how = match first.way {
                Way::Eval => "evaluated",
                Way::Probe => "linear probe",
                Way::Transfer => "trained further",
            };
            // What a long name may cut off comes last.
            let trained = format!("{how} after {}", first.trained);
            DotPanel {
                title: panel_title(&trained, models.then_some(&*first.cell.model), sizes.then(|| size(&first.cell))),
                x_label: match metrics.first() {
                    Some(metric) if one_metric => super::style::metric(metric),
                    _ => "dev score × 100".to_owned(),
                },
                rows: rows.into_iter().map(|(_, row)| row).collect(),
                level: None,
            }
        });
        let panels = panels.collect();
        let legend = lines.iter().enumerate().filter(|(line, _)| drawn.iter().any(|one| one.line == *line));
        let legend = legend.map(|(line, name)| Legend::Line { line, name: name.clone() }).collect();
        let mut ways: Vec<Way> = drawn.iter().map(|one| one.way).collect();
        ways.sort_unstable();
        ways.dedup();
        over.sort_by_key(|name| (name != "p", name.clone()));
        over.dedup();
        Ok(Transfer { dots: Dots { panels, legend }, drawn, ways, over })
    }

    fn size(&self) -> (u32, u32) {
        self.dots.size()
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        self.dots.draw(on, pen)
    }

    fn caption(&self) -> String {
        let told = self.ways.iter().map(|way| match way {
            Way::Eval => " Evaluated: the trained model as it stands, its classes mapped to the other task's.",
            Way::Probe => " Linear probe: a fresh linear head on the frozen trained encoder.",
            Way::Transfer => " Trained further: the trained encoder with a fresh head.",
        });
        let mut caption = format!("Mean scores on other tasks than the one trained on.{}", told.collect::<String>());
        if self.drawn.iter().any(|one| one.interval.is_some()) {
            caption += " Bars are 95 % intervals of the mean over seeds.";
        } else {
            caption += " Each has one seed, so there is no interval.";
        }
        if !self.over.is_empty() {
            caption += &format!(" Each mode at its best on that dev set over {}.", in_words(&self.over));
        }
        caption
    }

    fn csv(&self) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let head = ["trained_on", "way", "task", "model", "train_size", "mode", "setting", "metric", "n"];
        csv.write_record(head.iter().chain(&["mean_points", "low_points", "high_points"]))?;
        for one in &self.drawn {
            let (low, high) = one.interval.unzip();
            let end = |end: Option<f64>| end.map_or(String::new(), |x| format!("{x:.4}"));
            csv.write_record([
                one.trained.clone(),
                one.way.word().to_owned(),
                one.target.clone(),
                one.cell.model.clone(),
                one.cell.train_size.map_or(String::new(), |n| n.to_string()),
                one.cell.mode.clone(),
                one.cell.setting(),
                one.cell.metric.clone().unwrap_or_default(),
                one.cell.n.to_string(),
                format!("{:.4}", one.mean),
                end(low),
                end(high),
            ])?;
        }
        Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
    }
}

/// What makes a dot, of one task.
fn line_key(cell: &Cell) -> (String, Option<u32>, String) {
    (cell.model.clone(), cell.train_size, cell.line())
}

fn panel_key(one: &Drawn) -> (&str, Way, &str, Option<u32>) {
    (&one.trained, one.way, &one.cell.model, one.cell.train_size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn a_panel_for_each_way_a_row_per_task_and_a_dot_per_mode() {
        let plot = Transfer::plan(&Data::of(&example::measured(1, 3)).unwrap()).unwrap();
        let told: Vec<(&str, usize)> = plot.dots.panels.iter().map(|p| (&*p.title, p.rows.len())).collect();
        assert_eq!(
            told,
            [
                ("evaluated after movies-rating", 2),
                ("linear probe after movies-rating", 2),
                ("trained further after movies-rating", 1)
            ]
        );
        let dots = &plot.dots.panels[0].rows[0].dots;
        assert_eq!(dots.iter().map(|dot| dot.line).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(dots.iter().all(|dot| dot.ends.is_some_and(|(low, high)| low < dot.x && dot.x < high)));
        assert!(plot.caption().contains("95 % intervals") && plot.caption().contains("over p"), "{}", plot.caption());
    }

    #[test]
    fn one_seed_has_no_interval() {
        let plot = Transfer::plan(&Data::of(&example::measured(1, 1)).unwrap()).unwrap();
        assert!(plot.drawn.iter().all(|one| one.interval.is_none()));
        assert!(plot.caption().contains("one seed"), "{}", plot.caption());
    }
}
