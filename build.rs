//! Tells the programs where libtorch lies, so that nothing has to be exported to run them, and what they were built
//! from, so that every record can say it.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    for source in ["src", "Cargo.toml", ".git/logs/HEAD"] {
        if Path::new(source).exists() {
            println!("cargo:rerun-if-changed={source}");
        }
    }
    println!("cargo:rustc-env=SWEEP_COMMIT={}", commit());

    // Packed beside the program, if it ever is; then where it was built against.
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/libtorch/lib");
    let mut version = String::from("unknown");
    if let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.to_string_lossy());
        let file = Path::new(&lib).with_file_name("build-version");
        version = std::fs::read_to_string(file).map_or(version, |text| text.trim().to_owned());
    }
    println!("cargo:rustc-env=SWEEP_LIBTORCH_VERSION={version}");
}

/// The commit of the source, with `+` behind it when the tree has changes; empty outside a repository.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return String::new() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "src", "Cargo.toml", "Cargo.lock"]);
    commit + if changed.is_some_and(|list| !list.is_empty()) { "+" } else { "" }
}
