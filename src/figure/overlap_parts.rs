//! Where child networks overlap: the overlap rate less chance by layer, and by kind of matrix, between tasks and
//! between seeds.

use std::collections::HashMap;

use anyhow::Result;
use plotters::prelude::DrawingBackend;

use super::dots::{Dot, DotPanel, DotRow, Dots};
use super::legend::Legend;
use super::lines::{Level, Line, Panel, Panels, Point};
use super::style::Pen;
use super::{Area, Data, Plot};
use crate::frame::{Axis, Between, MaskPair, MaskUse, PartOverlap, PartRate, mask_pairs, part_rates, place};

/// The rates of one mode, model and p.
struct Cut {
    title: String,
    family: String,
    p: Option<f64>,
    rates: Vec<PartRate>,
}

/// A cut for every mode, model and p of which it is known what two masks share of each part.
fn cuts(data: &Data, axis: Axis) -> Result<Vec<Cut>, String> {
    if data.masks.is_empty() {
        return Err("No finished run has a fixed child network, so there are none to compare.".to_owned());
    }
    let mut known: HashMap<(&str, &str), Vec<&PartOverlap>> = HashMap::new();
    for part in &data.overlap_parts {
        known.entry((&part.a, &part.b)).or_default().push(part);
    }
    // As in the heatmaps, the largest of several training sizes.
    let size = |m: &MaskUse| m.train_size.unwrap_or(u32::MAX);
    let mut largest: HashMap<&str, u32> = HashMap::new();
    for used in &data.masks {
        let held = largest.entry(&used.family).or_default();
        *held = (*held).max(size(used));
    }
    let masks: Vec<MaskUse> = data.masks.iter().filter(|m| size(m) == largest[&*m.family]).cloned().collect();
    // Family and p, and the pairs of that setting.
    type Setting<'a> = (&'a str, Option<f64>);
    let mut settings: Vec<(Setting, Vec<MaskPair>)> = Vec::new();
    for used in &masks {
        if !settings.iter().any(|(setting, _)| *setting == (&used.family, used.p)) {
            settings.push(((&used.family, used.p), Vec::new()));
        }
    }
    for pair in mask_pairs(&masks) {
        let own = settings.iter_mut().find(|(setting, _)| *setting == (&pair.first.family, pair.first.p));
        own.into_iter().for_each(|(_, pairs)| pairs.push(pair));
    }
    let cuts = settings.into_iter().map(|((family, p), pairs)| Cut {
        title: p.map_or(family.to_owned(), |p| format!("{family} · p = {p}")),
        family: family.to_owned(),
        p,
        rates: part_rates(pairs, &known, axis),
    });
    let cuts: Vec<Cut> = cuts.filter(|cut| !cut.rates.is_empty()).collect();
    if cuts.is_empty() {
        return Err(
            "It is not known what child networks share of each layer: two of one setting and their mask files \
                    are needed once, when the sweep has run."
                .to_owned(),
        );
    }
    Ok(cuts)
}

fn csv_of(cuts: &[Cut], part: &str) -> Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let head =
        ["family", "p", part, "between", "pairs", "overlap_rate", "by_chance_within", "by_chance_overall", "std"];
    csv.write_record(head)?;
    for cut in cuts {
        for rate in &cut.rates {
            csv.write_record([
                cut.family.clone(),
                cut.p.map_or(String::new(), |p| p.to_string()),
                rate.part.clone(),
                between(rate.between).to_owned(),
                rate.pairs.to_string(),
                format!("{:.6}", rate.rate),
                format!("{:.6}", rate.chance_within),
                format!("{:.6}", rate.chance_overall),
                rate.std_within.map_or(String::new(), |s| format!("{s:.6}")),
            ])?;
        }
    }
    Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
}

fn between(between: Between) -> &'static str {
    match between {
        Between::Tasks => "tasks",
        Between::Seeds => "seeds",
    }
}

