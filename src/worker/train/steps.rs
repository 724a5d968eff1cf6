//! `steps.csv`: what every n-th step of a run was like.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
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

    /// Opens the file, keeping the lines of the steps up to `step` that an earlier part of this run left; the part that
    /// died may have written more.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn start_after(&mut self, step: u32) -> Result<()> {
        if self.every == 0 {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let text = fs::read(&self.path).unwrap_or_default();
        let kept = if step > 0 { kept_length(&text, step) } else { 0 };
        let last = text[..kept].trim_ascii_end().rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        self.before = String::from_utf8_lossy(last).rsplit(',').next().and_then(|s| s.parse().ok()).unwrap_or(0.0);
        let open = || -> io::Result<File> {
            // What is to stay is never written again, so that a kill at this moment takes no line of it.
            let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
            file.set_len(kept as u64)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let mut file = BufWriter::new(open().with_context(|| self.wrong())?);
        if kept == 0 {
            writeln!(file, "{HEADER}").with_context(|| self.wrong())?;
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

    /// Waits until every line is on the disk: a checkpoint stands for the steps up to it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn sync(&mut self) -> Result<()> {
        self.finish()?;
        match &self.file {
            Some(file) => file.get_ref().sync_data().with_context(|| self.wrong()),
            None => Ok(()),
        }
    }

    fn wrong(&self) -> String {
        format!("cannot write {}", self.path.display())
    }
}

/// Bytes of a file's header and of its lines up to `step`; a line that was torn ends them, and so does what is no step.
fn kept_length(text: &[u8], step: u32) -> usize {
    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
    let Some(header) = lines.next().filter(|header| header.trim_ascii_end() == HEADER.as_bytes()) else { return 0 };
    let is_kept = |line: &&[u8]| {
        let number = line.split(|&byte| byte == b',').next().and_then(|digits| std::str::from_utf8(digits).ok());
        line.ends_with(b"\n") && number.and_then(|digits| digits.parse().ok()).is_some_and(|n: u32| n <= step)
    };
    header.len() + lines.take_while(is_kept).map(<[u8]>::len).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &tempfile::TempDir) -> StepLog {
        let within = |name: &str| folder.path().join(name);
        let (folder, cache, masks) = (within("run"), within("cache"), within("masks"));
        StepLog::new(&Places { folder, cache, masks, log_every: 2, scores_at_end: false, id: "x".into(), until: None })
    }

    /// The steps whose lines are there, and whether the file is whole.
    fn steps(folder: &tempfile::TempDir) -> (Vec<u32>, bool) {
        let text = fs::read_to_string(folder.path().join("run/steps.csv")).expect("steps.csv");
        let lines = text.lines().skip(1).map(|line| line.split(',').next().and_then(|n| n.parse().ok()));
        (lines.map(|n| n.expect("a step")).collect(), text.starts_with(HEADER) && text.ends_with('\n'))
    }

    #[test]
    fn what_lies_beyond_a_checkpoint_goes_wherever_the_file_was_torn() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = log(&folder);
        first.start_after(0).expect("a file");
        (1..=12).for_each(|step| first.write(step, 0.5, 1e-3, 1.0, 8 * u64::from(step)).expect("a line"));
        first.sync().expect("synced");
        let path = folder.path().join("run/steps.csv");
        let whole = fs::read(&path).expect("steps.csv");
        let after_8 = kept_length(&whole, 8);
        for cut in after_8..=whole.len() {
            for step in [8, 9] {
                fs::write(&path, &whole[..cut]).expect("a torn file");
                let mut again = log(&folder);
                again.start_after(step).expect("a file");
                assert_eq!(fs::read(&path).expect("steps.csv"), &whole[..after_8], "cut at {cut}");
                (step + 1..=12).for_each(|step| again.write(step, 0.5, 1e-3, 1.0, 1).expect("a line"));
                again.finish().expect("written");
                assert_eq!(steps(&folder), (vec![2, 4, 6, 8, 10, 12], true), "cut at {cut}");
            }
        }
        let mut anew = log(&folder);
        anew.start_after(0).expect("a file");
        anew.finish().expect("written");
        assert_eq!(steps(&folder), (vec![], true), "a run that begins anew");
        fs::write(&path, b"\0\0\0\0").expect("a damaged file");
        let mut damaged = log(&folder);
        damaged.start_after(8).expect("a file");
        damaged.finish().expect("written");
        assert_eq!(steps(&folder), (vec![], true), "a file that is no log");
    }
}
