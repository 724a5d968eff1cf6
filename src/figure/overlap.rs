//! Overlap of the tasks' child networks: a heatmap per mode and reserve rate, Jaccard above the diagonal, overlap
//! rate below it, and on it sizes and the overlap rate between seeds of the task.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{self, Pen};
use super::{Area, Data, Plot, drawing};
use crate::frame::{MaskUse, Overlap};

pub struct Heatmaps {
    maps: Vec<Heatmap>,
    /// Some masks were made on fewer training examples than the ones shown.
    sizes_left_out: bool,
}

struct Heatmap {
    title: String,
    family: String,
    p: Option<f64>,
    tasks: Vec<String>,
    /// Entries kept by each task's mask, mean over seeds, and entries covered.
    sizes: Vec<(u64, u64)>,
    /// For tasks i < j, means over the seeds that both have a mask for; for i = j over pairs of seeds of the task.
    pairs: BTreeMap<(usize, usize), Pair>,
}

/// Means over pairs of masks.
struct Pair {
    masks: usize,
    jaccard: f64,
    rate: f64,
    jaccard_by_chance: f64,
    rate_by_chance: f64,
}

const CELL: (i32, i32) = (96, 58);
/// Names of tasks are cut behind this many pixels.
const LONGEST: i32 = 180;
const HEAD: i32 = 34;
const NAMES: i32 = 44;
const FOOT: i32 = 30;
const MARGIN: i32 = 14;
const GAP: i32 = 28;
const BAR: i32 = 76;

impl Plot for Heatmaps {
    fn plan(data: &Data) -> Result<Heatmaps, String> {
        if data.masks.is_empty() {
            return Err("No finished run has a fixed child network, so there are none to compare.".to_owned());
        }
        // Of several training sizes the largest speaks for a task best, and one is enough for a picture.
        let rank = |m: &MaskUse| m.train_size.unwrap_or(u32::MAX);
        let largest = |m: &&MaskUse| data.masks.iter().all(|o| o.family != m.family || rank(o) <= rank(m));
        let masks: Vec<&MaskUse> = data.masks.iter().filter(largest).collect();
        let mut keys: Vec<(&str, Option<f64>)> = Vec::new();
        for used in &masks {
            if !keys.contains(&(&*used.family, used.p)) {
                keys.push((&used.family, used.p));
            }
        }
        let known = by_keys(&data.overlaps);
        let maps: Vec<Heatmap> = keys
            .into_iter()
            .map(|(family, p)| {
                let own: Vec<&MaskUse> = masks.iter().copied().filter(|m| m.family == family && m.p == p).collect();
                Heatmap::of(family, p, &own, &known)
            })
            .filter(|map| !map.pairs.is_empty())
            .collect();
        if maps.is_empty() {
            return Err(
                "No two tasks, and no two seeds of a task, have child networks of the same setting that could be \
                        compared (their mask files are needed once)."
                    .to_owned(),
            );
        }
        let sizes_left_out = masks.len() < data.masks.len();
        Ok(Heatmaps { maps, sizes_left_out })
    }

    fn size(&self) -> (u32, u32) {
        let (columns, rows) = self.grid();
        let (wide, high) = self.map_size();
        let width = 2 * MARGIN + columns * wide + (columns - 1) * GAP + BAR;
        let height = 2 * MARGIN + rows * high + (rows - 1) * GAP;
        (width.max(420) as u32, height as u32)
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        let (columns, _) = self.grid();
        let (wide, high) = self.map_size();
        for (i, map) in self.maps.iter().enumerate() {
            let (column, row) = (i as i32 % columns, i as i32 / columns);
            let corner = (MARGIN + column * (wide + GAP), MARGIN + row * (high + GAP));
            let area = on.clone().shrink((pen.px(corner.0), pen.px(corner.1)), (pen.px(wide), pen.px(high)));
            map.draw(&area, pen, self.names())?;
        }
        let right = MARGIN + columns * (wide + GAP) - GAP + 22;
        draw_bar(on, pen, right, MARGIN + HEAD + NAMES, high - HEAD - NAMES - FOOT)
    }