/// Line numbers: two tasks, two seeds.
const PAIRS: [(Between, usize); 2] = [(Between::Tasks, 1), (Between::Seeds, 2)];
/// Added to these for the lines less chance of the whole encoder.
const OVERALL: usize = 2;

fn has(cuts: &[Cut], between: Between) -> bool {
    cuts.iter().any(|cut| cut.rates.iter().any(|rate| rate.between == between))
}

/// How many pairs stand behind the rates, in words.
fn counted(cuts: &[Cut]) -> String {
    let most = |kind: Between| {
        let of_kind = cuts.iter().flat_map(|cut| &cut.rates).filter(|rate| rate.between == kind);
        of_kind.map(|rate| rate.pairs).max()
    };
    let told = PAIRS.iter().filter_map(|(kind, _)| Some((most(*kind)?, between(*kind))));
    let told: Vec<String> = told
        .map(|(n, kind)| {
            format!("{} of {kind}", if n == 1 { "one pair".to_owned() } else { format!("up to {n} pairs") })
        })
        .collect();
    told.join(" and ")
}

pub struct ByLayer {
    cuts: Vec<Cut>,
    panels: Panels,
}

impl Plot for ByLayer {
    fn plan(data: &Data) -> Result<ByLayer, String> {
        let cuts = cuts(data, Axis::Layer)?;
        let mut layers: Vec<&str> = cuts.iter().flat_map(|cut| &cut.rates).map(|rate| &*rate.part).collect();
        layers.sort_by_key(|part| place(part));
        layers.dedup();
        let at = |part: &str| layers.iter().position(|layer| *layer == part).unwrap_or(0) as f64;
        let panels = cuts.iter().map(|cut| {
            let line = |kind: Between, line: usize, overall: bool| {
                let own = cut.rates.iter().filter(|rate| rate.between == kind);
                let points = own.map(|rate| Point {
                    x: at(&rate.part),
                    y: rate.rate - if overall { rate.chance_overall } else { rate.chance_within },
                    spread: rate.std_within.filter(|_| !overall),
                });
                Line { line, points: points.collect() }
            };
            let lines = PAIRS
                .iter()
                .flat_map(|(kind, number)| [line(*kind, *number, false), line(*kind, number + OVERALL, true)]);
            Panel {
                title: cut.title.clone(),
                y_label: "overlap rate less chance".to_owned(),
                lines: lines.filter(|line| !line.points.is_empty()).collect(),
                levels: vec![Level { line: 0, at: Point { x: 0.0, y: 0.0, spread: None } }],
            }
        });
        let panels = panels.collect();
        let kinds = PAIRS.iter().filter(|(kind, _)| has(&cuts, *kind));
        let names = kinds.flat_map(|(kind, number)| {
            let name = |chance: &str| format!("between {}, less chance {chance}", between(*kind));
            let overall = name("of the whole encoder");
            [
                Legend::Line { line: *number, name: name("within the layer") },
                Legend::Line { line: number + OVERALL, name: overall },
            ]
        });
        let legend = names.chain([Legend::Level { line: 0, name: "as by chance".to_owned() }]).collect();
        let x_ticks = layers.iter().map(|layer| (at(layer), shown(layer).to_owned())).collect();
        Ok(ByLayer { panels: Panels { panels, x_label: "layer".to_owned(), x_ticks, legend }, cuts })
    }

    fn size(&self) -> (u32, u32) {
        self.panels.size()
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        self.panels.draw(on, pen)
    }

    fn caption(&self) -> String {
        format!(
            "Overlap rate: shared entries of those that the smaller child network keeps of the layer; means over {}. Less \
             what random masks would share that keep as many entries of this layer (bands are ± one standard deviation \
             over pairs), or as many of the whole encoder, spread evenly: the second is above the first in layers that \
             both child networks favour.",
            counted(&self.cuts)
        )
    }

    fn csv(&self) -> Result<String> {
        csv_of(&self.cuts, "layer")
    }
}

