//! Theorem 1 on the real model: the variance of a masked SGD step against p, marks as measured over the closed form.

use anyhow::Result;
use plotters::prelude::DrawingBackend;

use super::legend::Legend;
use super::lines::{Line, Panel, Panels, Point, panel_title};
use super::measured::{point, size};
use super::style::Pen;
use super::{Area, Data, Plot};
use crate::frame::{Cell, Record};

pub struct UpdateVariance {
    panels: Panels,
    /// The closed form in each panel.
    theory: Vec<Vec<Line>>,
    drawn: Vec<Drawn>,
}

/// One p of one line.
struct Drawn {
    cell: Cell,
    /// `start`, or `end` of training by the cell's line.
    at: String,
    p: f64,
    runs: usize,
    /// Decimal logarithms, means over runs.
    measured: Point,
    closed: Point,
}

/// Points of the closed form between two values of p.
const STEPS: u32 = 24;

impl Plot for UpdateVariance {
    fn plan(data: &Data) -> Result<UpdateVariance, String> {
        let lines = data.lines();
        // Where training starts is the same for every mode.
        let number = |cell: &Cell, at: &str| match at {
            "start" => lines.len(),
            _ => lines.iter().position(|name| *name == cell.line()).unwrap_or(0),
        };
        let mut series: Vec<(usize, String, Cell, Vec<&Record>)> = Vec::new();
        for cell in &data.cells {
            for record in data.runs_of(cell) {
                for variance in record.outcome().into_iter().flat_map(|o| &o.variance) {
                    let own = |(line, at, held, _): &&mut (usize, String, Cell, _)| {
                        (*line, at, key(held)) == (number(cell, &variance.at), &variance.at, key(cell))
                    };
                    match series.iter_mut().find(own) {
                        Some((.., runs)) if runs.last().is_some_and(|last| last.id == record.id) => {}
                        Some((.., runs)) => runs.push(record),
                        None => {
                            let line = number(cell, &variance.at);
                            series.push((line, variance.at.clone(), cell.clone(), vec![record]));
                        }
                    }
                }
            }
        }
        if series.is_empty() {
            return Err("No run measured the variance of its steps under a mask.".to_owned());
        }
        let mut drawn: Vec<(usize, Drawn)> = Vec::new();
        for (line, at, cell, runs) in &series {
            let found = || runs.iter().filter_map(|r| r.outcome()).flat_map(|o| &o.variance).filter(|v| v.at == *at);
            let mut rates: Vec<f64> = found().map(|v| v.p).collect();
            rates.sort_by(f64::total_cmp);
            rates.dedup();
            for p in rates {
                let own = || found().filter(|v| v.p == p && v.measured > 0.0 && v.closed > 0.0);
                let measured = point(p, own().map(|v| v.measured.log10()));
                let closed = point(p, own().map(|v| v.closed.log10()));
                if let (Some(measured), Some(closed)) = (measured, closed) {
                    let one = Drawn { cell: cell.clone(), at: at.clone(), p, runs: own().count(), measured, closed };
                    drawn.push((*line, one));
                }
            }
        }
        let mut keys: Vec<Cell> = Vec::new();
        for (_, one) in &drawn {
            if !keys.iter().any(|held| key(held) == key(&one.cell)) {
                keys.push(one.cell.clone());
            }
        }
        if keys.is_empty() {
            return Err("No run measured a variance of its steps that is above zero.".to_owned());
        }
        let models = keys.iter().any(|c| c.model != keys[0].model);
        let sizes = keys.iter().any(|c| c.train_size != keys[0].train_size);
        let mut numbers: Vec<usize> = drawn.iter().map(|(line, _)| *line).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let of = |first: &Cell, curve: &dyn Fn(&[&Drawn]) -> Vec<Point>| -> Vec<Line> {
            let of_line = |line: &usize| {
                let own = drawn.iter().filter(|(own, one)| own == line && key(&one.cell) == key(first));
                Line { line: *line, points: curve(&own.map(|(_, one)| one).collect::<Vec<_>>()) }
            };
            numbers.iter().map(of_line).filter(|line| !line.points.is_empty()).collect()
        };
        let theory = keys.iter().map(|first| of(first, &|own| smooth(own))).collect();
        let panels = keys.iter().map(|first| Panel {
            title: panel_title(&first.task, models.then_some(&*first.model), sizes.then(|| size(first))),
            y_label: "variance of the step / η²".to_owned(),
            lines: of(first, &|own| own.iter().map(|one| one.measured).collect()),
            levels: Vec::new(),
        });
        let panels = panels.collect();
        let mut rates: Vec<f64> = drawn.iter().map(|(_, one)| one.p).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        let legend = numbers.iter().map(|line| Legend::Line {
            line: *line,
            name: match lines.get(*line) {
                Some(name) => format!("after training by {name}"),
                None => "before training".to_owned(),
            },
        });
        let legend = legend.collect();
        Ok(UpdateVariance {
            panels: Panels {
                panels,
                x_label: "p of the Bernoulli mask (marks: measured; lines: Theorem 1)".to_owned(),
                x_ticks: rates.into_iter().map(|p| (p, p.to_string())).collect(),
                legend,
            },
            theory,
            drawn: drawn.into_iter().map(|(_, one)| one).collect(),
        })
    }

