//! Models and data from the hub: the real program against a server that answers as the hub does, and misbehaves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::hub_server::{COMMIT, Fault, Server, git_hash, sha256};
use super::sandbox::{Said, Sandbox, project, tiny_sweep};

/// A sandbox with a cache of its own, and nothing of this machine's settings.
struct Desk {
    sandbox: Sandbox,
    endpoint: String,
    more: Vec<(&'static str, String)>,
}

impl Desk {
    fn at(server: &Server) -> Desk {
        Desk { sandbox: Sandbox::new(), endpoint: server.address(), more: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Desk {
        self.more.push((name, value.into()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HF_") || name.contains("_PROXY")) {
            command.env_remove(name);
        }
        for name in ["http_proxy", "https_proxy", "all_proxy", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_OFFLINE"] {
            command.env_remove(name);
        }
        command.env_remove("HF_HUB_OFFLINE").env_remove("HF_HUB_CACHE");
        command.env("HOME", self.sandbox.path("home")).env("HF_ENDPOINT", &self.endpoint);
        command.env("HF_HUB_DOWNLOAD_TIMEOUT", "0.5").env_remove("XDG_CACHE_HOME");
        command.envs(self.more.iter().map(|(name, value)| (name, value)));
        command
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> Said {
        said(code, self.command(arguments).output().expect("the program starts"))
    }

    fn hub(&self) -> PathBuf {
        self.sandbox.path("home/.cache/huggingface/hub")
    }

    fn snapshot(&self, folder: &str) -> PathBuf {
        self.hub().join(folder).join("snapshots").join(COMMIT)
    }
}

#[track_caller]
fn said(code: i32, output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let said = Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) };
    assert_eq!(said.code, code, "{}\n{}", said.out, said.err);
    said
}

/// The tiny checkpoint of the parity tests, with files beside it that no training needs.
fn tiny() -> BTreeMap<String, Vec<u8>> {
    let folder = project().join("tests/parity/tiny-bert");
    let mut files: BTreeMap<String, Vec<u8>> = std::fs::read_dir(folder)
        .expect("tiny-bert")
        .flatten()
        .map(|entry| {
            let name = entry.file_name().into_string().expect("UTF-8");
            (name, std::fs::read(entry.path()).expect("a file"))
        })
        .collect();
    for other in ["README.md", "tf_model.h5", "onnx/model.onnx", "flax_model.msgpack"] {
        files.insert(other.to_owned(), b"not for us".to_vec());
    }
    files
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.metadata().expect("a file").len()).sum()
}

const WEIGHTS: &str = "model.safetensors";

#[test]
fn a_model_is_fetched_once_into_the_cache_that_python_reads() {
    let server = Server::start(&[("models/org/tiny", tiny())]);
    let desk = Desk::at(&server);
    let first = desk.expect(0, &["fetch", "--model", "org/tiny"]);
    assert!(
        first.out.contains("fetched  model org/tiny") && first.out.contains("0 here, 1 fetched, 0 failed"),
        "{}",
        first.out
    );

    let snapshot = desk.snapshot("models--org--tiny");
    let files = tiny();
    for name in ["config.json", WEIGHTS, "vocab.txt"] {
        let path = snapshot.join(name);
        assert_eq!(std::fs::read(&path).expect("a file"), files[name], "{name}");
        let etag = if name == WEIGHTS { sha256(&files[name]) } else { git_hash(&files[name]) };
        let link = std::fs::read_link(&path).expect("a link");
        assert_eq!(link, PathBuf::from(format!("../../blobs/{etag}")), "{name}");
    }
    let reference = desk.hub().join("models--org--tiny/refs/main");
    assert_eq!(std::fs::read_to_string(reference).expect("a reference"), COMMIT);
    for never in ["tf_model.h5", "onnx", "flax_model.msgpack", "README.md"] {
        assert!(!snapshot.join(never).exists(), "{never}");
        assert_eq!(server.count("GET", never), 0, "{never}");
    }

    let asked = server.requests().len();
    let again = desk.expect(0, &["fetch", "--model", "org/tiny"]);
    assert!(again.out.contains("here     model org/tiny") && again.out.contains("1 here, 0 fetched"), "{}", again.out);
    assert_eq!(server.requests().len(), asked, "what is here needs no network");
}

#[test]
fn a_sweep_over_a_model_of_the_hub_is_planned_fetched_run_and_noted() {
    let server = Server::start(&[("models/org/tiny", tiny())]);
    let desk = Desk::at(&server);
    let local = project().join("tests/parity/tiny-bert").display().to_string();
    let text = tiny_sweep("mode = [\"vanilla\"]\nseed = [1]", "epochs = 1").replace(&local, "org/tiny");
    std::fs::write(desk.sandbox.path("sweep.toml"), &text).expect("a sweep file");

    let plan = desk.expect(1, &["plan", "sweep.toml"]).err;
    assert!(plan.contains("model \"org/tiny\" is not on this machine"), "{plan}");
    assert!(plan.contains("`sweep fetch` or `sweep run` gets it") && plan.contains("models/org/tiny"), "{plan}");
    assert!(desk.expect(1, &["run", "sweep.toml", "--dry-run"]).err.contains("not on this machine"));
    assert!(desk.expect(1, &["run", "sweep.toml", "--offline"]).err.contains("switched off by --offline"));
    assert_eq!(server.requests().len(), 0, "no plan asks the network");

    let dry = desk.expect(0, &["fetch", "sweep.toml", "--dry-run"]).out;
    assert!(dry.contains("to fetch model org/tiny: 4 files") && dry.contains("1 here, 1 to fetch"), "{dry}");
    assert_eq!(server.count("GET", WEIGHTS), 0);

    // A fault besides is said first, and nothing is fetched.
    std::fs::write(desk.sandbox.path("bad.toml"), text.replace("epochs = 1", "epoch = 1")).expect("a sweep file");
    assert!(desk.expect(1, &["run", "bad.toml"]).err.contains("did you mean \"epochs\"?"));
    assert_eq!(server.count("GET", WEIGHTS), 0);

    let run = desk.expect(0, &["run", "sweep.toml"]);
    assert!(run.err.contains("fetched  model org/tiny") && run.out.contains("1 done now"), "{}{}", run.err, run.out);
    let manifest = std::fs::read_to_string(desk.sandbox.path("results/tiny/manifest.json")).expect("a manifest");
    assert!(manifest.contains(&format!("org/tiny@{COMMIT}")), "{manifest}");

    // The content makes the run's id, not where it came from.
    std::fs::write(desk.sandbox.path("sweep.toml"), text.replace("org/tiny", &local)).expect("a sweep file");
    let id = desk.sandbox.records()[0]["id"].as_str().expect("an id").to_owned();
    let list: serde_json::Value =
        serde_json::from_str(&desk.expect(0, &["plan", "sweep.toml", "--json"]).out).expect("JSON");
    assert_eq!((list[0]["id"].as_str(), list[0]["reason"].as_str()), (Some(id.as_str()), Some("done")));
}

#[test]
fn revisions_shards_and_pickles_are_found() {
    let mut sharded = tiny();
    let weights = sharded.remove(WEIGHTS).expect("weights");
    let (a, b) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    sharded.insert(a.to_owned(), weights.clone());
    sharded.insert(b.to_owned(), weights[..99].to_vec());
    let index = format!("{{\"weight_map\": {{\"x\": \"{a}\", \"y\": \"{b}\", \"z\": \"{a}\"}}}}");
    sharded.insert("model.safetensors.index.json".to_owned(), index.into_bytes());
    let mut pickled = tiny();
    pickled.insert("pytorch_model.bin".to_owned(), pickled[WEIGHTS].clone());
    pickled.remove(WEIGHTS);
    let server = Server::start(&[("models/sharded", sharded), ("models/pickled", pickled)]);
    let desk = Desk::at(&server);
    let dry = desk.expect(0, &["fetch", "--model", "sharded", "--dry-run"]).out;
    assert!(dry.contains("to fetch model sharded: 6 files") && !desk.hub().exists(), "{dry}");
    desk.expect(0, &["fetch", "--model", "sharded@v1", "--model", "pickled", "--model", &format!("pickled@{COMMIT}")]);
    let snapshot = desk.snapshot("models--sharded");
    assert!(snapshot.join(a).is_file() && snapshot.join(b).is_file());
    assert!(desk.hub().join("models--sharded/refs/v1").is_file());
    assert!(!desk.hub().join("models--sharded/refs/main").exists());
    assert!(desk.snapshot("models--pickled").join("pytorch_model.bin").is_file());
    assert!(!desk.hub().join("models--pickled/refs").join(COMMIT).exists(), "a commit needs no reference");
}

#[test]
fn the_token_goes_to_the_hub_and_never_to_the_content_network() {
    let server = Server::start(&[("models/org/tiny", tiny())]).private("hf_secret");
    let desk = Desk::at(&server);
    let without = desk.expect(1, &["fetch", "--model", "org/tiny"]).err;
    assert!(
        without.contains("is private") && without.contains("HF_TOKEN") && without.contains("huggingface/token"),
        "{without}"
    );
    let wrong = Desk::at(&server).with("HF_TOKEN", "hf_wrong").expect(1, &["fetch", "--model", "org/tiny"]).err;
    assert!(wrong.contains("gives no access"), "{wrong}");

    // As `huggingface-cli login` saves it.
    let home = desk.sandbox.path("home/.cache/huggingface");
    std::fs::create_dir_all(&home).expect("a folder");
    std::fs::write(home.join("token"), "hf_secret\n").expect("a token");
    desk.expect(0, &["fetch", "--model", "org/tiny"]);
    let (at_cdn, at_hub): (Vec<_>, Vec<_>) = server.requests().into_iter().partition(|r| r.path.starts_with("/cdn/"));
    assert!(!at_cdn.is_empty() && at_cdn.iter().all(|r| r.header("authorization").is_none()));
    let asked_by = |token: &str| at_hub.iter().filter(|r| r.header("authorization") == Some(token)).count();
    assert!(asked_by("Bearer hf_secret") >= 5);
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let files = tiny();
    let size = files[WEIGHTS].len();
    let server = Server::start(&[("models/org/tiny", files)]);
    server.misbehave(WEIGHTS, Fault::Cut { after: size / 2, times: 1 });
    let desk = Desk::at(&server);
    desk.expect(0, &["fetch", "--model", "org/tiny"]);
    let ranges = server.ranges(WEIGHTS);
    assert_eq!(ranges, [None, Some(format!("bytes={}-", size / 2))]);
    assert_eq!(server.bytes_of(WEIGHTS), size, "no byte came twice");
    assert_eq!(std::fs::read(desk.snapshot("models--org--tiny").join(WEIGHTS)).expect("weights").len(), size);
}

#[test]
fn a_download_that_was_given_up_is_resumed_by_the_next_call() {
    let files = tiny();
    let size = files[WEIGHTS].len();
    let server = Server::start(&[("models/org/tiny", files.clone())]);
    server.misbehave(WEIGHTS, Fault::Stall { after: 1000, times: 1 });
    server.misbehave(WEIGHTS, Fault::Stall { after: 0, times: usize::MAX });
    let desk = Desk::at(&server).with("HF_HUB_DOWNLOAD_TIMEOUT", "0.05");
    let start = Instant::now();
    let stalled = desk.expect(1, &["fetch", "--model", "org/tiny"]).err;
    assert!(stalled.contains("nothing came for 0.05 s") && stalled.contains("what has come is kept"), "{stalled}");
    assert!(start.elapsed() < Duration::from_secs(60));
    let blobs = desk.hub().join("models--org--tiny/blobs");
    let partial = blobs.join(format!("{}.incomplete", sha256(&files[WEIGHTS])));
    let kept = std::fs::metadata(&partial).expect("the part that came").len() as usize;
    assert!(kept >= 1000 && kept < size, "{kept}");
    assert!(!desk.snapshot("models--org--tiny").join(WEIGHTS).exists());

    server.behave();
    desk.expect(0, &["fetch", "--model", "org/tiny"]);
    assert_eq!(server.ranges(WEIGHTS).last().expect("a request"), &Some(format!("bytes={kept}-")));
    assert!(!partial.exists());
}

#[test]
fn a_fetch_that_is_stopped_goes_on_with_the_same_command() {
    let server = Server::start(&[("models/org/tiny", tiny())]);
    let desk = Desk::at(&server);
    let text = tiny_sweep("mode = [\"vanilla\"]\nseed = [1]", "epochs = 1");
    let local = project().join("tests/parity/tiny-bert").display().to_string();
    std::fs::write(desk.sandbox.path("sweep.toml"), text.replace(&local, "org/tiny")).expect("a sweep file");
    for command in [["fetch", "sweep.toml"], ["run", "sweep.toml"]] {
        server.misbehave(WEIGHTS, Fault::Status { status: 503, retry_after: Some(60), times: 1 });
        let mut child = desk
            .command(&command)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("again in 60 s")));
        // SAFETY: the child has not been waited for, so its number is its own.
        unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
        let rest: Vec<String> = lines.collect();
        assert_eq!(child.wait().expect("an end").code(), Some(3), "{rest:?}");
        assert!(rest.iter().any(|line| line.contains("the same command goes on")), "{rest:?}");
    }
    server.behave();
    assert!(desk.expect(0, &["fetch", "sweep.toml"]).out.contains("1 fetched, 0 failed"));
}

