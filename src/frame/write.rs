//! Frames and other generated files, written whole or not at all.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use polars::prelude::DataFrame;
use polars_io::SerWriter;
use polars_io::csv::write::CsvWriter;
use polars_io::parquet::write::ParquetWriter;

/// Writes `runs.parquet` and `runs.csv` into the folder, which is made if need be.
pub fn write(frame: &DataFrame, folder: &Path) -> Result<()> {
    let mut parquet = Vec::new();
    ParquetWriter::new(&mut parquet).finish(&mut frame.clone())?;
    write_file(&folder.join("runs.parquet"), &parquet)?;
    write_file(&folder.join("runs.csv"), &csv_bytes(frame)?)
}

/// The frame as CSV with a header; null is an empty field.
pub fn csv_bytes(frame: &DataFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(&mut frame.clone())?;
    Ok(bytes)
}

/// Replaces a file in one step, so that a reader never sees half of it; its folder is made if need be.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))?;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use polars_io::SerReader;
    use polars_io::parquet::read::ParquetReader;

    use super::*;
    use crate::frame::{example, runs};

    #[test]
    fn both_files_hold_the_frame() {
        let folder = tempfile::tempdir().unwrap();
        let frame = runs(&example::nasty().records_in_order()).unwrap();
        write(&frame, &folder.path().join("results/x")).unwrap();
        let parquet = fs::File::open(folder.path().join("results/x/runs.parquet")).unwrap();
        let back = ParquetReader::new(parquet).finish().unwrap();
        assert!(back.equals_missing(&frame));
        let csv = fs::read_to_string(folder.path().join("results/x/runs.csv")).unwrap();
        assert!(csv.starts_with("id,task,model,mode,method,p,"));
        assert_eq!(fs::read_dir(folder.path().join("results/x")).unwrap().count(), 2, "no temporary file is left");
    }
}
