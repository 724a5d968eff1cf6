//! A repository's files from the hub into the cache: cut downloads go on where they stopped, and what came is checked.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use hf_hub::api::RepoInfo;
use ureq::http::StatusCode;

use super::cache::Snapshot;
use super::client::{Ask, Failing, Trouble, broken, header, odd};
use super::files::{is_index, model_files, shards_in, shards_of};
use super::reference::is_commit;
use super::{Error, Hub, Reference, verify};
use crate::disk::free_bytes;
use crate::model;

/// More than any list of files or index of shards has, in bytes.
const LONGEST_TEXT: u64 = 1 << 26;

/// A file as the hub describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub file: String,
    /// The name of its content in the cache.
    pub etag: String,
    pub size: u64,
}

/// What a fetch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub snapshot: Snapshot,
    /// Files that were fetched or completed; the others were here.
    pub files: usize,
    /// That came over the network.
    pub bytes: u64,
}

/// Picks files from the names of all in a repository; `Err` says what is not among them.
pub type Choose<'a> = dyn Fn(&[String]) -> Result<Vec<String>, String> + 'a;

/// Who is told how a fetch goes.
pub trait Watch {
    /// A file of `size` bytes is being fetched, and `have` of them are here.
    fn begin(&self, file: &str, size: u64, have: u64);
    fn gain(&self, bytes: u64);
    /// What came of the file is of no use.
    fn restart(&self);
    fn end(&self);
    fn note(&self, text: &str);
    /// Whether the user wants to stop; what has come is kept.
    fn is_stopped(&self) -> bool;
}

impl Hub {
    /// All of a model that training needs.
    ///
    /// # Errors
    /// One sentence about what is missing, refused, or broken; what has come is kept and used by the next call.
    pub fn fetch_model(&self, about: &Reference, watch: &dyn Watch) -> Result<Fetched, Error> {
        let (commit, there) = self.list(about, watch)?;
        let chosen =
            model_files(&there).map_err(|what| Error::Lacks { about: about.clone(), what: what.to_owned() })?;
        self.discard_damaged(about, watch)?;
        let mut fetched = self.fetch(about, &commit, &chosen, watch)?;
        let index = chosen.last().copied().unwrap_or_default();
        let shards = shards_in(&fetched.snapshot.folder, index)
            .ok_or_else(|| odd(&self.address(about, &commit, index), "no index of shards"))?;
        let shards: Vec<&str> = shards.iter().map(String::as_str).collect();
        let more = self.fetch(about, &commit, &shards, watch)?;
        self.store.note_commit(about, &commit)?;
        fetched.files += more.files;
        fetched.bytes += more.bytes;
        Ok(fetched)
    }

    /// Deletes the contents of a model that are not what came once.
    fn discard_damaged(&self, about: &Reference, watch: &dyn Watch) -> Result<(), Error> {
        let Some(snapshot) = self.store.resolved(about) else { return Ok(()) };
        if model::check(&snapshot.folder).is_ok() {
            return Ok(());
        }
        for (file, blob) in snapshot.contents() {
            let Some(etag) = blob.file_name().and_then(|name| name.to_str()) else { continue };
            let wait = || watch.note(&format!("another process is fetching {file}; waiting for it"));
            let _lock = self.store.lock(about, etag, wait)?;
            if verify::is_damaged(&blob) {
                std::fs::remove_file(&blob).map_err(|source| Error::Unwritable { path: blob.clone(), source })?;
                watch.note(&format!("{file} is damaged in the hub's cache, and is fetched again"));
            }
        }
        Ok(())
    }

    /// Files of a data set; `choose` picks them.
    pub fn fetch_files(
        &self,
        about: &Reference,
        choose: &Choose,
        watch: &dyn Watch,
    ) -> Result<(Fetched, Vec<PathBuf>), Error> {
        let (commit, there) = self.list(about, watch)?;
        let chosen = choose(&there).map_err(|what| Error::Lacks { about: about.clone(), what })?;
        let names: Vec<&str> = chosen.iter().map(String::as_str).collect();
        let fetched = self.fetch(about, &commit, &names, watch)?;
        self.store.note_commit(about, &commit)?;
        let paths = chosen.iter().map(|file| fetched.snapshot.folder.join(file)).collect();
        Ok((fetched, paths))
    }

    /// What [`Hub::fetch_files`] would bring.
    pub fn describe_files(&self, about: &Reference, choose: &Choose, watch: &dyn Watch) -> Result<Vec<Remote>, Error> {
        let (commit, there) = self.list(about, watch)?;
        let chosen = choose(&there).map_err(|what| Error::Lacks { about: about.clone(), what })?;
        self.describe_missing(about, &commit, chosen, watch)
    }

    /// The names of a repository's files.
    pub fn names(&self, about: &Reference, watch: &dyn Watch) -> Result<Vec<String>, Error> {
        self.list(about, watch).map(|(_, names)| names)
    }

