//! What can go wrong between here and the hub, said so that it can be mended.

use std::path::PathBuf;

use super::{Reference, known};
use crate::disk::bytes;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("stopped on request: what has come is kept, and the same command goes on")]
    Stopped,
    #[error("{name} cannot be used: {why}")]
    Setting { name: String, why: String },
    #[error(
        "{} {about} is not in the hub's cache {}, or not whole, and the network is switched off by --offline or HF_HUB_OFFLINE; \
         `sweep fetch` on a machine with a network fills that folder",
        about.noun(), cache.display()
    )]
    Offline { about: Reference, cache: PathBuf },
    #[error(
        "cannot reach {endpoint}: {why}; check the network, a proxy (HTTPS_PROXY) or HF_ENDPOINT. Without a network, run \
         `sweep fetch` elsewhere and copy the hub's cache, here {}",
        cache.display()
    )]
    Unreachable { endpoint: String, why: String, cache: PathBuf },
    #[error(
        "the hub has no {} \"{}\", or it is private{}; {}",
        about.noun(), about.repo, hint(.about), token_advice(*.has_token, .token_file)
    )]
    NoRepository { about: Reference, has_token: bool, token_file: PathBuf },
    #[error("the {} {} has no branch, tag or commit \"{}\"; without @… its branch main is taken", about.noun(), about.repo, about.revision)]
    NoRevision { about: Reference },
    #[error(
        "the {} {about} is gated or private ({status}): open its page on the hub and ask for access, then {}",
        about.noun(), token_advice(*.has_token, .token_file)
    )]
    Denied { about: Reference, status: u16, has_token: bool, token_file: PathBuf },
    #[error("the {} {about} has no {what}", about.noun())]
    Lacks { about: Reference, what: String },
    #[error("{url} answered {status} {attempts} times, most lately; try again later: what has come is kept")]
    Busy { url: String, status: u16, attempts: u32 },
    #[error(
        "the hub asks to wait {seconds} s before the next request ({status}); try again then: what has come is kept"
    )]
    Wait { seconds: u64, status: u16 },
    #[error(
        "{url}: nothing came for {seconds} s, {attempts} times in a row; try again, or raise HF_HUB_DOWNLOAD_TIMEOUT \
         (seconds): what has come is kept"
    )]
    Stalled { url: String, seconds: f64, attempts: u32 },
    #[error("{url}: the connection broke {attempts} times in a row ({why}); try again: what has come is kept")]
    Broken { url: String, why: String, attempts: u32 },
    #[error(
        "{url} came twice with another checksum than the hub states; both copies were deleted. A proxy or a mirror may change it"
    )]
    Checksum { url: String },
    #[error("{url}: {why}; is HF_ENDPOINT a hub?")]
    Odd { url: String, why: String },
    #[error(
        "{} has {} free, {} are needed for {about}; free some space, or point HF_HUB_CACHE at another disk",
        path.display(), bytes(*free), bytes(*needed)
    )]
    DiskFull { about: Reference, path: PathBuf, free: u64, needed: u64 },
    #[error("the {} {about} does not fit: {why}", about.noun())]
    Unfit { about: Reference, why: String },
    #[error("cannot write {}: {source}; --data or SWEEP_DATA may name another folder", path.display())]
    Data { path: PathBuf, source: std::io::Error },
    #[error("cannot write {}: {source}; HF_HUB_CACHE or HF_HOME may name another folder", path.display())]
    Unwritable { path: PathBuf, source: std::io::Error },
}

fn hint(about: &Reference) -> String {
    known::nearest(&about.repo).map_or_else(String::new, |near| format!(" (did you mean \"{near}\"?)"))
}

fn token_advice(has_token: bool, file: &std::path::Path) -> String {
    if has_token {
        format!("the token in HF_TOKEN or {} gives no access to it", file.display())
    } else {
        format!("a token of yours goes into HF_TOKEN, or into the file {}", file.display())
    }
}