#[test]
fn a_server_without_ranges_is_asked_from_the_beginning() {
    let files = tiny();
    let size = files[WEIGHTS].len();
    for fault in [Fault::NoRanges, Fault::RangeRefused] {
        let server = Server::start(&[("models/org/tiny", files.clone())]);
        let desk = Desk::at(&server);
        let blobs = desk.hub().join("models--org--tiny/blobs");
        std::fs::create_dir_all(&blobs).expect("a folder");
        let partial = blobs.join(format!("{}.incomplete", sha256(&files[WEIGHTS])));
        std::fs::write(partial, &files[WEIGHTS][..1000]).expect("a part");
        server.misbehave(WEIGHTS, fault);
        desk.expect(0, &["fetch", "--model", "org/tiny"]);
        assert_eq!(std::fs::read(desk.snapshot("models--org--tiny").join(WEIGHTS)).expect("weights").len(), size);
    }
}

#[test]
fn busy_servers_are_asked_again_after_the_time_that_they_name() {
    let server = Server::start(&[("models/org/tiny", tiny())]);
    server.misbehave("config.json", Fault::Status { status: 429, retry_after: Some(1), times: 1 });
    server.misbehave(WEIGHTS, Fault::Status { status: 500, retry_after: None, times: 2 });
    server.misbehave("vocab.txt", Fault::Status { status: 503, retry_after: None, times: 1 });
    let start = Instant::now();
    let said = Desk::at(&server).expect(0, &["fetch", "--model", "org/tiny"]);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(said.err.contains("answered 429; again in 1 s") && said.err.contains("answered 500"), "{}", said.err);

    let server = Server::start(&[("models/org/tiny", tiny())]);
    server.misbehave("config.json", Fault::Status { status: 429, retry_after: Some(3000), times: 1 });
    let said = Desk::at(&server).expect(1, &["fetch", "--model", "org/tiny"]).err;
    assert!(said.contains("asks to wait 3000 s"), "{said}");
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let no_weights: BTreeMap<_, _> = tiny().into_iter().filter(|(name, _)| name != WEIGHTS).collect();
    let server = Server::start(&[("models/org/tiny", tiny()), ("models/org/empty", no_weights)]);
    let fails = |name: &str| Desk::at(&server).expect(1, &["fetch", "--model", name]).err;
    let unknown = fails("bert-bose-cased");
    assert!(
        unknown.contains("the hub has no model") && unknown.contains("did you mean \"bert-base-cased\"?"),
        "{unknown}"
    );
    assert!(fails("org/tiny@nothing").contains("no branch, tag or commit \"nothing\""));
    assert!(fails("org/empty").contains("has no weights"));
    assert!(fails("./nowhere").contains("no config.json in ./nowhere"));

    server.misbehave("api/models/org/tiny", Fault::Gated);
    assert!(fails("org/tiny").contains("gated") && fails("org/tiny").contains("ask for access"));
    server.behave();
    server.misbehave(WEIGHTS, Fault::Huge);
    let full = fails("org/tiny");
    assert!(full.contains("are needed for org/tiny") && full.contains("HF_HUB_CACHE"), "{full}");
    server.behave();
    server.misbehave("api/models/org/tiny", Fault::NotAHub);
    assert!(fails("org/tiny").contains("is HF_ENDPOINT a hub?"));
    server.behave();

    let mut desk = Desk::at(&server);
    desk.endpoint = "http://127.0.0.1:9".to_owned();
    let away = desk.expect(1, &["fetch", "--model", "org/tiny"]).err;
    assert!(away.contains("cannot reach http://127.0.0.1:9") && away.contains("refused"), "{away}");

    let asked = server.requests().len();
    for offline in
        [Desk::at(&server).with("HF_HUB_OFFLINE", "1"), Desk::at(&server).with("TRANSFORMERS_OFFLINE", "yes")]
    {
        let said = offline.expect(1, &["fetch", "--model", "org/tiny"]).err;
        assert!(said.contains("switched off") && said.contains("huggingface/hub"), "{said}");
    }
    assert_eq!(server.requests().len(), asked);

    let blocked = Desk::at(&server);
    std::fs::write(blocked.sandbox.path("file"), "").expect("a file");
    let cache = blocked.sandbox.path("file/cache").display().to_string();
    let said = blocked.with("HF_HUB_CACHE", cache).expect(1, &["fetch", "--model", "org/tiny"]).err;
    assert!(said.contains("cannot write") && said.contains("HF_HUB_CACHE or HF_HOME"), "{said}");
}

