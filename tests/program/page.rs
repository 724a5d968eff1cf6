//! The report's page in a real browser: no errors, tables sort and filter, nothing overflows.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::sandbox::{Sandbox, project};

/// A Chromium, where one is installed.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|file| file.is_file())
}

/// The report of the records in the repository, one of them failed with a log.
fn report(sandbox: &Sandbox) -> String {
    let (from, to) = (project().join("results"), sandbox.path("results"));
    copy(&from.join("runs"), &to.join("runs"));
    copy(&from.join("quickstart"), &to.join("quickstart"));
    let mut runs: Vec<PathBuf> =
        std::fs::read_dir(to.join("runs")).expect("runs").flatten().map(|entry| entry.path()).collect();
    runs.sort();
    let path = runs[0].join("record.json");
    let text = std::fs::read_to_string(&path).expect("a record");
    let mut record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    record["end"] = serde_json::json!({"failed": {"diverged": {"step": 3}}});
    std::fs::write(&path, record.to_string()).expect("a record");
    std::fs::write(runs[0].join("log.txt"), "last words <b>&\n").expect("a log");
    sandbox.expect(0, &["report", "quickstart"]);
    std::fs::read_to_string(sandbox.path("reports/quickstart/index.html")).expect("a page")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Uses the page at this width and gives back what was wrong. It lies in a frame, for a window has a least width.
fn used(browser: &Path, sandbox: &Sandbox, page: &str, width: u32) -> String {
    let listen = format!(
        "<script>document.documentElement.dataset.width = {width}; window.wrong = [];\
         window.addEventListener('error', (e) => wrong.push('error: ' + e.message));\
         console.error = console.warn = (...told) => wrong.push('console: ' + told.join(' '));</script>\
         <script>{}</script></head>",
        include_str!("page.js")
    );
    let frame = format!(
        "<!doctype html><script>window.onmessage = (message) => {{ const found = document.createElement('pre');\
         found.id = 'found'; found.textContent = message.data; document.body.append(found); }};</script>\
         <body><iframe src=\"used-{width}.html\" style=\"width: {width}px; height: 2000px; border: 0\"></iframe>"
    );
    let outer = sandbox.path(&format!("frame-{width}.html"));
    std::fs::write(sandbox.path(&format!("used-{width}.html")), page.replacen("</head>", &listen, 1)).expect("a copy");
    std::fs::write(&outer, frame).expect("a frame");
    let profile = sandbox.path(&format!("profile-{width}"));
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=10000"])
        .arg("--window-size=1400,2100")
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", outer.display()))
        .output()
        .expect("the browser starts");
    let dom = String::from_utf8_lossy(&output.stdout);
    let found = dom.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    found.map_or_else(|| format!("no result: {}", String::from_utf8_lossy(&output.stderr)), str::to_owned)
}

#[test]
#[expect(clippy::print_stderr, reason = "who runs the tests should see that this one did not look")]
fn the_page_works_in_a_browser_and_nothing_overflows() {
    let Some(browser) = browser() else {
        eprintln!("skipped: no Chromium on the PATH, so the report's page was not opened");
        return;
    };
    let sandbox = Sandbox::new();
    let page = report(&sandbox);
    for width in [1280, 390] {
        assert_eq!(used(&browser, &sandbox, &page, width), "all is well", "at {width} pixels");
    }
}

#[test]
fn the_page_is_whole_without_scripts_and_loads_nothing() {
    let sandbox = Sandbox::new();
    let page = report(&sandbox);
    let written = page.split("<script>").next().expect("a page");
    for section in ["verdicts", "main", "figures", "settings", "cost", "failures", "runs", "provenance"] {
        assert!(written.contains(&format!("<section id=\"{section}\">")), "{section}");
    }
    assert!(!written.contains(" hidden") && written.contains("last words &#60;b&#62;&#38;"), "all is to be seen");
    for remote in [" src=", "href=\"http", "href=\"//", "url(", "@import", "fetch("] {
        assert!(!page.contains(remote), "the page loads something else: {remote}");
    }
    for link in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let is_file = !link.starts_with('#') && !link.starts_with("data:");
        assert!(!is_file || sandbox.path("reports/quickstart").join(link).is_file(), "a dead link: {link}");
    }
}
