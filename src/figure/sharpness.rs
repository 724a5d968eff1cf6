//! Sharpness where training ended, against p and mode: the largest eigenvalue of the Hessian, and how much the loss
//! rises along the gradient and under random perturbation.

use anyhow::Result;
use plotters::prelude::DrawingBackend;

use super::legend::Legend;
use super::lines::{Level, Line, Panel, Panels, Point, panel_title};
use super::measured::{point, size, told};
use super::reserve_rate::{key, point_key};
use super::style::Pen;
use super::{Area, Data, Plot};
use crate::frame::{Cell, REFERENCE, Sharpness as Measured, best_of, chosen_over, in_words};

/// Name in the CSV, words for the axis, the number itself.
type Quantity = (&'static str, &'static str, fn(&Measured) -> f64);
const QUANTITIES: [Quantity; 3] = [
    ("eigenvalue", "largest Hessian eigenvalue", |s| s.eigenvalue),
    ("rise_ascent", "loss rise along the gradient", |s| s.rise_ascent),
    ("rise_random", "loss rise, random directions", |s| s.rise_random),
];

pub struct Sharpness {
    panels: Panels,
    drawn: Vec<Drawn>,
    /// What the best on dev was chosen over at one p.
    over: Vec<String>,
    /// How far the loss was looked at, and over how many examples.
    probe: String,
}

/// A setting with its quantities, x unknown as yet.
struct Drawn {
    cell: Cell,
    line: usize,
    runs: usize,
    points: [Option<Point>; 3],
}

impl Plot for Sharpness {
    fn plan(data: &Data) -> Result<Sharpness, String> {
        let of_cell = |cell: &Cell| -> Vec<Measured> {
            data.runs_of(cell).filter_map(|r| r.outcome()?.sharpness.clone()).collect()
        };
        let measured: Vec<&Cell> = data.cells.iter().filter(|cell| !of_cell(cell).is_empty()).collect();
        let Some(first) = measured.first().and_then(|cell| of_cell(cell).into_iter().next()) else {
            return Err("No run measured the sharpness of the loss where it ended.".to_owned());
        };
        let lines = data.lines();
        let drawn: Vec<Drawn> = best_of(measured.iter().copied(), point_key)
            .into_iter()
            .filter_map(|cell| {
                let line = lines.iter().position(|name| *name == cell.line())?;
                let runs = of_cell(cell);
                let points = QUANTITIES.map(|(.., value)| point(0.0, runs.iter().map(value)));
                Some(Drawn { cell: cell.clone(), line, runs: runs.len(), points })
            })
            .collect();
        let mut rates: Vec<f64> = drawn.iter().filter_map(|one| one.cell.p).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        // Modes without p stand right of the axis of p, side by side in the order of the lines.
        let is_level = |one: &Drawn| one.cell.p.is_none() && one.cell.mode == REFERENCE;
        let mut beside: Vec<usize> =
            drawn.iter().filter(|one| one.cell.p.is_none() && !is_level(one)).map(|one| one.line).collect();
        beside.sort_unstable();
        beside.dedup();
        let (low, high) = (rates.first().copied().unwrap_or(0.0), rates.last().copied().unwrap_or(0.0));
        let step = if high > low { (high - low) * 0.09 } else { 0.1 };
        let x_of = |one: &Drawn| match one.cell.p {
            Some(p) => p,
            None => high + step * (1.5 + beside.iter().position(|line| *line == one.line).unwrap_or(0) as f64),
        };
        let keys = best_of(drawn.iter().map(|one| &one.cell), key);
        let differs = |f: fn(&Cell) -> String| keys.iter().any(|c| f(c) != f(keys[0]));
        let (models, sizes) = (differs(|c| c.model.clone()), differs(|c| format!("{:?}", c.train_size)));
        let panel = |first: &Cell, quantity: usize| {
            let own = |line: usize| drawn.iter().filter(move |one| one.line == line && key(&one.cell) == key(first));
            let placed = |one: &Drawn| one.points[quantity].map(|at| Point { x: x_of(one), ..at });
            let curves = (0..lines.len()).flat_map(|line| {
                // A mode without p is a mark alone.
                let mut points: Vec<Point> = own(line).filter(|one| !is_level(one)).filter_map(placed).collect();
                points.sort_by(|a, b| a.x.total_cmp(&b.x));
                (!points.is_empty()).then_some(Line { line, points })
            });
            let level = |line: usize| own(line).find(|one| is_level(one)).and_then(|one| one.points[quantity]);
            let levels = (0..lines.len()).filter_map(|line| Some(Level { line, at: level(line)? }));
            Panel {
                title: panel_title(&first.task, models.then_some(&*first.model), sizes.then(|| size(first))),
                y_label: QUANTITIES[quantity].1.to_owned(),
                lines: curves.collect(),
                levels: levels.collect(),
            }
        };
        let panels = keys.iter().flat_map(|first| [0, 1, 2].map(|quantity| panel(first, quantity))).collect();
        let has = |line: usize, level: bool| drawn.iter().any(|one| one.line == line && is_level(one) == level);
        let numbered = || lines.iter().cloned().enumerate();
        let curves = numbered().filter(|(line, _)| has(*line, false)).map(|(line, name)| Legend::Line { line, name });
        let levels = numbered().filter(|(line, _)| has(*line, true));
        let levels = levels.map(|(line, name)| Legend::Level { line, name: format!("{name} (no p)") });
        let legend = curves.chain(levels).collect();
        let ticks = rates.iter().map(|p| (*p, p.to_string()));
        let middle = (!beside.is_empty()).then(|| high + step * (1.5 + (beside.len() - 1) as f64 / 2.0));
        let x_ticks = ticks.chain(middle.map(|x| (x, "no p".to_owned()))).collect();
        Ok(Sharpness {
            panels: Panels { panels, x_label: "reserve rate p".to_owned(), x_ticks, legend },
            over: chosen_over(measured, point_key),
            probe: format!(
                "over {} training examples, without dropout; along the gradient by ρ = {}, in {} random directions with \
                 σ = {} an entry",
                first.examples, first.rho, first.directions, first.sigma
            ),
            drawn,
        })
    }