    fn caption(&self) -> String {
        let chance: Vec<String> = self
            .maps
            .iter()
            .map(|map| {
                let mean = |f: fn(&Pair) -> f64| map.pairs.values().map(f).sum::<f64>() / map.pairs.len() as f64;
                let (jaccard, rate) = (mean(|p| p.jaccard_by_chance), mean(|p| p.rate_by_chance));
                format!("{}: Jaccard {jaccard:.2}, overlap rate {rate:.2}", map.title)
            })
            .collect();
        let counts = |own: fn(&(usize, usize)) -> bool| -> Option<(usize, usize)> {
            let all = self.maps.iter().flat_map(|m| m.pairs.iter().filter(|(at, _)| own(at)).map(|(_, p)| p.masks));
            all.fold(None, |range, n| Some(range.map_or((n, n), |(a, b): (usize, usize)| (a.min(n), b.max(n)))))
        };
        let of_tasks = match counts(|(i, j)| i != j) {
            None => "no two tasks could be compared",
            Some((1, 1)) => "one seed",
            Some((a, b)) if a == b => &format!("means over {a} seeds"),
            Some((a, b)) => &format!("means over {a} to {b} seeds"),
        };
        let of_seeds = match counts(|(i, j)| i == j) {
            None => "",
            Some(_) => "; and below these the overlap rate between seeds of the task, each with the next",
        };
        let sizes = if self.sizes_left_out { " Of several training sizes the largest is shown." } else { "" };
        format!(
            "Above the diagonal Jaccard (shared entries of the union), below it the overlap rate (shared entries of \
             the smaller child network), {of_tasks}, masks of equal seed. On it the entries kept, of those \
             covered{of_seeds}. Expected of random masks of these sizes – {}.{sizes}",
            chance.join("; ")
        )
    }

    fn csv(&self) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record([
            "family",
            "p",
            "task_a",
            "task_b",
            "pairs",
            "kept_a",
            "kept_b",
            "of",
            "jaccard",
            "overlap_rate",
            "jaccard_by_chance",
            "overlap_rate_by_chance",
        ])?;
        for map in &self.maps {
            for j in 0..map.tasks.len() {
                for i in 0..=j {
                    let Some(pair) = map.pairs.get(&(i, j)) else { continue };
                    csv.write_record([
                        map.family.clone(),
                        map.p.map_or(String::new(), |p| p.to_string()),
                        map.tasks[i].clone(),
                        map.tasks[j].clone(),
                        pair.masks.to_string(),
                        map.sizes[i].0.to_string(),
                        map.sizes[j].0.to_string(),
                        map.sizes[i].1.to_string(),
                        format!("{:.6}", pair.jaccard),
                        format!("{:.6}", pair.rate),
                        format!("{:.6}", pair.jaccard_by_chance),
                        format!("{:.6}", pair.rate_by_chance),
                    ])?;
                }
            }
        }
        Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
    }
}

type Known<'a> = HashMap<(&'a str, &'a str), &'a Overlap>;

/// Overlaps by their keys, both ways round.
fn by_keys(overlaps: &[Overlap]) -> Known<'_> {
    overlaps.iter().flat_map(|o| [((&*o.a, &*o.b), o), ((&*o.b, &*o.a), o)]).collect()
}

impl Heatmaps {
    /// Maps side by side as far as a page is wide.
    fn grid(&self) -> (i32, i32) {
        let (wide, _) = self.map_size();
        let fit = ((1150 - BAR) / (wide + GAP)).clamp(1, 3);
        let columns = fit.min(self.maps.len() as i32);
        (columns, (self.maps.len() as i32 + columns - 1) / columns)
    }

    /// Room for the tasks' names at the left, the same in every map.
    fn names(&self) -> i32 {
        let longest = self.maps.iter().flat_map(|m| &m.tasks).map(|t| style::width(t)).max().unwrap_or(0);
        longest.clamp(40, LONGEST) + 12
    }

    fn map_size(&self) -> (i32, i32) {
        let tasks = self.maps.iter().map(|m| m.tasks.len()).max().unwrap_or(1) as i32;
        (self.names() + tasks * CELL.0, HEAD + NAMES + tasks * CELL.1 + FOOT)
    }
}