    /// What [`Hub::fetch_model`] would bring: the files that are not here, with their sizes.
    pub fn describe_model(&self, about: &Reference, watch: &dyn Watch) -> Result<Vec<Remote>, Error> {
        let (commit, there) = self.list(about, watch)?;
        let chosen =
            model_files(&there).map_err(|what| Error::Lacks { about: about.clone(), what: what.to_owned() })?;
        let mut files: Vec<String> = chosen.iter().map(|&file| file.to_owned()).collect();
        if let Some(index) = chosen.last().filter(|name| is_index(name)) {
            let url = self.address(about, &commit, index);
            let text = self.read(about, &url, watch)?;
            files.extend(shards_of(&text).ok_or_else(|| odd(&url, "no index of shards"))?);
        }
        self.describe_missing(about, &commit, files, watch)
    }

    /// The files whose content is not here, whole.
    fn describe_missing(
        &self,
        about: &Reference,
        commit: &str,
        files: Vec<String>,
        watch: &dyn Watch,
    ) -> Result<Vec<Remote>, Error> {
        let mut remotes = Vec::new();
        for file in files {
            let remote = self.describe(about, commit, &file, watch)?;
            let blob = self.store.blob(about, &remote.etag);
            if !verify::is_whole(&blob, &remote.etag, remote.size).unwrap_or(false) {
                remotes.push(remote);
            }
        }
        Ok(remotes)
    }

    /// The commit that the revision is now, and the names of its files.
    fn list(&self, about: &Reference, watch: &dyn Watch) -> Result<(String, Vec<String>), Error> {
        if self.settings.offline {
            return Err(Error::Offline { about: about.clone(), cache: self.store.root().to_owned() });
        }
        let url = format!("{}/api/{}", self.client.endpoint, about.repo().api_url());
        let text = self.read(about, &url, watch)?;
        let info: RepoInfo = match serde_json::from_slice(&text) {
            Ok(info) => info,
            Err(error) => return Err(odd(&url, &format!("no list of files came ({error})"))),
        };
        if !is_commit(&info.sha) {
            return Err(odd(&url, &format!("\"{}\" is no commit", info.sha)));
        }
        Ok((info.sha, info.siblings.into_iter().map(|file| file.rfilename).collect()))
    }

    /// A small answer, whole.
    fn read(&self, about: &Reference, url: &str, watch: &dyn Watch) -> Result<Vec<u8>, Error> {
        let attempt = || {
            let response = self.client.once(about, Ask::From(0), url)?;
            let length = header(response.headers(), "content-length").and_then(|n| n.trim().parse::<usize>().ok());
            let mut text = Vec::new();
            let body = response.into_body().into_reader();
            body.take(LONGEST_TEXT).read_to_end(&mut text).map_err(|error| passing(broken(&error)))?;
            match length {
                Some(length) if text.len() < length => Err(passing(Failing::Broken("the answer was cut".to_owned()))),
                _ => Ok(text),
            }
        };
        self.client.persist(url, watch, attempt, || false)
    }

    fn address(&self, about: &Reference, commit: &str, file: &str) -> String {
        format!("{}/{}/resolve/{commit}/{file}", self.client.endpoint, about.repo().url())
    }

