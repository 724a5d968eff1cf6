//! A server that answers as the hub does: lists of files, links to a content network, ranges; and what can go wrong.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What every branch of every repository is.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Files of at least so many bytes lie on the content network, as with the hub's large files.
const LARGE: usize = 4096;

type Files = BTreeMap<String, Vec<u8>>;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What goes wrong with requests whose address ends with a name.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The connection ends after so many bytes.
    Cut {
        after: usize,
        times: usize,
    },
    /// Nothing comes any more after so many bytes.
    Stall {
        after: usize,
        times: usize,
    },
    Status {
        status: u16,
        retry_after: Option<u32>,
        times: usize,
    },
    Corrupt {
        times: usize,
    },
    /// The file comes after a while.
    Slow(Duration),
    /// Whole files alone.
    NoRanges,
    /// 416 to every range.
    RangeRefused,
    Gated,
    /// A file of a petabyte, going by its head.
    Huge,
    /// A page of some other server.
    NotAHub,
}

#[derive(Default)]
struct State {
    repositories: BTreeMap<String, Files>,
    faults: Vec<(String, Fault)>,
    requests: Vec<Request>,
    /// Bytes of content sent, by file.
    sent: BTreeMap<String, usize>,
    token: Option<String>,
    moved: Option<(String, String)>,
    /// Where the content network listens: another port, so another host.
    cdn: String,
}

pub struct Server {
    state: Arc<Mutex<State>>,
    address: String,
}

impl Server {
    /// `models/org/name` or `datasets/org/name`, each with its files.
    pub fn start(repositories: &[(&str, Files)]) -> Server {
        let repositories = repositories.iter().map(|(name, files)| ((*name).to_owned(), files.clone())).collect();
        let state = Arc::new(Mutex::new(State { repositories, ..State::default() }));
        let cdn = listen(Arc::clone(&state));
        state.lock().expect("the state").cdn = cdn;
        let address = listen(Arc::clone(&state));
        Server { state, address }
    }

    pub fn private(self, token: &str) -> Server {
        self.state.lock().expect("the state").token = Some(token.to_owned());
        self
    }

    /// Requests for one repository lead to another, as after a renaming.
    pub fn moved(self, from: &str, to: &str) -> Server {
        self.state.lock().expect("the state").moved = Some((from.to_owned(), to.to_owned()));
        self
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    pub fn misbehave(&self, suffix: &str, fault: Fault) {
        self.state.lock().expect("the state").faults.push((suffix.to_owned(), fault));
    }

    pub fn behave(&self) {
        self.state.lock().expect("the state").faults.clear();
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().expect("the state").requests.clone()
    }

    /// Requests for the content of a file: those to the content network, for a large one.
    fn content_requests(&self, name: &str) -> Vec<Request> {
        let requests = self.requests().into_iter().filter(|r| r.method == "GET" && is_of(&r.path, name));
        let (at_cdn, at_hub): (Vec<_>, Vec<_>) = requests.partition(|r| r.path.starts_with("/cdn/"));
        if at_cdn.is_empty() { at_hub } else { at_cdn }
    }

    pub fn count(&self, method: &str, name: &str) -> usize {
        assert_eq!(method, "GET");
        self.content_requests(name).len()
    }

    pub fn ranges(&self, name: &str) -> Vec<Option<String>> {
        self.content_requests(name).iter().map(|r| r.header("range").map(str::to_owned)).collect()
    }

    pub fn bytes_of(&self, name: &str) -> usize {
        self.state.lock().expect("the state").sent.get(name).copied().unwrap_or(0)
    }
}

/// Serves until the test's process ends; the address.
fn listen(state: Arc<Mutex<State>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            // A client that goes away is its own affair.
            std::thread::spawn(move || drop(answer(&state, stream)));
        }
    });
    address
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    Some(Request { method, path, headers })
}

fn head(stream: &mut TcpStream, status: u16, headers: &[(&str, String)]) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {status} -\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    stream.write_all((text + "\r\n").as_bytes())
}

fn refuse(stream: &mut TcpStream, status: u16, code: &str) -> std::io::Result<()> {
    head(stream, status, &[("x-error-code", code.to_owned()), ("content-length", "0".to_owned())])
}

