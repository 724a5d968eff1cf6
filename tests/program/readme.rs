//! The README's tables are those of the registries, and every file that it names is there.

use sweep::method::METHODS;
use sweep::spec::number::{Number, Standard};
use sweep::spec::recipe::{LOG_EVERY, RECIPE};

use super::sandbox::project;

fn readme() -> String {
    std::fs::read_to_string(project().join("README.md")).expect("README.md")
}

fn standard(number: &Number) -> String {
    match number.standard {
        Standard::Absent(meaning) => meaning.to_owned(),
        standard => standard.value().map_or_else(String::new, |value| value.to_string()),
    }
}

/// The lines between `<!-- name -->` and `<!-- /name -->`.
fn part(name: &str) -> Vec<String> {
    let text = readme();
    let (_, rest) = text.split_once(&format!("<!-- {name} -->\n")).expect("the part's beginning");
    let (part, _) = rest.split_once(&format!("<!-- /{name} -->")).expect("the part's end");
    part.lines().map(str::to_owned).collect()
}

#[test]
fn the_table_of_settings_is_that_of_the_recipe() {
    let line = |n: &Number| format!("| `{}` | {} | {} |", n.name, n.what, standard(n));
    let expected: Vec<String> = RECIPE.iter().chain([&LOG_EVERY]).map(line).collect();
    assert_eq!(part("recipe"), expected);
}

#[test]
fn the_table_of_methods_is_that_of_the_registry() {
    let said = super::sandbox::Sandbox::new().expect(0, &["methods", "--markdown"]).out;
    let expected: Vec<&str> = said.lines().collect();
    assert_eq!(expected.len(), METHODS.len() + 2);
    assert_eq!(part("methods"), expected);
}

#[test]
fn every_file_that_the_readme_names_is_there() {
    let text = readme();
    let mut named = 0;
    for word in text.split(['`', '(', ')', ' ', '\n']) {
        let is_path = ["src/", "tests/", "docs/", "sweeps/"].iter().any(|folder| word.starts_with(folder));
        if is_path && !word.contains('<') {
            named += 1;
            assert!(project().join(word.trim_end_matches([',', '.'])).exists(), "the README names {word}");
        }
    }
    assert!(named > 15, "only {named} paths found");
}

#[test]
fn every_sweep_file_in_the_repository_plans() {
    let sandbox = super::sandbox::Sandbox::new();
    let mut planned = 0;
    for entry in std::fs::read_dir(project().join("sweeps")).expect("sweeps/").flatten() {
        let file = entry.path();
        let said = sandbox
            .command(&["plan", &file.display().to_string()])
            .env("SWEEP_MODELS", project().join("models"))
            .env("SWEEP_DATA", project().join("data"))
            .output()
            .expect("the program starts");
        let err = String::from_utf8_lossy(&said.stderr);
        // Data and model may be absent here; then that, and nothing else, is what is said.
        let absent = err.contains("which is in none of") || err.contains("unknown model");
        assert!(said.status.success() || absent, "{}:\n{err}", file.display());
        planned += 1;
    }
    assert!(planned >= 3);
}
