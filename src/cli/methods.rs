//! `sweep methods [NAME]`: the modes that a sweep file may name.

use anyhow::Result;

use super::{Exit, Refusal, print};
use crate::method::{Info, METHODS};
use crate::spec::fault::suggestion;
use crate::spec::number::{Number, Standard};

#[derive(clap::Args)]
pub struct Arguments {
    /// Show this one in full
    name: Option<String>,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let Some(name) = &arguments.name else {
        for method in METHODS {
            print(&format!("{:<12} {}", method.name, method.summary))?;
            for number in method.numbers {
                print(&format!("{:<12}   {}", "", describe(number)))?;
            }
            print(&format!("{:<12}   {}", "", method.paper))?;
        }
        return Ok(Exit::Done);
    };
    let Some(method) = METHODS.iter().find(|m| m.name == name) else {
        let known = METHODS.iter().map(|m| m.name);
        return Err(Refusal(format!("no method is called \"{name}\"; {}", suggestion(name, known))).into());
    };
    show(method)?;
    Ok(Exit::Done)
}

fn show(method: &Info) -> Result<()> {
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
    print(&format!("\n{}", method.paper))
}

/// `p = 0.3 (a number above 0 and up to 1)`
fn describe(number: &Number) -> String {
    let standard = match number.standard {
        Standard::Absent(meaning) => meaning.to_owned(),
        standard => standard.value().map_or_else(String::new, |value| value.to_string()),
    };
    format!("{} = {standard} ({})", number.name, number.domain)
}