#[test]
fn a_list_of_files_that_breaks_off_is_asked_for_again() {
    let server = Server::start(&[("models/org/tiny", tiny())]);
    for (fault, why) in [
        (Fault::Cut { after: 20, times: 1 }, "again in 0.5 s"),
        (Fault::Stall { after: 20, times: 1 }, "nothing came for 0.5 s"),
    ] {
        server.misbehave("api/models/org/tiny", fault);
        let said = Desk::at(&server).expect(0, &["fetch", "--model", "org/tiny"]).err;
        assert!(said.contains("api/models/org/tiny/revision/main: ") && said.contains(why), "{said}");
    }
}

#[test]
fn a_model_that_was_damaged_in_the_cache_is_mended() {
    let server = Server::start(&[("models/org/tiny", tiny())]);
    let desk = Desk::at(&server);
    let text = tiny_sweep("mode = [\"vanilla\"]\nseed = [1]", "epochs = 1");
    let local = project().join("tests/parity/tiny-bert").display().to_string();
    std::fs::write(desk.sandbox.path("sweep.toml"), text.replace(&local, "org/tiny")).expect("a sweep file");
    let fetch = ["fetch", "--model", "org/tiny"];
    desk.expect(0, &fetch);
    let weights = desk.snapshot("models--org--tiny").join(WEIGHTS);
    let whole = std::fs::read(&weights).expect("weights");
    // The last one is as long as what came.
    let mut changed = whole.clone();
    changed[..64].fill(255);
    for (damaged, command) in [(&whole[..1000], fetch.to_vec()), (&changed, vec!["fetch", "sweep.toml"])] {
        std::fs::write(std::fs::canonicalize(&weights).expect("a content"), damaged).expect("a content");
        let plan = desk.expect(1, &["plan", "sweep.toml"]).err;
        assert!(plan.contains("has changed since it came from the hub"), "{plan}");
        let asked = server.requests().len();
        let mut offline = command.clone();
        offline.push("--offline");
        assert!(desk.expect(1, &offline).err.contains("or not whole"));
        assert_eq!(server.requests().len(), asked);
        let said = desk.expect(0, &command);
        assert!(said.err.contains("model.safetensors is damaged") && said.out.contains("1 fetched"), "{}", said.out);
        assert_eq!(std::fs::read(&weights).expect("weights"), whole);
        assert!(desk.expect(0, &command).out.contains("0 fetched, 0 failed"));
    }
    std::fs::remove_file(std::fs::canonicalize(&weights).expect("a content")).expect("a content");
    assert!(desk.expect(0, &["run", "sweep.toml"]).err.contains("fetched  model org/tiny: 1 files"));
}

