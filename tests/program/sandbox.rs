//! A folder with a sweep file in it, and the program run there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct Sandbox {
    pub folder: tempfile::TempDir,
    program: PathBuf,
}

/// How a call of `sweep` ended.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The project's own folder.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A sweep over the tiny checkpoint beside the parity tests: needs nothing that is not in the repository.
pub fn tiny_sweep(grid: &str, train: &str) -> String {
    let parity = project().join("tests/parity");
    let (folder, model) = (parity.display(), parity.join("tiny-bert"));
    format!(
        r#"
name = "tiny"
[grid]
task = ["pairs"]
model = ["{model}"]
{grid}
[task.pairs]
train = "{folder}/train.tsv"
dev = "{folder}/dev.tsv"
text = ["first", "second"]
label = "label"
labels = ["no", "yes"]
metric = "accuracy"
[train]
max_length = 32
batch_size = 8
{train}
"#,
        model = model.display()
    )
}

/// The same sweep over the values of the data set, with the checkpoint for a regression.
pub fn as_regression(text: String) -> String {
    let classes = "label = \"label\"\nlabels = [\"no\", \"yes\"]\nmetric = \"accuracy\"";
    text.replace("tiny-bert\"", "tiny-bert-regression\"").replace(classes, "label = \"value\"\nmetric = \"pearson\"")
}

impl Sandbox {
    pub fn new() -> Sandbox {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Sandbox { folder, program: env!("CARGO_BIN_EXE_sweep").into() }
    }

    /// The real coordinator beside the trainer of `tests/fake_worker.py`, which takes milliseconds a step.
    pub fn with_fake_trainer(text: &str) -> Sandbox {
        let mut sandbox = Sandbox::with(text);
        let bin = sandbox.path("bin");
        std::fs::create_dir(&bin).expect("a folder");
        // The coordinator looks for the trainer beside itself; a link by name would lead it back.
        let program = bin.join("sweep");
        if std::fs::hard_link(&sandbox.program, &program).is_err() {
            std::fs::copy(&sandbox.program, &program).expect("a copy");
        }
        std::fs::copy(project().join("tests/fake_worker.py"), bin.join("sweep-worker")).expect("a copy");
        sandbox.program = program;
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn with(text: &str) -> Sandbox {
        let sandbox = Sandbox::new();
        std::fs::write(sandbox.path("sweep.toml"), text).expect("a sweep file");
        sandbox
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.folder.path());
        for variable in ["SWEEP_DATA", "SWEEP_MODELS", "SWEEP_RESULTS"] {
            command.env_remove(variable);
        }
        // No network, and no cache of the user's.
        command.env("HF_HUB_OFFLINE", "1").env("HF_HUB_CACHE", self.path("hub"));
        command
    }

    pub fn sweep(&self, arguments: &[&str]) -> Said {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Said { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
    }

    /// Runs and expects the given exit code.
    #[track_caller]
    pub fn expect(&self, code: i32, arguments: &[&str]) -> Said {
        let said = self.sweep(arguments);
        assert_eq!(said.code, code, "{arguments:?}\n{}\n{}", said.out, said.err);
        said
    }

    /// The records, by id.
    pub fn records(&self) -> Vec<serde_json::Value> {
        let Ok(entries) = std::fs::read_dir(self.path("results/runs")) else { return Vec::new() };
        let mut records: Vec<(PathBuf, serde_json::Value)> = entries
            .flatten()
            .map(|entry| entry.path().join("record.json"))
            .filter(|path| path.is_file())
            .map(|path| {
                let text = std::fs::read_to_string(&path).expect("a record");
                (path, serde_json::from_str(&text).expect("JSON"))
            })
            .collect();
        records.sort_by(|a, b| a.0.cmp(&b.0));
        records.into_iter().map(|(_, record)| record).collect()
    }
}
