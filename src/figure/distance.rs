//! How far training went from the pre-trained point, layer by layer, a line per mode at its best p and tuned values.

use anyhow::Result;
use plotters::prelude::DrawingBackend;

use super::legend::Legend;
use super::lines::{Line, Panel, Panels, Point, panel_title};
use super::measured::{point, size};
use super::reserve_rate::key;
use super::style::Pen;
use super::{Area, Data, Plot};
use crate::frame::{Cell, best_of, chosen_over, in_words, place};

pub struct Distance {
    panels: Panels,
    drawn: Vec<Drawn>,
    /// What the best on dev was chosen over.
    over: Vec<String>,
}

struct Drawn {
    cell: Cell,
    line: usize,
    /// Layer, mean and standard deviation over runs in percent, and how many there are.
    layers: Vec<(String, Point, usize)>,
}

impl Plot for Distance {
    fn plan(data: &Data) -> Result<Distance, String> {
        let is_measured =
            |cell: &&Cell| data.runs_of(cell).any(|r| r.outcome().is_some_and(|o| !o.distance.is_empty()));
        let measured: Vec<&Cell> = data.cells.iter().filter(is_measured).collect();
        if measured.is_empty() {
            return Err("No run measured its distance from the pre-trained point.".to_owned());
        }
        let distances = |cell| data.runs_of(cell).filter_map(|r| r.outcome()).flat_map(|o| &o.distance);
        let mut names: Vec<&str> = measured.iter().flat_map(|cell| distances(cell)).map(|d| &*d.layer).collect();
        names.sort_by_key(|name| place(name));
        names.dedup();
        let lines = data.lines();
        let drawn: Vec<Drawn> = best_of(measured.iter().copied(), line_key)
            .into_iter()
            .filter_map(|cell| {
                let line = lines.iter().position(|name| *name == cell.line())?;
                let of_layer = |(x, name): (usize, &&str)| {
                    let own = || distances(cell).filter(|d| d.layer == **name && d.from > 0.0);
                    let at = point(x as f64, own().map(|d| 100.0 * d.moved / d.from))?;
                    Some(((*name).to_owned(), at, own().count()))
                };
                Some(Drawn {
                    cell: cell.clone(),
                    line,
                    layers: names.iter().enumerate().filter_map(of_layer).collect(),
                })
            })
            .collect();
        let keys = best_of(drawn.iter().map(|one| &one.cell), key);
        let differs = |f: fn(&Cell) -> String| keys.iter().any(|c| f(c) != f(keys[0]));
        let (models, sizes) = (differs(|c| c.model.clone()), differs(|c| format!("{:?}", c.train_size)));
        let panels = keys.iter().map(|first| {
            let own = drawn.iter().filter(|one| key(&one.cell) == key(first) && !one.layers.is_empty());
            let curves = own.map(|one| {
                let points = one.layers.iter().map(|(_, at, _)| *at).collect();
                Line { line: one.line, points }
            });
            Panel {
                title: panel_title(&first.task, models.then_some(&*first.model), sizes.then(|| size(first))),
                y_label: "‖θ − θ⁰‖ / ‖θ⁰‖ in %".to_owned(),
                lines: curves.collect(),
                levels: Vec::new(),
            }
        });
        let panels = panels.collect();
        let shown = |name: &str| match name {
            "embeddings" => "emb.".to_owned(),
            "pooler" => "pool.".to_owned(),
            other => other.to_owned(),
        };
        let x_ticks = names.iter().enumerate().map(|(x, name)| (x as f64, shown(name))).collect();
        let legend = lines.iter().enumerate().filter(|(line, _)| drawn.iter().any(|one| one.line == *line));
        let legend = legend.map(|(line, name)| Legend::Line { line, name: name.clone() }).collect();
        Ok(Distance {
            panels: Panels { panels, x_label: "layer".to_owned(), x_ticks, legend },
            over: chosen_over(measured, line_key),
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
        let mut caption = String::from(
            "How far the parameters of each layer lie from the pre-trained ones when training ends, relative to the norm \
             of these; means over seeds.",
        );
        if self.drawn.iter().flat_map(|one| &one.layers).any(|(_, at, _)| at.spread.is_some()) {
            caption += " Bands are ± one standard deviation.";
            caption += &self.panels.left_out();
        }
        if !self.over.is_empty() {
            caption += &format!(" Each line shows the best on dev over {}, named in the CSV.", in_words(&self.over));
        }
        caption
    }

    fn csv(&self) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let head = ["task", "model", "train_size", "mode", "setting", "layer", "n", "mean_percent", "std_percent"];
        csv.write_record(head)?;
        for one in &self.drawn {
            for (layer, at, runs) in &one.layers {
                csv.write_record([
                    one.cell.task.clone(),
                    one.cell.model.clone(),
                    one.cell.train_size.map_or(String::new(), |n| n.to_string()),
                    one.cell.mode.clone(),
                    one.cell.setting(),
                    layer.clone(),
                    runs.to_string(),
                    format!("{:.6}", at.y),
                    at.spread.map_or(String::new(), |s| format!("{s:.6}")),
                ])?;
            }
        }
        Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
    }
}

/// What makes a line.
fn line_key(cell: &Cell) -> ((String, String, Option<u32>), String) {
    (key(cell), cell.line())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn a_line_per_mode_over_layers_in_order_relative_to_where_it_began() {
        let data = Data::of(&example::measured(1, 2)).unwrap();
        let plot = Distance::plan(&data).unwrap();
        let ticks: Vec<&str> = plot.panels.x_ticks.iter().map(|(_, name)| &**name).collect();
        assert_eq!(ticks, ["emb.", "0", "1", "2", "3", "4", "5", "pool."]);
        assert_eq!(plot.panels.panels[0].lines.len(), 3);
        assert!(plot.caption().contains("the best on dev over p"), "{}", plot.caption());
        let vanilla = &plot.drawn[0];
        let runs: Vec<_> = data.runs_of(&vanilla.cell).map(|r| r.outcome().unwrap().distance[1].clone()).collect();
        let mean = runs.iter().map(|d| 100.0 * d.moved / d.from).sum::<f64>() / 2.0;
        assert!((vanilla.layers[1].1.y - mean).abs() < 1e-12);
    }
}
