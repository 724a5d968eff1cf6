//! The design in one rule: arrows point one way, and the coordinator stays free of libtorch.

use std::path::{Path, PathBuf};

use super::sandbox::project;

/// Which modules a module may use. `cli` may use everything and is used by nothing.
const MAY_USE: &[(&str, &[&str])] = &[
    ("spec", &[]),
    ("task", &[]),
    ("arena", &[]),
    ("plan", &["spec"]),
    ("record", &["plan"]),
    ("model", &["arena"]),
    ("method", &["arena", "plan", "spec"]),
    ("train", &["arena", "method", "model", "plan", "record", "task"]),
    ("worker", &["plan", "record", "task", "train"]),
    ("schedule", &["plan", "record", "worker"]),
    ("frame", &["plan", "record"]),
    ("figure", &["frame", "record"]),
    ("report", &["figure", "frame", "record"]),
];

/// Modules that hold no tensor.
const TORCH_FREE: &[&str] = &["spec", "plan", "record", "schedule", "frame", "figure", "report", "task", "cli"];

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

fn module_of(path: &Path) -> String {
    let within = path.strip_prefix(project().join("src")).expect("below src");
    within.components().next().map(|c| c.as_os_str().to_string_lossy().replace(".rs", "")).expect("a name")
}

#[test]
fn modules_use_only_what_the_design_allows() {
    let files = sources(&project().join("src"));
    assert!(files.len() > 50, "only {} files found", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let module = module_of(&path);
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else { continue };
        for line in std::fs::read_to_string(&path).expect("a source").lines() {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if used != module && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{} uses {used}: {}", path.display(), line.trim()));
                }
            }
            if TORCH_FREE.contains(&module.as_str()) && line.contains("tch::") {
                wrong.push(format!("{} uses tch: {}", path.display(), line.trim()));
            }
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