impl Heatmap {
    fn of(family: &str, p: Option<f64>, own: &[&MaskUse], known: &Known) -> Heatmap {
        let mut tasks: Vec<String> = Vec::new();
        for used in own {
            if !tasks.contains(&used.task) {
                tasks.push(used.task.clone());
            }
        }
        let of_task = |task: &String| own.iter().filter(|m| m.task == *task).copied().collect::<Vec<&MaskUse>>();
        let sizes = tasks.iter().map(|task| {
            let masks = of_task(task);
            (masks.iter().map(|m| m.kept).sum::<u64>() / masks.len() as u64, masks[0].of)
        });
        let sizes = sizes.collect();
        let mut pairs = BTreeMap::new();
        for j in 0..tasks.len() {
            for i in 0..=j {
                let (first, second) = (of_task(&tasks[i]), of_task(&tasks[j]));
                let both = first.iter().flat_map(|a| second.iter().map(move |b| (a, b)));
                let compared = both.filter(|(a, b)| if i == j { a.seed < b.seed } else { a.seed == b.seed });
                let found = compared.filter_map(|(a, b)| known.get(&(&*a.key, &*b.key)).copied());
                if let Some(pair) = Pair::mean(found) {
                    pairs.insert((i, j), pair);
                }
            }
        }
        let title = p.map_or(family.to_owned(), |p| format!("{family} · p = {p}"));
        Heatmap { title, family: family.to_owned(), p, tasks, sizes, pairs }
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>, pen: Pen, names: i32) -> Result<()> {
        let text = |words: String, (x, y): (i32, i32), style: TextStyle, at: (HPos, VPos)| {
            area.draw(&Text::new(words, (pen.px(x), pen.px(y)), style.pos(Pos::new(at.0, at.1)))).map_err(drawing)
        };
        let side = self.tasks.len() as i32;
        let title = style::fitted(&self.title, names + side * CELL.0, true);
        text(title, (0, HEAD / 2 - 2), pen.title(), (HPos::Left, VPos::Center))?;
        let top = HEAD + NAMES;
        for (i, task) in self.tasks.iter().enumerate() {
            let i = i as i32;
            let above = two_lines(task, CELL.0 - 6);
            for (line, words) in above.iter().rev().enumerate() {
                let place = (names + i * CELL.0 + CELL.0 / 2, top - 12 - 16 * line as i32);
                text(words.clone(), place, pen.small(), (HPos::Center, VPos::Center))?;
            }
            let beside = style::fitted(task, names - 10, false);
            text(beside, (names - 8, top + i * CELL.1 + CELL.1 / 2), pen.small(), (HPos::Right, VPos::Center))?;
        }
        for row in 0..self.tasks.len() {
            for column in 0..self.tasks.len() {
                let (left, up) = (names + column as i32 * CELL.0, top + row as i32 * CELL.1);
                let (x, y) = (left + CELL.0 / 2, up + CELL.1 / 2);
                let corners =
                    [(pen.px(left + 1), pen.px(up + 1)), (pen.px(left + CELL.0 - 1), pen.px(up + CELL.1 - 1))];
                if row == column {
                    area.draw(&Rectangle::new(corners, style::FAINT.filled())).map_err(drawing)?;
                    let (kept, of) = self.sizes[row];
                    let share = format!("{:.1} %", 100.0 * kept as f64 / of.max(1) as f64);
                    let seeds = self.pairs.get(&(row, row)).map(|pair| format!("seeds {:.2}", pair.rate));
                    let lines: Vec<String> = [style::short_count(kept), share].into_iter().chain(seeds).collect();
                    for (line, words) in lines.iter().enumerate() {
                        let y = y + 1 + 16 * line as i32 - 8 * (lines.len() as i32 - 1);
                        text(words.clone(), (x, y), pen.small(), (HPos::Center, VPos::Center))?;
                    }
                    continue;
                }
                let pair = self.pairs.get(&(row.min(column), row.max(column)));
                let Some(value) = pair.map(|p| if column > row { p.jaccard } else { p.rate }) else {
                    area.draw(&Rectangle::new(corners, pen.hair(style::FAINT))).map_err(drawing)?;
                    text("–".to_owned(), (x, y), pen.small(), (HPos::Center, VPos::Center))?;
                    continue;
                };
                area.draw(&Rectangle::new(corners, style::shade(value).filled())).map_err(drawing)?;
                let ink = style::ink_on(value);
                text(format!("{value:.2}"), (x, y), pen.bold().color(&ink), (HPos::Center, VPos::Center))?;
            }
        }
        let legend = style::fitted("upper right: Jaccard · lower left: overlap rate", names + side * CELL.0, false);
        text(legend, (names + side * CELL.0, top + side * CELL.1 + 16), pen.small(), (HPos::Right, VPos::Center))
    }
}