    fn size(&self) -> (u32, u32) {
        self.panels.size()
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        self.panels.draw(on, pen)
    }

    fn caption(&self) -> String {
        let mut caption = format!("The loss where training ended, {}: means over seeds.", self.probe);
        if self.drawn.iter().any(|one| one.points[0].is_some_and(|at| at.spread.is_some())) {
            caption += " Bands and bars are ± one standard deviation.";
            caption += &self.panels.left_out();
        }
        if !self.over.is_empty() {
            caption += &format!(" At each p the best on dev over {} is drawn.", in_words(&self.over));
        }
        caption + " Less is flatter."
    }

    fn csv(&self) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let head = ["task", "model", "train_size", "mode", "p", "setting", "n"].map(str::to_owned);
        let quantities = QUANTITIES.iter().flat_map(|(name, ..)| [format!("{name}_mean"), format!("{name}_std")]);
        csv.write_record(head.into_iter().chain(quantities))?;
        for one in &self.drawn {
            let head = [
                one.cell.task.clone(),
                one.cell.model.clone(),
                one.cell.train_size.map_or(String::new(), |n| n.to_string()),
                one.cell.mode.clone(),
                one.cell.p.map_or(String::new(), |p| p.to_string()),
                one.cell.setting(),
                one.runs.to_string(),
            ];
            let values = one.points.iter().flat_map(|at| [told(at.map(|a| a.y)), told(at.and_then(|a| a.spread))]);
            csv.write_record(head.into_iter().chain(values))?;
        }
        Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn three_panels_a_task_with_the_reference_as_a_level() {
        let plot = Sharpness::plan(&Data::of(&example::measured(2, 3)).unwrap()).unwrap();
        assert_eq!(plot.panels.panels.len(), 2 * 3);
        for panel in &plot.panels.panels {
            assert_eq!((panel.lines.len(), panel.levels.len()), (2, 1));
            assert!(panel.lines.iter().all(|line| line.points.len() == 5));
        }
        let one = &plot.drawn[0];
        assert_eq!(one.runs, 3);
        assert!(one.points[0].unwrap().spread.is_some());
    }

    #[test]
    fn modes_without_a_rate_stand_beside_the_axis() {
        let study = example::measured_modes(12, 1);
        let plot = Sharpness::plan(&Data::of(&study).unwrap()).unwrap();
        let panel = &plot.panels.panels[0];
        let mut places: Vec<f64> = panel.lines.iter().flat_map(|line| &line.points).map(|at| at.x).collect();
        assert_eq!(places.len(), 12);
        places.dedup();
        assert_eq!(places.len(), 12, "no two marks stand on one another");
        assert_eq!(plot.panels.x_ticks.len(), 1);
    }
}
