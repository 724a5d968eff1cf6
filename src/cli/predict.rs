//! `sweep predict RUN TEXT`: what a trained model says of texts.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use polars::prelude::*;

use super::answer::{Format, write_out};
use super::export::exported;
use super::trained::{Source, Trained};
use super::{Exit, Refusal};
use crate::protocol::{Message, Order};
use crate::schedule::{Conversation, Interrupts};
use crate::task::leaderboard::decided;
use crate::task::{Labels, read};

/// Texts in one order to the worker: little enough to fit on a line, enough to sort by length.
const TEXTS: usize = 1024;

#[derive(clap::Args)]
pub struct Arguments {
    /// A run's id, or its beginning; or a folder that `sweep export` wrote
    run: String,
    /// The text, or the two texts of a pair
    #[arg(num_args = 0..=2, value_name = "TEXT", conflicts_with = "file")]
    texts: Vec<String>,
    /// Texts from a file: .tsv, .csv or .jsonl with the columns of the task, else one text a line, a pair with a tab
    /// between; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A table on a terminal and CSV behind a pipe, unless said
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The sweep file of the run, where it does not lie under sweeps/
    #[arg(long, value_name = "FILE")]
    sweep: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    if arguments.texts.is_empty() && arguments.file.is_none() {
        return Err(Refusal("nothing to predict: give a text, or a file of them by --file".to_owned()).into());
    }
    let trained = match exported(Path::new(&arguments.run))? {
        Some(trained) => trained,
        None => arguments.source.find(&arguments.run, arguments.sweep.as_deref())?,
    };
    let texts = match &arguments.file {
        Some(file) => from_file(file, &trained)?,
        None => vec![arguments.texts.clone()],
    };
    let wanted = trained.task.text.len();
    if let Some(row) = texts.iter().find(|row| row.len() != wanted) {
        let wants = if wanted == 2 { "a pair of texts" } else { "one text" };
        let say = format!("{} wants {wants}, here are {}", trained.task.name, row.len());
        return Err(Refusal(say).into());
    }
    let interrupts = Interrupts::from_signals()?;
    let mut worker = arguments.source.open(&trained, &interrupts)?;
    let logits = logits(&mut worker, &texts)?;
    let frame = answer(&texts, &logits, &trained.task.labels)?;
    write_out(&arguments.format.unwrap_or_else(Format::standard).text(&frame)?)?;
    Ok(Exit::Done)
}

/// The model's outputs for texts, in their order, with a bar on a terminal where it takes a while.
///
/// # Errors
/// The worker's silence.
pub fn logits(worker: &mut Conversation, texts: &[Vec<String>]) -> Result<Vec<Vec<f32>>> {
    let bar = if texts.len() > TEXTS { ProgressBar::new(texts.len() as u64) } else { ProgressBar::hidden() };
    let mut all = Vec::with_capacity(texts.len());
    for texts in texts.chunks(TEXTS) {
        match worker.ask(&Order::Predict { texts: texts.to_vec() })? {
            Message::Logits { rows } if rows.len() == texts.len() => all.extend(rows),
            answer => bail!("the worker's answer is no prediction of {} texts: {answer:?}", texts.len()),
        }
        bar.set_position(all.len() as u64);
    }
    bar.finish_and_clear();
    Ok(all)
}

fn from_file(file: &Path, trained: &Trained) -> Result<Vec<Vec<String>>> {
    let ending = file.extension().map(|e| e.to_string_lossy().to_lowercase());
    let read = match ending.as_deref() {
        Some(ending @ ("tsv" | "csv" | "jsonl")) => read::texts(file, ending, &trained.task.text),
        _ => {
            let mut bytes = Vec::new();
            if file == Path::new("-") {
                std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
            } else {
                bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            }
            read::lines_of_texts(file, &bytes, trained.task.text.len())
        }
    };
    Ok(read.map_err(|fault| Refusal(format!("{fault:#}")))?)
}

/// A row a text: the text, what the model decides, and how sure it is of each class.
fn answer(texts: &[Vec<String>], logits: &[Vec<f32>], labels: &Labels) -> Result<DataFrame> {
    let text = |place: usize| texts.iter().map(|row| row.get(place).map(String::as_str)).collect::<Vec<_>>();
    let mut columns = vec![Column::new("text".into(), text(0))];
    if texts.iter().any(|row| row.len() == 2) {
        columns.push(Column::new("text_2".into(), text(1)));
    }
    if labels.is_regression() {
        let values: Vec<Option<f64>> = logits.iter().map(|row| row.first().map(|&value| f64::from(value))).collect();
        columns.push(Column::new("prediction".into(), values));
    } else {
        let words = labels.words();
        let decided: Vec<&str> = logits.iter().map(|row| words[decided(row)].as_str()).collect();
        columns.push(Column::new("prediction".into(), decided));
        let shares: Vec<Vec<f64>> = logits.iter().map(|row| softmax(row)).collect();
        for (class, word) in words.iter().enumerate() {
            let of_class: Vec<f64> = shares.iter().map(|row| row[class]).collect();
            columns.push(Column::new(format!("p({word})").into(), of_class));
        }
    }
    Ok(DataFrame::new(texts.len(), columns)?)
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let parts: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).collect();
    let sum: f64 = parts.iter().sum();
    parts.into_iter().map(|part| part / sum).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn classes_have_probabilities_and_values_have_none() {
        let texts = vec![vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned(), "d".to_owned()]];
        let labels = Labels::Classes(vec!["no".into(), "yes".into()]);
        let frame = answer(&texts, &[vec![0.0, 3f32.ln()], vec![200.0, 200.0]], &labels).unwrap();
        let csv = Format::Csv.text(&frame).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[0], "text,text_2,prediction,p(no),p(yes)");
        let share: f64 =
            lines[1].strip_prefix("a,b,yes,").and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap();
        assert!((share - 0.25).abs() < 1e-7 && lines[2] == "c,d,no,0.5,0.5", "{csv}");
        let one = vec![vec!["a".to_owned()]];
        let frame = answer(&one, &[vec![2.5]], &Labels::Regression).unwrap();
        assert_eq!(Format::Csv.text(&frame).unwrap(), "text,prediction\na,2.5\n");
    }
}