impl Pair {
    fn mean<'a>(overlaps: impl Iterator<Item = &'a Overlap>) -> Option<Pair> {
        let mut sum = Pair { masks: 0, jaccard: 0.0, rate: 0.0, jaccard_by_chance: 0.0, rate_by_chance: 0.0 };
        for overlap in overlaps {
            let found = (overlap.jaccard(), overlap.rate(), overlap.jaccard_by_chance(), overlap.rate_by_chance());
            // An empty mask overlaps with nothing and has no rate.
            let (Some(jaccard), Some(rate), Some(by_chance), Some(rate_by_chance)) = found else { continue };
            sum.masks += 1;
            sum.jaccard += jaccard;
            sum.rate += rate;
            sum.jaccard_by_chance += by_chance;
            sum.rate_by_chance += rate_by_chance;
        }
        let n = sum.masks as f64;
        (sum.masks > 0).then(|| Pair {
            masks: sum.masks,
            jaccard: sum.jaccard / n,
            rate: sum.rate / n,
            jaccard_by_chance: sum.jaccard_by_chance / n,
            rate_by_chance: sum.rate_by_chance / n,
        })
    }
}

/// A name in as many lines as it needs to be no wider than this: one, or two broken at a joint.
fn two_lines(name: &str, pixels: i32) -> Vec<String> {
    if style::width(name) <= pixels {
        return vec![name.to_owned()];
    }
    let joints = name.match_indices(['-', '_', ' ', '/']).map(|(at, _)| name.split_at(at + 1));
    let fits = |(a, b): &(&str, &str)| style::width(a) <= pixels && style::width(b) <= pixels;
    match joints.rev().find(fits) {
        Some((a, b)) => vec![a.to_owned(), b.to_owned()],
        None => vec![style::fitted(name, pixels, false)],
    }
}

/// The colour bar at the right, 1 above.
fn draw_bar<B: DrawingBackend>(on: &Area<B>, pen: Pen, left: i32, top: i32, high: i32) -> Result<()> {
    let steps = 64;
    for step in 0..steps {
        let upper = top + high * step / steps;
        let lower = top + high * (step + 1) / steps;
        let share = 1.0 - (f64::from(step) + 0.5) / f64::from(steps);
        let corners = [(pen.px(left), pen.px(upper)), (pen.px(left + 16), pen.px(lower))];
        on.draw(&Rectangle::new(corners, style::shade(share).filled())).map_err(drawing)?;
    }
    let frame = [(pen.px(left), pen.px(top)), (pen.px(left + 16), pen.px(top + high))];
    on.draw(&Rectangle::new(frame, pen.hair(style::AXIS))).map_err(drawing)?;
    for (share, name) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
        let y = top + high - (f64::from(high) * share) as i32;
        let beside = pen.small().pos(Pos::new(HPos::Left, VPos::Center));
        on.draw(&Text::new(name, (pen.px(left + 22), pen.px(y)), beside)).map_err(drawing)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn a_map_per_p_with_means_over_seeds() {
        let data = Data::of(&example::good(3, 2, &[None])).unwrap();
        let plot = Heatmaps::plan(&data).unwrap();
        assert_eq!(plot.maps.len(), 5);
        let map = &plot.maps[0];
        assert_eq!((map.tasks.len(), map.pairs.len(), map.pairs[&(0, 1)].masks), (3, 3 + 3, 2));
        assert_eq!(map.pairs[&(2, 2)].masks, 1, "two seeds of a task are one pair");
        let own: Vec<f64> = data
            .overlaps
            .iter()
            .filter(|o| {
                o.a.contains("movies-rating-0.1-") && o.b.contains("tweets")
                    || o.b.contains("movies-rating-0.1-") && o.a.contains("tweets")
            })
            .filter_map(Overlap::jaccard)
            .collect();
        assert_eq!(own.len(), 2);
        assert!((map.pairs[&(0, 1)].jaccard - (own[0] + own[1]) / 2.0).abs() < 1e-12);
        assert!(plot.caption().contains("p = 0.1: Jaccard 0.05, overlap rate 0.10"), "{}", plot.caption());
    }

    #[test]
    fn seeds_of_one_task_make_a_map() {
        let plot = Heatmaps::plan(&Data::of(&example::good(1, 3, &[None])).unwrap()).unwrap();
        assert_eq!((plot.maps[0].pairs.len(), plot.maps[0].pairs[&(0, 0)].masks), (1, 2));
        assert!(plot.caption().contains("no two tasks could be compared"), "{}", plot.caption());
    }

    #[test]
    fn masks_that_were_never_compared_are_skipped_with_a_reason() {
        let mut study = example::good(2, 1, &[None]);
        study.overlaps.clear();
        assert!(Heatmaps::plan(&Data::of(&study).unwrap()).is_err());
    }
}