/// One request, one answer, and the connection is closed.
fn answer(state: &Mutex<State>, mut stream: TcpStream) -> std::io::Result<()> {
    let Some(request) = read(&stream) else { return Ok(()) };
    let (method, path) = (request.method.clone(), request.path.clone());
    let (fault, token, moved, cdn) = {
        let mut state = state.lock().expect("the state");
        state.requests.push(request.clone());
        let is_content =
            |fault: &Fault| !matches!(fault, Fault::Status { .. } | Fault::Gated | Fault::Huge | Fault::NotAHub);
        // What befalls the content befalls the request that brings it.
        let brings = method == "GET" && (path.starts_with("/cdn/") || !is_large(&state, &path));
        let found = state.faults.iter_mut().find(|(suffix, fault)| {
            let is_over = matches!(
                fault,
                Fault::Cut { times: 0, .. }
                    | Fault::Stall { times: 0, .. }
                    | Fault::Status { times: 0, .. }
                    | Fault::Corrupt { times: 0 }
            );
            let is_meant = is_of(&path, suffix) || path.starts_with(&format!("/{suffix}/"));
            is_meant && !is_over && (brings || !is_content(fault))
        });
        let fault = found.map(|(_, fault)| {
            let now = *fault;
            if let Fault::Cut { times, .. }
            | Fault::Stall { times, .. }
            | Fault::Status { times, .. }
            | Fault::Corrupt { times } = fault
            {
                *times -= 1;
            }
            now
        });
        (fault, state.token.clone(), state.moved.clone(), state.cdn.clone())
    };
    match fault {
        Some(Fault::Status { status, retry_after, .. }) => {
            let mut headers = vec![("content-length", "0".to_owned())];
            headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_string())));
            return head(&mut stream, status, &headers);
        }
        Some(Fault::Gated) => return refuse(&mut stream, 403, "GatedRepo"),
        Some(Fault::NotAHub) => {
            head(&mut stream, 200, &[("content-length", "5".to_owned())])?;
            return stream.write_all(b"<html");
        }
        _ => {}
    }
    if let Some((from, to)) = moved
        && (path.starts_with(&format!("/{from}/")) || path.starts_with(&format!("/api/models/{from}/")))
    {
        let location = path.replacen(&format!("/{from}/"), &format!("/{to}/"), 1);
        return head(&mut stream, 307, &[("location", location), ("content-length", "0".to_owned())]);
    }
    let is_cdn = path.starts_with("/cdn/");
    let given = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    if !is_cdn && token.is_some() && token.as_deref() != given {
        return refuse(&mut stream, 401, "RepoNotFound");
    }
    if let Some(rest) = path.strip_prefix("/api/") {
        let Some((name, revision)) = rest.split_once("/revision/") else { return refuse(&mut stream, 404, "") };
        let state = state.lock().expect("the state");
        let Some(files) = state.repositories.get(name) else { return refuse(&mut stream, 401, "RepoNotFound") };
        if revision == "nothing" {
            return refuse(&mut stream, 404, "RevisionNotFound");
        }
        let siblings: Vec<_> = files.keys().map(|file| serde_json::json!({"rfilename": file})).collect();
        let text = serde_json::json!({"id": name, "sha": COMMIT, "siblings": siblings}).to_string();
        head(&mut stream, 200, &[("content-length", text.len().to_string())])?;
        drop(state);
        return send(&mut stream, text.as_bytes(), fault);
    }
    let Some((file, content)) = content(&state.lock().expect("the state"), &path) else {
        return refuse(&mut stream, 404, "EntryNotFound");
    };
    let etag = if content.len() >= LARGE { sha256(&content) } else { git_hash(&content) };
    if !is_cdn && content.len() >= LARGE {
        let size = if matches!(fault, Some(Fault::Huge)) { 1_000_000_000_000_000 } else { content.len() };
        let location = format!("{cdn}/cdn{path}?Signature=x");
        let headers = [
            ("location", location),
            ("x-repo-commit", COMMIT.to_owned()),
            ("x-linked-etag", format!("\"{etag}\"")),
            ("x-linked-size", size.to_string()),
            ("content-length", "0".to_owned()),
        ];
        return head(&mut stream, 302, &headers);
    }
    let start = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let start: usize = if matches!(fault, Some(Fault::NoRanges)) { 0 } else { start.unwrap_or(0) };
    if start > 0 && (start >= content.len() || matches!(fault, Some(Fault::RangeRefused))) {
        return head(&mut stream, 416, &[("content-length", "0".to_owned())]);
    }
    if let Some(Fault::Slow(time)) = fault {
        std::thread::sleep(time);
    }
    let mut part = content[start..].to_vec();
    let mut headers = vec![
        ("etag", format!("\"{etag}\"")),
        ("x-repo-commit", COMMIT.to_owned()),
        ("content-length", part.len().to_string()),
    ];
    if start > 0 {
        headers.push(("content-range", format!("bytes {start}-{}/{}", content.len() - 1, content.len())));
    }
    head(&mut stream, if start > 0 { 206 } else { 200 }, &headers)?;
    if method == "HEAD" {
        return Ok(());
    }
    if let Some(Fault::Corrupt { .. }) = fault {
        part[0] ^= 1;
    }
    let most = sent(part.len(), fault);
    *state.lock().expect("the state").sent.entry(file).or_default() += most;
    send(&mut stream, &part, fault)
}

/// How many bytes of an answer get through.
fn sent(length: usize, fault: Option<Fault>) -> usize {
    match fault {
        Some(Fault::Cut { after, .. } | Fault::Stall { after, .. }) => after.min(length),
        _ => length,
    }
}

fn send(stream: &mut TcpStream, text: &[u8], fault: Option<Fault>) -> std::io::Result<()> {
    stream.write_all(&text[..sent(text.len(), fault)])?;
    stream.flush()?;
    if let Some(Fault::Stall { .. }) = fault {
        std::thread::sleep(Duration::from_secs(20));
    }
    Ok(())
}

/// Whether an address is that of a file.
fn is_of(path: &str, file: &str) -> bool {
    path.split('?').next().is_some_and(|path| path.ends_with(&format!("/{file}")))
}

/// A file's name and content, by the address of either host.
fn content(state: &State, path: &str) -> Option<(String, Vec<u8>)> {
    let path = path.split('?').next()?;
    let path = path.strip_prefix("/cdn").unwrap_or(path).strip_prefix('/')?;
    let (name, rest) = path.split_once("/resolve/")?;
    let (_, file) = rest.split_once('/')?;
    let key = if name.starts_with("datasets/") { name.to_owned() } else { format!("models/{name}") };
    Some((file.to_owned(), state.repositories.get(&key)?.get(file)?.clone()))
}

fn is_large(state: &State, path: &str) -> bool {
    content(state, path).is_some_and(|(_, content)| content.len() >= LARGE)
}

pub fn sha256(content: &[u8]) -> String {
    hexadecimal(ring::digest::digest(&ring::digest::SHA256, content).as_ref())
}

/// What `git hash-object` says.
pub fn git_hash(content: &[u8]) -> String {
    let whole = [format!("blob {}\0", content.len()).as_bytes(), content].concat();
    hexadecimal(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &whole).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
