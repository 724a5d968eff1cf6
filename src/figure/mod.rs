//! Pictures of a study, each as SVG and PNG with its numbers as CSV. One figure a file; `style` is the one place for
//! fonts and colours.

mod critical_difference;
mod curves;
mod distance;
mod dots;
mod forgetting;
mod legend;
mod lines;
mod low_resource;
mod measured;
mod overlap;
mod overlap_parts;
mod pdf;
mod reserve_rate;
mod sharpness;
mod style;
mod transfer;
mod update_variance;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::frame::{
    Cell, MaskUse, Overlap, PartOverlap, REFERENCE, Record, RunId, Study, mask_uses, replace, study_cells,
};
use curves::Course;
use style::Pen;

/// Every figure of a report, in its order.
pub const FIGURES: &[Figure] = &[
    Figure { name: "reserve-rate", title: "Score against reserve rate", make: picture::<reserve_rate::ReserveRate> },
    Figure {
        name: "critical-difference",
        title: "Ranks over tasks",
        make: picture::<critical_difference::CriticalDifference>,
    },
    Figure { name: "overlap", title: "Overlap of child networks", make: picture::<overlap::Heatmaps> },
    Figure { name: "overlap-layers", title: "Overlap by layer", make: picture::<overlap_parts::ByLayer> },
    Figure { name: "overlap-kinds", title: "Overlap by kind of matrix", make: picture::<overlap_parts::ByKind> },
    Figure {
        name: "low-resource",
        title: "Score against training examples",
        make: picture::<low_resource::LowResource>,
    },
    Figure { name: "transfer", title: "Scores on other tasks", make: picture::<transfer::Transfer> },
    Figure { name: "forgetting", title: "Forgetting", make: picture::<forgetting::Forgetting> },
    Figure {
        name: "update-variance",
        title: "Variance of a masked step",
        make: picture::<update_variance::UpdateVariance>,
    },
    Figure { name: "sharpness", title: "Sharpness where training ended", make: picture::<sharpness::Sharpness> },
    Figure { name: "distance", title: "Distance from the pre-trained point", make: picture::<distance::Distance> },
    Figure { name: "learning-score", title: "Dev score while training", make: picture::<curves::ScoreCurves> },
    Figure { name: "learning-loss", title: "Training loss", make: picture::<curves::LossCurves> },
];

pub struct Figure {
    /// File name without its ending, and anchor in the report.
    pub name: &'static str,
    pub title: &'static str,
    pub make: fn(&Data) -> Result<Made>,
}

/// What figures are drawn from.
pub struct Data {
    pub cells: Vec<Cell>,
    pub masks: Vec<MaskUse>,
    pub overlaps: Vec<Overlap>,
    pub overlap_parts: Vec<PartOverlap>,
    /// The runs that measured something besides their scores.
    pub measured: HashMap<RunId, Record>,
    /// What runs had measured by the end of each epoch.
    pub courses: HashMap<RunId, Course>,
    /// Names of the tasks that runs were trained on.
    pub trained_on: BTreeSet<String>,
    /// Where the runs' own folders lie, with the steps that they wrote.
    pub folder: Option<PathBuf>,
}

impl Data {
    pub fn of(study: &Study) -> Result<Data> {
        Ok(Data::with(study, &study.records_in_order(), study_cells(study)?))
    }

    /// The same where the records in their order and their cells are at hand.
    pub fn with(study: &Study, records: &[Record], cells: Vec<Cell>) -> Data {
        Data {
            cells,
            masks: mask_uses(records),
            overlaps: study.overlaps.clone(),
            overlap_parts: study.overlap_parts.clone(),
            measured: measured::measured(records),
            courses: Course::of(records),
            trained_on: records.iter().map(|r| r.run.task.name.clone()).collect(),
            folder: study.folder.clone(),
        }
    }

    /// The names of lines by number, the same in every figure: 0 is the reference, whether it ran or not.
    fn lines(&self) -> Vec<String> {
        let is_reference = |cell: &&Cell| cell.mode == REFERENCE;
        let (first, others): (Vec<&Cell>, Vec<&Cell>) = self.cells.iter().partition(is_reference);
        let mut lines: Vec<String> = Vec::new();
        for cell in first.iter().chain(&others) {
            if lines.is_empty() && cell.mode != REFERENCE {
                lines.push(REFERENCE.to_owned());
            }
            if !lines.contains(&cell.line()) {
                lines.push(cell.line());
            }
        }
        lines
    }
}

/// A figure, or why there is none.
pub enum Made {
    Picture(Picture),
    Skipped(String),
}

/// Draws the bitmap into a file.
type Draw = Box<dyn Fn(&Path) -> Result<()>>;

/// A drawn figure.
pub struct Picture {
    pub svg: String,
    /// The numbers behind it.
    pub csv: String,
    /// How to read it.
    pub caption: String,
    png: Draw,
}

impl Picture {
    /// The endings of the files that a figure leaves.
    pub const ENDINGS: [&str; 4] = ["svg", "png", "pdf", "csv"];