    fn size(&self) -> (u32, u32) {
        self.panels.size()
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        self.panels.draw_over(on, pen, &self.theory)
    }

    fn caption(&self) -> String {
        let off =
            self.drawn.iter().map(|one| (10f64.powf(one.measured.y - one.closed.y) - 1.0).abs()).fold(0.0, f64::max);
        let mut caption = format!(
            "Marks: the variance of an SGD step whose gradient is masked by Bernoulli(p) and divided by p, summed over \
             parameters, as measured over batches and masks. Lines: tr Σ / p + (1 − p)/p ‖μ‖² from the unmasked gradients \
             of the same batches (Theorem 1). The largest departure of a mark from its line is {:.1} %.",
            100.0 * off
        );
        if self.drawn.iter().any(|one| one.measured.spread.is_some()) {
            caption += " Means over runs, of the logarithms; bars are ± one standard deviation.";
        }
        caption
    }

    fn csv(&self) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["task", "model", "train_size", "at", "mode", "p", "runs", "measured", "closed"])?;
        for one in &self.drawn {
            csv.write_record([
                one.cell.task.clone(),
                one.cell.model.clone(),
                one.cell.train_size.map_or(String::new(), |n| n.to_string()),
                one.at.clone(),
                if one.at == "start" { String::new() } else { one.cell.line() },
                one.p.to_string(),
                one.runs.to_string(),
                format!("{:.5e}", 10f64.powf(one.measured.y)),
                format!("{:.5e}", 10f64.powf(one.closed.y)),
            ])?;
        }
        Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
    }
}

/// What makes a panel.
fn key(cell: &Cell) -> (&str, &str, Option<u32>) {
    (&cell.task, &cell.model, cell.train_size)
}

/// The closed form between the measured p too: p times it is linear in p, so it follows from the two neighbours.
fn smooth(own: &[&Drawn]) -> Vec<Point> {
    let at = |one: &Drawn| one.p * 10f64.powf(one.closed.y);
    let mut points = Vec::new();
    for pair in own.windows(2) {
        for step in 0..STEPS {
            let share = f64::from(step) / f64::from(STEPS);
            let p = pair[0].p + share * (pair[1].p - pair[0].p);
            let value = at(pair[0]) + share * (at(pair[1]) - at(pair[0]));
            points.push(Point { x: p, y: (value / p).log10(), spread: None });
        }
    }
    points.extend(own.last().map(|one| Point { spread: None, ..one.closed }));
    points
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn the_start_is_one_line_and_the_end_one_for_each_mode() {
        let data = Data::of(&example::measured(2, 3)).unwrap();
        let plot = UpdateVariance::plan(&data).unwrap();
        assert_eq!(plot.panels.panels.len(), 2);
        let lines: Vec<usize> = plot.panels.panels[0].lines.iter().map(|l| l.line).collect();
        assert_eq!(lines, [0, 1, 2, data.lines().len()]);
        assert_eq!(plot.panels.panels[0].lines[0].points.len(), 4);
        let start = plot.drawn.iter().find(|one| one.at == "start").unwrap();
        assert_eq!(start.runs, 3 * 11, "every run starts at the point of its seed");
    }

    #[test]
    fn the_closed_form_is_exact_between_measured_rates() {
        let closed = |p: f64| 2.0 / p + (1.0 - p) / p * 3.0;
        let cell = example::cell("vanilla", &[(1, 0.5)]);
        let drawn: Vec<Drawn> = [0.2, 0.5, 1.0]
            .into_iter()
            .map(|p| {
                let at = Point { x: p, y: closed(p).log10(), spread: None };
                Drawn { cell: cell.clone(), at: "end".into(), p, runs: 1, measured: at, closed: at }
            })
            .collect();
        let points = smooth(&drawn.iter().collect::<Vec<_>>());
        assert_eq!(points.len(), 2 * STEPS as usize + 1);
        assert!(points.iter().all(|at| (at.y - closed(at.x).log10()).abs() < 1e-12));
    }
}
