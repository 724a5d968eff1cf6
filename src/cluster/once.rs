//! A file that one of many makes: by a hard link to what is whole already.
//!
//! A link is atomic on network file systems too, where locks are not to be trusted; and where the answer is lost and the
//! question asked again, the number of links tells whether it went through.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::record::process;
use crate::record::store::{explain, make_folder};

/// Makes a file that is not there yet; whether it was us.
///
/// # Errors
/// The folder cannot be written.
pub fn make(path: &Path, content: &[u8]) -> Result<bool> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let draft = folder.join(format!(".{}-{}-{number}", process::host(), std::process::id()));
    let write = || -> io::Result<bool> {
        let mut file = File::create(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(fs::metadata(&draft)?.nlink() == 2),
            Err(error) => Err(error),
        }
    };
    let made = write().map_err(|error| explain(error, path));
    let _ = fs::remove_file(&draft);
    made
}