/// A layer's name as there is room for it below an axis.
fn shown(layer: &str) -> &str {
    match layer {
        "embeddings" => "emb.",
        "pooler" => "pool.",
        other => other,
    }
}

pub struct ByKind {
    cuts: Vec<Cut>,
    dots: Dots,
}

impl Plot for ByKind {
    fn plan(data: &Data) -> Result<ByKind, String> {
        let cuts = cuts(data, Axis::Kind)?;
        let panels = cuts.iter().map(|cut| {
            let mut rows: Vec<DotRow> = Vec::new();
            for rate in &cut.rates {
                let x = rate.rate - rate.chance_within;
                let line = PAIRS.iter().find(|(kind, _)| *kind == rate.between).map_or(0, |(_, line)| *line);
                let dot = Dot { line, x, ends: rate.std_within.map(|s| (x - s, x + s)), from: None };
                match rows.iter_mut().find(|row| row.name == rate.part) {
                    Some(row) => row.dots.push(dot),
                    None => rows.push(DotRow { name: rate.part.clone(), dots: vec![dot] }),
                }
            }
            DotPanel {
                title: cut.title.clone(),
                x_label: "overlap rate less chance within the kind".to_owned(),
                rows,
                level: Some(0.0),
            }
        });
        let panels = panels.collect();
        let kinds = PAIRS.iter().filter(|(kind, _)| has(&cuts, *kind));
        let names = kinds.map(|(kind, line)| Legend::Line { line: *line, name: format!("between {}", between(*kind)) });
        let legend = names.chain([Legend::Level { line: 0, name: "as by chance".to_owned() }]).collect();
        Ok(ByKind { dots: Dots { panels, legend }, cuts })
    }

    fn size(&self) -> (u32, u32) {
        self.dots.size()
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        self.dots.draw(on, pen)
    }

    fn caption(&self) -> String {
        format!(
            "Overlap rate: shared entries of those that the smaller child network keeps of this kind of parameters, over \
             all layers, less what random masks would share that keep as many of them; means over {}. Bars are ± one \
             standard deviation over pairs.",
            counted(&self.cuts)
        )
    }

    fn csv(&self) -> Result<String> {
        csv_of(&self.cuts, "kind")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn layers_in_order_and_a_line_for_each_pair_and_chance() {
        let plot = ByLayer::plan(&Data::of(&example::measured(2, 3)).unwrap()).unwrap();
        let panel = &plot.panels.panels[0];
        assert_eq!(panel.lines.iter().map(|l| l.line).collect::<Vec<_>>(), [1, 3, 2, 4]);
        assert!(panel.lines.iter().all(|l| l.points.windows(2).all(|w| w[0].x < w[1].x)));
        let ticks: Vec<&str> = plot.panels.x_ticks.iter().map(|(_, name)| &**name).collect();
        assert_eq!(ticks, ["emb.", "0", "1", "2", "3", "4", "5", "pool."]);
        let rate = plot.cuts[0].rates.iter().find(|r| r.part == "3" && r.between == Between::Tasks).unwrap();
        assert_eq!(rate.pairs, 3, "one pair of tasks for each of three seeds");
        let point = panel.lines[0].points[4];
        assert!((point.y - (rate.rate - rate.chance_within)).abs() < 1e-12);
    }

    #[test]
    fn kinds_have_a_row_each_with_a_dot_for_each_pair() {
        let plot = ByKind::plan(&Data::of(&example::measured(2, 2)).unwrap()).unwrap();
        let rows: Vec<(&str, usize)> =
            plot.dots.panels[0].rows.iter().map(|row| (&*row.name, row.dots.len())).collect();
        assert_eq!(rows[..3], [("embeddings", 2), ("query", 2), ("output", 2)]);
        let one = ByKind::plan(&Data::of(&example::measured(2, 1)).unwrap()).unwrap();
        assert!(one.dots.panels[0].rows.iter().all(|row| row.dots.len() == 1 && row.dots[0].ends.is_none()));
    }
}
