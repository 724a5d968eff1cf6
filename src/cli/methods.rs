//! `sweep methods [NAME]`: the modes that a sweep file may name.

use anyhow::Result;

use super::{Exit, Refusal, print};
use crate::method::{self, Info, METHODS};
use crate::spec::fault::suggestion;
use crate::spec::number::{Number, Standard};

#[derive(clap::Args)]
pub struct Arguments {
    /// Show this one in full, or a combination: child-d+r3f
    name: Option<String>,
    /// Print a Markdown table, the one of the README
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    match &arguments.name {
        Some(name) => show(name)?,
        None if arguments.markdown => table().iter().try_for_each(|line| print(line))?,
        None => list()?,
    }
    Ok(Exit::Done)
}

fn list() -> Result<()> {
    for method in METHODS {
        print(&format!("{:<13} {}", method.name, method.summary))?;
        for number in method.numbers {
            print(&format!("{:<13}   {}", "", describe(number)))?;
        }
        print(&format!("{:<13}   {}", "", method.paper))?;
    }
    print(
        "\nModes combine by +, as in child-d+r3f, unless they contradict each other; `sweep methods child-d+r3f` says \
         which.\n`sweep methods child-d` shows one in full.",
    )
}

/// The lines of a Markdown table of all methods.
pub fn table() -> Vec<String> {
    let mut lines = vec!["| mode | what it does | its numbers |".to_owned(), "| --- | --- | --- |".to_owned()];
    for method in METHODS {
        let numbers = method.numbers.iter().map(|n| format!("`{}` = {}", n.name, standard(n))).collect::<Vec<_>>();
        let numbers = if numbers.is_empty() { "–".to_owned() } else { numbers.join(", ") };
        lines.push(format!("| `{}` | {} | {numbers} |", method.name, method.summary));
    }
    lines
}

/// Shows a method in full, or all of a combination.
///
/// # Errors
/// A name that no method has; methods that contradict each other, with the reason.
fn show(name: &str) -> Result<()> {
    let names: Vec<&str> = name.split('+').map(str::trim).collect();
    let mut methods = Vec::new();
    for name in &names {
        let Some(method) = method::info(name) else {
            let known = METHODS.iter().map(|m| m.name);
            return Err(Refusal(format!("no method is called \"{name}\"; {}", suggestion(name, known))).into());
        };
        methods.push(method);
    }
    if let Some(why) = method::refusal(&names) {
        return Err(Refusal(format!("\"{name}\" cannot be trained: {why}")).into());
    }
    if methods.len() > 1 {
        print(&format!("{}: all of them at once, in this order\n", method::canonical(&names)))?;
    }
    methods.sort_by_key(|method| METHODS.iter().position(|other| other.name == method.name));
    for (place, method) in methods.into_iter().enumerate() {
        if place > 0 {
            print("")?;
        }
        show_one(method)?;
    }
    Ok(())
}

fn show_one(method: &Info) -> Result<()> {
    print(&format!("{}: {}", method.name, method.summary))?;
    print(&format!("\n  {}\n", method.equation))?;
    for number in method.numbers {
        print(&format!("  {}\n      {}", describe(number), number.what))?;
    }
    if !method.choices.is_empty() {
        print("\nWhere paper and authors' program differ, and other choices made:")?;
        for choice in method.choices {
            print(&format!("  - {choice}"))?;
        }
    }
    let others = METHODS.iter().map(|other| other.name).filter(|other| *other != method.name && *other != "vanilla");
    let against: Vec<&str> = others.filter(|other| method::refusal(&[method.name, other]).is_some()).collect();
    if !against.is_empty() && method.name != "vanilla" {
        print(&format!("\nCannot be combined with {}.", against.join(", ")))?;
    }
    print(&format!("\n{}", method.paper))
}

/// `p = 0.3 (a number above 0 and up to 1)`
fn describe(number: &Number) -> String {
    format!("{} = {} ({})", number.name, standard(number), number.domain)
}

fn standard(number: &Number) -> String {
    match number.standard {
        Standard::Absent(meaning) => meaning.to_owned(),
        standard => standard.value().map_or_else(String::new, |value| value.to_string()),
    }
}
