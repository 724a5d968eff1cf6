//! Whether a file is the one that the hub means: its ETag is the SHA-256 of a large file and git's hash of a small one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ring::digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// Whether the file's content has this ETag. One that is no hash says nothing, and then the length must do.
pub fn is_whole(path: &Path, etag: &str, size: u64) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() != size {
        return Ok(false);
    }
    let is_hash = etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut hasher = match etag.len() {
        64 if is_hash => Context::new(&SHA256),
        40 if is_hash => {
            let mut hasher = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
            hasher.update(format!("blob {size}\0").as_bytes());
            hasher
        }
        _ => return Ok(true),
    };
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hasher.finish()).eq_ignore_ascii_case(etag)),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// Whether a content of the cache, whose name is its ETag, has changed since it came.
pub fn is_damaged(content: &Path) -> bool {
    let name = content.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let size = std::fs::metadata(content).map_or(0, |meta| meta.len());
    is_whole(content, name, size).is_ok_and(|is_whole| !is_whole)
}

fn hexadecimal(digest: &Digest) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `printf 'hello\n' | sha256sum` and `printf 'hello\n' | git hash-object --stdin`.
    #[test]
    fn both_hashes_are_those_of_git() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hello\n").unwrap();
        let large = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let small = "ce013625030ba8dba906f756967f9e9ca394464a";
        for etag in [large, small, "not-a-hash"] {
            assert!(is_whole(file.path(), etag, 6).unwrap(), "{etag}");
            assert!(!is_whole(file.path(), etag, 7).unwrap(), "{etag}");
        }
        std::fs::write(file.path(), "hallo\n").unwrap();
        assert!(!is_whole(file.path(), large, 6).unwrap() && !is_whole(file.path(), small, 6).unwrap());
    }
}
