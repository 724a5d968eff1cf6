//! The design in one rule: arrows point one way, and the coordinator stays free of libtorch.

use std::path::{Path, PathBuf};

use super::sandbox::project;

/// Which modules a module may use. `cli` and `worker::serve`, the two ends, may use everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("failpoint", &[]),
    ("spec", &[]),
    ("task", &[]),
    ("plan", &["spec"]),
    ("record", &["failpoint", "plan", "spec"]),
    ("kept", &["plan", "record", "task"]),
    ("device", &["failpoint", "plan", "record"]),
    ("disk", &["plan", "record", "spec"]),
    ("method", &["plan", "spec"]),
    ("hub", &["disk", "model"]),
    ("model", &["method"]),
    ("stats", &[]),
    ("protocol", &["plan", "record", "task"]),
    ("cluster", &["disk", "failpoint", "plan", "protocol", "record", "schedule", "spec"]),
    ("schedule", &["device", "disk", "failpoint", "plan", "protocol", "record", "stop"]),
    ("stop", &["plan", "record", "stats"]),
    ("frame", &["plan", "record", "stats", "stop"]),
    ("figure", &["frame", "stats"]),
    ("report", &["figure", "frame"]),
    ("tracker", &["frame", "plan", "record", "schedule"]),
    ("watch", &["device", "plan", "record"]),
    // The worker program.
    ("worker/arena", &["method"]),
    ("worker/network", &["arena", "method", "model", "task"]),
    ("worker/train", &["arena", "disk", "kept", "log", "method", "model", "network", "plan", "record", "task"]),
    ("worker/after", &["arena", "kept", "method", "network", "plan", "record", "task", "train"]),
    ("worker/apply", &["after", "arena", "kept", "method", "protocol", "task", "train"]),
    ("worker/orders", &["log", "protocol"]),
    ("worker/warm", &["arena", "log", "method", "protocol", "task", "train"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// `spec` for src/spec/axis.rs, `worker/train` for src/worker/train/adam.rs.
fn module_of(path: &Path) -> String {
    let within = path.strip_prefix(project().join("src")).expect("below src").with_extension("");
    let parts: Vec<_> = within.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    if parts[0] == "worker" { parts[..2].join("/") } else { parts[0].clone() }
}

#[test]
fn modules_use_only_what_the_design_allows() {
    let files = sources(&project().join("src"));
    assert!(files.len() > 60, "only {} files found", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let module = module_of(&path);
        let own = module.rsplit('/').next().expect("a name");
        let text = std::fs::read_to_string(&path).expect("a source");
        // Tests may look at their module through others.
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        if let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) {
            for used in text.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let is_module = used.starts_with(char::is_lowercase);
                if is_module && used != own && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{} uses {used}", path.display()));
                }
            }
        }
        let mut places = text.match_indices("tch::").map(|(at, _)| &text[..at]);
        let names_tch = places.any(|before| !before.ends_with(char::is_alphanumeric));
        if !module.starts_with("worker") && names_tch {
            wrong.push(format!("{} uses tch outside the worker", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_coordinator_does_not_load_libtorch() {
    let needed = |program: &str| {
        let output = std::process::Command::new("ldd").arg(program).output().expect("ldd");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(needed(env!("CARGO_BIN_EXE_sweep-worker")).contains("libtorch_cpu"));
    assert!(!needed(env!("CARGO_BIN_EXE_sweep")).contains("libtorch"));
}
