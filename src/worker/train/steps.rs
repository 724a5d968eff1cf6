//! `steps.csv`: what every n-th step of a run was like.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use super::Places;

const HEADER: &str = "step,loss,learning_rate,gradient_norm,examples,seconds";

pub struct StepLog {
    path: PathBuf,
    every: u32,
    file: Option<BufWriter<File>>,
    began: Instant,
    /// Seconds that earlier parts of this run took.
    before: f64,
}

impl StepLog {
    pub fn new(places: &Places) -> StepLog {
        StepLog {
            path: places.folder.join("steps.csv"),
            every: places.log_every,
            file: None,
            began: Instant::now(),
            before: 0.0,
        }
    }

    /// Opens the file, keeping the lines of the steps up to `step` that an earlier part of this run left.
    pub fn start_after(&mut self, step: u32) -> Result<()> {
        if self.every == 0 {
            return Ok(());
        }
        let kept: Vec<String> = match fs::read_to_string(&self.path) {
            Ok(text) if step > 0 => text
                .lines()
                .skip(1)
                .filter(|line| line.split(',').next().and_then(|s| s.parse::<u32>().ok()).is_some_and(|s| s <= step))
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let seconds = kept.last().and_then(|line| line.rsplit(',').next()?.parse().ok());
        self.before = seconds.unwrap_or(0.0);
        let mut file = BufWriter::new(File::create(&self.path).with_context(|| self.wrong())?);
        writeln!(file, "{HEADER}").with_context(|| self.wrong())?;
        for line in kept {
            writeln!(file, "{line}").with_context(|| self.wrong())?;
        }
        self.file = Some(file);
        Ok(())
    }

    /// `norm` is the gradient's global norm before clipping; `examples` and seconds are those since the run's start.
    pub fn write(&mut self, step: u32, loss: f64, rate: f64, norm: f64, examples: u64) -> Result<()> {
        if self.every == 0 || !step.is_multiple_of(self.every) {
            return Ok(());
        }
        let seconds = self.before + self.began.elapsed().as_secs_f64();
        let path = self.path.clone();
        if let Some(file) = &mut self.file {
            writeln!(file, "{step},{loss:.9},{rate:e},{norm:.9},{examples},{seconds:.3}")
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    pub fn finish(&mut self) -> Result<()> {
        match &mut self.file {
            Some(file) => file.flush().with_context(|| format!("cannot write {}", self.path.display())),
            None => Ok(()),
        }
    }

    fn wrong(&self) -> String {
        format!("cannot write {}", self.path.display())
    }
}