    /// Writes `<name>.svg`, `<name>.png`, `<name>.pdf` and `<name>.csv` into the folder.
    pub fn write(&self, folder: &Path, name: &str) -> Result<()> {
        replace(&folder.join(format!("{name}.svg")), self.svg.as_bytes())?;
        replace(&folder.join(format!("{name}.pdf")), &pdf::from_svg(&self.svg)?)?;
        replace(&folder.join(format!("{name}.csv")), self.csv.as_bytes())?;
        // The bitmap encoder writes only to a path, so it is given one that nobody reads.
        let own = tempfile::tempdir_in(folder).with_context(|| format!("cannot write in {}", folder.display()))?;
        let drawn = own.path().join("drawn.png");
        (self.png)(&drawn)?;
        let bytes = std::fs::read(&drawn).with_context(|| format!("cannot read back {}", drawn.display()))?;
        replace(&folder.join(format!("{name}.png")), &bytes)
    }
}

/// One kind of figure, planned from data and drawn on any backend.
trait Plot: Sized + 'static {
    /// Everything to draw, or a sentence that says why there is nothing.
    fn plan(data: &Data) -> Result<Self, String>;
    /// Width and height in pixels at scale 1.
    fn size(&self) -> (u32, u32);
    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()>;
    fn caption(&self) -> String;
    fn csv(&self) -> Result<String>;
}

type Area<B> = DrawingArea<B, Shift>;

/// Pixels of the PNG for one of the SVG, so that it is crisp on dense screens and in print.
const PNG_SCALE: u32 = 2;

fn picture<P: Plot>(data: &Data) -> Result<Made> {
    let plot = match P::plan(data) {
        Ok(plot) => plot,
        Err(reason) => return Ok(Made::Skipped(reason)),
    };
    style::register_fonts();
    let (width, height) = plot.size();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        paint(&plot, &area, Pen { scale: 1 })?;
    }
    let (csv, caption) = (plot.csv()?, plot.caption());
    let png = move |path: &Path| {
        let area = BitMapBackend::new(path, (width * PNG_SCALE, height * PNG_SCALE)).into_drawing_area();
        paint(&plot, &area, Pen { scale: PNG_SCALE })
    };
    Ok(Made::Picture(Picture { svg, csv, caption, png: Box::new(png) }))
}

fn paint<P: Plot, B: DrawingBackend>(plot: &P, area: &Area<B>, pen: Pen) -> Result<()> {
    area.fill(&WHITE).map_err(drawing)?;
    plot.draw(area, pen)?;
    area.present().map_err(drawing)
}

/// Plotters' errors borrow from the backend; what people need of them is the text.
fn drawing<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("cannot draw the figure: {error}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    fn made(study: &Study) -> Vec<(&'static str, Made)> {
        let data = Data::of(study).unwrap();
        FIGURES.iter().map(|f| (f.name, (f.make)(&data).unwrap())).collect()
    }

    #[test]
    fn every_figure_of_a_whole_sweep_is_written_in_every_format() {
        let folder = tempfile::tempdir().unwrap();
        // Few runs measure everything, and few sweeps have five tasks and several sizes.
        let (whole, measured) = (example::good(5, 3, &[Some(100), Some(300), None]), example::measured(2, 3));
        for ((name, whole), (_, measured)) in made(&whole).into_iter().zip(made(&measured)) {
            let ((Made::Picture(picture), _) | (_, Made::Picture(picture))) = (whole, measured) else {
                panic!("{name} was skipped")
            };
            picture.write(folder.path(), name).unwrap();
            let png = std::fs::read(folder.path().join(format!("{name}.png"))).unwrap();
            assert!(png.starts_with(b"\x89PNG"), "{name}");
            assert!(picture.svg.contains("<svg") && picture.csv.lines().count() > 3, "{name}");
            assert!(!picture.svg.contains("NaN") && !picture.csv.contains("NaN"), "{name}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), Picture::ENDINGS.len() * FIGURES.len());
    }

    #[test]
    fn drawing_twice_gives_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let study = example::measured(5, 2);
        for folder in [&one, &two] {
            for (name, made) in made(&study) {
                if let Made::Picture(picture) = made {
                    picture.write(folder.path(), name).unwrap();
                }
            }
        }
        let mut compared = 0;
        for entry in std::fs::read_dir(one.path()).unwrap() {
            let path = entry.unwrap().path();
            let other = two.path().join(path.file_name().unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(other).unwrap(), "{}", path.display());
            compared += 1;
        }
        assert!(compared >= 3 * (FIGURES.len() - 2), "only {compared} files");
    }

    #[test]
    fn nothing_to_draw_is_said_in_a_sentence() {
        for (name, made) in made(&Study::default()) {
            let Made::Skipped(reason) = made else { panic!("{name} was drawn from nothing") };
            assert!(reason.ends_with('.'), "{name}: {reason}");
        }
    }

    #[test]
    fn one_seed_undefined_scores_and_strange_names_are_drawn() {
        let drawn = made(&example::nasty());
        let (_, Made::Picture(picture)) = &drawn[0] else { panic!("there is a reserve rate to draw") };
        assert!(picture.svg.contains("&lt;b&gt;&amp;") && !picture.svg.contains("<b>"), "names are escaped");
        let folder = tempfile::tempdir().unwrap();
        picture.write(folder.path(), "x").unwrap();
    }

    #[test]
    fn names_of_figures_are_file_names() {
        for figure in FIGURES {
            assert!(figure.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", figure.name);
        }
    }
}