    fn describe(&self, about: &Reference, commit: &str, file: &str, watch: &dyn Watch) -> Result<Remote, Error> {
        let url = self.address(about, commit, file);
        let response = self.client.ask(about, Ask::Head, &url, watch)?;
        let headers = response.headers();
        let etag = header(headers, "x-linked-etag").or_else(|| header(headers, "etag"));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
        // It becomes the name of a file.
        let etag = etag.filter(|etag| !etag.is_empty() && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        let size = header(headers, "x-linked-size").or_else(|| header(headers, "content-length"));
        match (etag, size.and_then(|size| size.trim().parse().ok())) {
            (Some(etag), Some(size)) => Ok(Remote { file: file.to_owned(), etag, size }),
            _ => Err(odd(&url, "it says neither which content the file has nor how long it is")),
        }
    }

    fn fetch(&self, about: &Reference, commit: &str, files: &[&str], watch: &dyn Watch) -> Result<Fetched, Error> {
        let remotes: Vec<Remote> =
            files.iter().map(|file| self.describe(about, commit, file, watch)).collect::<Result<_, _>>()?;
        self.check_space(about, &remotes)?;
        let (mut count, mut bytes) = (0, 0);
        for remote in &remotes {
            let came = self.fetch_one(about, commit, remote, watch)?;
            count += usize::from(came.is_some());
            bytes += came.unwrap_or(0);
            self.store.link(about, commit, &remote.file, &remote.etag)?;
        }
        Ok(Fetched { snapshot: self.store.snapshot(about, commit), files: count, bytes })
    }

    fn check_space(&self, about: &Reference, remotes: &[Remote]) -> Result<(), Error> {
        let here = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        let needed = remotes.iter().map(|remote| {
            let blob = self.store.blob(about, &remote.etag);
            if blob.is_file() { 0 } else { remote.size.saturating_sub(here(&incomplete(&blob))) }
        });
        let needed = needed.fold(0, u64::saturating_add);
        match free_bytes(self.store.root()) {
            Some(free) if free < needed => {
                Err(Error::DiskFull { about: about.clone(), path: self.store.root().to_owned(), free, needed })
            }
            _ => Ok(()),
        }
    }

    /// The bytes that came; `None` where the content was here.
    fn fetch_one(
        &self,
        about: &Reference,
        commit: &str,
        remote: &Remote,
        watch: &dyn Watch,
    ) -> Result<Option<u64>, Error> {
        let blob = self.store.blob(about, &remote.etag);
        let is_here = || std::fs::metadata(&blob).is_ok_and(|meta| meta.len() == remote.size);
        if is_here() {
            return Ok(None);
        }
        let wait = || watch.note(&format!("another process is fetching {}; waiting for it", remote.file));
        let _lock = self.store.lock(about, &remote.etag, wait)?;
        if is_here() {
            return Ok(None);
        }
        let unwritable = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Unwritable { path, source }
        };
        let folder = blob.parent().unwrap_or(self.store.root());
        std::fs::create_dir_all(folder).map_err(unwritable(folder))?;
        let (partial, url) = (incomplete(&blob), self.address(about, commit, &remote.file));
        let mut bytes = 0;
        for _ in 0..2 {
            bytes += self.download(about, &url, remote, &partial, watch)?;
            if verify::is_whole(&partial, &remote.etag, remote.size).map_err(unwritable(&partial))? {
                std::fs::rename(&partial, &blob).map_err(unwritable(&blob))?;
                return Ok(Some(bytes));
            }
            std::fs::remove_file(&partial).map_err(unwritable(&partial))?;
            watch.note(&format!("{}: the checksum is wrong; what came was deleted", remote.file));
        }
        Err(Error::Checksum { url })
    }

    /// Completes a file; the bytes that came.
    fn download(
        &self,
        about: &Reference,
        url: &str,
        remote: &Remote,
        partial: &Path,
        watch: &dyn Watch,
    ) -> Result<u64, Error> {
        let failed = |source: std::io::Error| self.unwritten(about, remote, partial, source);
        let mut file = File::options().create(true).append(true).open(partial).map_err(failed)?;
        let mut have = file.metadata().map_err(failed)?.len();
        if have > remote.size {
            file.set_len(0).map_err(failed)?;
            have = 0;
        }
        watch.begin(&remote.file, remote.size, have);
        let (came, mut seen) = (std::cell::Cell::new(0), 0);
        let attempt = || {
            if have == remote.size {
                return Ok(());
            }
            let answer = self.client.once(about, Ask::From(have), url);
            let refused = matches!(&answer, Err(Trouble::Passing { error: Failing::Status(416), .. }));
            let ignored = matches!(&answer, Ok(response) if response.status() != StatusCode::PARTIAL_CONTENT);
            if have > 0 && (refused || ignored) {
                // A server without ranges, or one that counts otherwise: from the beginning.
                file.set_len(0).map_err(failed)?;
                have = 0;
                watch.restart();
            }
            let mut body = answer?.into_body().into_reader();
            let mut buffer = vec![0; 1 << 18];
            while have < remote.size {
                if watch.is_stopped() {
                    return Err(Error::Stopped.into());
                }
                let most = buffer.len().min(usize::try_from(remote.size - have).unwrap_or(usize::MAX));
                match body.read(&mut buffer[..most]) {
                    Ok(0) => return Err(passing(Failing::Broken("the download was cut".to_owned()))),
                    Ok(n) => {
                        file.write_all(&buffer[..n]).map_err(failed)?;
                        have += n as u64;
                        came.set(came.get() + n as u64);
                        watch.gain(n as u64);
                    }
                    Err(error) => return Err(passing(broken(&error))),
                }
            }
            file.sync_all().map_err(failed)?;
            Ok(())
        };
        let moved = || std::mem::replace(&mut seen, came.get()) < came.get();
        let outcome = self.client.persist(url, watch, attempt, moved);
        watch.end();
        outcome.map(|()| came.get())
    }

    fn unwritten(&self, about: &Reference, remote: &Remote, partial: &Path, source: std::io::Error) -> Error {
        let path = self.store.root().to_owned();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                let free = free_bytes(&path).unwrap_or(0);
                Error::DiskFull { about: about.clone(), path, free, needed: remote.size }
            }
            _ => Error::Unwritable { path: partial.to_owned(), source },
        }
    }
}

fn passing(error: Failing) -> Trouble {
    Trouble::Passing { error, wait: None }
}

/// Where a content lies until it is whole; the next attempt goes on with it.
fn incomplete(blob: &Path) -> PathBuf {
    let mut name = blob.as_os_str().to_owned();
    name.push(".incomplete");
    PathBuf::from(name)
}