#[test]
fn what_no_fetch_can_mend_is_said_and_counted() {
    let server = Server::start(&[("models/org/tiny", tiny())]);
    let desk = Desk::at(&server);
    let local = project().join("tests/parity/tiny-bert");
    let text = tiny_sweep("mode = [\"vanilla\"]\nseed = [1]", "epochs = 1");
    let folder = desk.sandbox.path("torn");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (file, content) in tiny().iter().filter(|(file, _)| !file.contains('/')) {
        std::fs::write(folder.join(file), &content[..content.len().min(2000)]).expect("a file");
    }
    for file in ["train.tsv", "dev.tsv"] {
        std::fs::copy(local.with_file_name(file), desk.sandbox.path(file)).expect("a file");
    }
    for (name, why) in [("./torn", "model ./torn: "), ("./nowhere", "no config.json in ./nowhere")] {
        let text = text.replace(&local.display().to_string(), name);
        let text = text.replace(&format!("{}/", local.parent().expect("a folder").display()), "");
        std::fs::write(desk.sandbox.path("sweep.toml"), text).expect("a sweep file");
        for command in [&["fetch", "sweep.toml"], &["fetch", "--model"][..]] {
            let mut command = command.to_vec();
            command.extend((command[1] == "--model").then_some(name));
            let said = desk.expect(1, &command);
            assert!(said.err.contains("failed   ") && said.err.contains(why), "{}", said.err);
            assert!(said.out.contains("0 fetched, 1 failed"), "{}", said.out);
            assert_eq!(said.out.contains("task pairs: .\n"), command[1] == "sweep.toml", "{}", said.out);
        }
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_wrong_checksum_is_tried_once_more_and_never_kept() {
    let files = tiny();
    let server = Server::start(&[("models/org/tiny", files.clone())]);
    server.misbehave(WEIGHTS, Fault::Corrupt { times: 1 });
    let said = Desk::at(&server).expect(0, &["fetch", "--model", "org/tiny"]);
    assert!(said.err.contains("the checksum is wrong"), "{}", said.err);
    assert_eq!(server.count("GET", WEIGHTS), 2);

    let server = Server::start(&[("models/org/tiny", files)]);
    server.misbehave("vocab.txt", Fault::Corrupt { times: usize::MAX });
    let desk = Desk::at(&server);
    let said = desk.expect(1, &["fetch", "--model", "org/tiny"]).err;
    assert!(said.contains("came twice with another checksum"), "{said}");
    assert!(!desk.snapshot("models--org--tiny").join("vocab.txt").exists());
    assert_eq!(server.count("GET", "vocab.txt"), 2);
}

#[test]
fn two_fetches_at_once_download_each_file_once() {
    let server = Server::start(&[("models/org/tiny", tiny())]);
    server.misbehave(WEIGHTS, Fault::Slow(Duration::from_millis(400)));
    let desk = Desk::at(&server);
    let start = || {
        desk.command(&["fetch", "--model", "org/tiny"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program starts")
    };
    let both = [start(), start()];
    let errs: Vec<String> =
        both.into_iter().map(|child| said(0, child.wait_with_output().expect("an end")).err).collect();
    for name in ["config.json", "vocab.txt", WEIGHTS] {
        assert_eq!(server.count("GET", name), 1, "{name}");
    }
    assert!(errs.iter().any(|err| err.contains("another process is fetching")), "{errs:?}");
    assert!(bytes_below(&desk.hub().join("models--org--tiny/blobs")) > 0);
}

#[test]
fn moved_repositories_are_followed() {
    let server = Server::start(&[("models/org/tiny", tiny())]).moved("tiny", "org/tiny");
    let desk = Desk::at(&server);
    desk.expect(0, &["fetch", "--model", "tiny"]);
    assert!(desk.snapshot("models--tiny").join(WEIGHTS).is_file());
    assert!(server.requests().iter().any(|r| r.path.starts_with("/api/models/tiny")));
}

#[test]
fn data_of_a_task_become_its_official_files() {
    use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, Series};
    let split = |rows: usize, has_labels: bool| {
        let text = |what: &str| (0..rows).map(|row| format!("{what} {row}")).collect::<Vec<_>>();
        let mut second = text("second");
        second[1] = "with a\ttab".to_owned();
        let labels: Vec<i64> = (0..rows).map(|row| if has_labels { row as i64 % 2 } else { -1 }).collect();
        let columns: Vec<Column> = vec![
            Series::new("sentence1".into(), text("first")).into_column(),
            Series::new("sentence2".into(), second).into_column(),
            Series::new("label".into(), labels).into_column(),
        ];
        let mut parquet = Vec::new();
        let mut frame = DataFrame::new(rows, columns).expect("a frame");
        polars_io::parquet::write::ParquetWriter::new(&mut parquet).finish(&mut frame).expect("parquet");
        parquet
    };
    let files = |dev_rows: usize| {
        BTreeMap::from([
            ("wnli/train-00000-of-00001.parquet".to_owned(), split(635, true)),
            ("wnli/validation-00000-of-00001.parquet".to_owned(), split(dev_rows, true)),
            ("wnli/test-00000-of-00001.parquet".to_owned(), split(146, false)),
            ("rte/train-00000-of-00001.parquet".to_owned(), split(2490, true)),
        ])
    };
    let server = Server::start(&[("datasets/nyu-mll/glue", files(71))]);
    let desk = Desk::at(&server);
    let dry = desk.expect(0, &["fetch", "--task", "wnli", "--dry-run"]).out;
    assert!(dry.contains("to fetch task wnli: 3 files") && !desk.sandbox.path("data").exists(), "{dry}");
    let folder = desk.sandbox.path("data/glue/WNLI");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("test.tsv"), "mine").expect("a file");
    let said = desk.expect(0, &["fetch", "--task", "wnli"]).out;
    assert!(said.contains("2 files with 706 rows") && said.contains("in 2 texts became blanks"), "{said}");
    assert!(said.contains("left as they were: WNLI/test.tsv"), "{said}");
    assert_eq!(std::fs::read_to_string(folder.join("test.tsv")).expect("a file"), "mine");
    let train = std::fs::read_to_string(folder.join("train.tsv")).expect("train.tsv");
    assert!(
        train.starts_with("index\tsentence1\tsentence2\tlabel\n0\tfirst 0\tsecond 0\t0\n1\tfirst 1\twith a tab\t1\n")
    );
    assert_eq!(server.count("GET", "rte/train-00000-of-00001.parquet"), 0);
    assert!(desk.expect(0, &["fetch", "--task", "wnli"]).out.contains("1 here, 0 fetched"));

    // A fetch that was stopped before the test set; runs need none.
    std::fs::remove_file(folder.join("test.tsv")).expect("a file");
    let offline = desk.expect(0, &["fetch", "--task", "wnli", "--offline"]).out;
    assert!(offline.contains("data/glue/WNLI (without WNLI/test.tsv)"), "{offline}");
    let elsewhere = desk.sandbox.path("more/WNLI");
    std::fs::create_dir_all(elsewhere.parent().expect("a folder")).expect("a folder");
    std::fs::rename(&folder, &elsewhere).expect("a folder");
    let fetch = ["fetch", "--task", "wnli", "--data", "more"];
    let dry = desk.expect(0, &["fetch", "--task", "wnli", "--data", "more", "--dry-run"]).out;
    assert!(dry.contains("to fetch task wnli: 1 files"), "{dry}");
    let said = desk.expect(0, &fetch).out;
    assert!(said.contains("1 files with 146 rows"), "{said}");
    assert!(elsewhere.join("test.tsv").is_file() && !folder.exists());
    assert!(desk.expect(0, &fetch).out.contains("1 here, 0 fetched"));
    // A part of a release, chosen by the user, is all that he wants.
    std::fs::create_dir_all(desk.sandbox.path("more/SNLI")).expect("a folder");
    for file in ["snli_1.0_train_1pct.jsonl", "snli_1.0_dev.jsonl"] {
        std::fs::write(desk.sandbox.path("more/SNLI").join(file), "").expect("a file");
    }
    assert!(
        desk.expect(0, &["fetch", "--task", "snli", "--data", "more"]).out.contains("more/SNLI\n1 here, 0 fetched")
    );

    let missing = desk.expect(1, &["fetch", "--task", "rte"]).err;
    assert!(missing.contains("has no parquet file of rte/validation"), "{missing}");
    assert!(desk.expect(1, &["fetch", "--task", "movies-rating"]).err.contains("make setup"));
    let changed = Server::start(&[("datasets/nyu-mll/glue", files(70))]);
    let desk = Desk::at(&changed);
    let said = desk.expect(1, &["fetch", "--task", "wnli"]).err;
    assert!(said.contains("70 rows came for WNLI/dev.tsv, and 71 were published"), "{said}");
    assert!(!desk.sandbox.path("data/glue/WNLI/dev.tsv").exists());
}

#[test]
fn known_models_are_listed_with_what_is_here() {
    let server = Server::start(&[("models/bert-base-cased", tiny())]);
    let desk = Desk::at(&server);
    let count = |out: &str| out.lines().filter(|line| line.trim_end().ends_with("here")).count();
    let before = desk.expect(0, &["models"]).out;
    assert!(before.contains("bert-large-cased") && before.contains("333.6 M  302.3 M"), "{before}");
    assert_eq!(count(&before), 0, "{before}");
    assert!(before.lines().all(|line| line.chars().count() <= 120), "{before}");
    desk.expect(0, &["fetch", "--model", "bert-base-cased"]);
    let after = desk.expect(0, &["models"]).out;
    assert!(count(&after) == 1 && after.contains("main 0123456789"), "{after}");
    let json: serde_json::Value = serde_json::from_str(&desk.expect(0, &["models", "--json"]).out).expect("JSON");
    assert_eq!(
        (json["here"][0]["name"].as_str(), json["here"][0]["is_whole"].as_bool()),
        (Some("bert-base-cased"), Some(true))
    );
}
