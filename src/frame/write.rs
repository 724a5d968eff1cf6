//! Frames as files.

use std::path::Path;

use anyhow::Result;
use polars::prelude::DataFrame;
use polars_io::SerWriter;
use polars_io::csv::write::CsvWriter;
use polars_io::parquet::write::ParquetWriter;

use crate::record::store::replace;

/// Writes `runs.parquet` and `runs.csv` into the folder, which is made if need be.
pub fn write(frame: &DataFrame, folder: &Path) -> Result<()> {
    let mut parquet = Vec::new();
    ParquetWriter::new(&mut parquet).finish(&mut frame.clone())?;
    replace(&folder.join("runs.parquet"), &parquet)?;
    replace(&folder.join("runs.csv"), &csv_bytes(frame)?)
}

/// The frame as CSV with a header; null is an empty field.
pub fn csv_bytes(frame: &DataFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(&mut frame.clone())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

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
