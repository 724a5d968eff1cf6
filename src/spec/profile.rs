//! Profiles: `[profile.small]` holds what differs in a small twin of the same study.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, suggestion};
use super::table::{Collector, kind};

/// Takes `[profile]` out of the file and, if one is chosen, writes what it says over what the file says: key by key
/// within a section, and whole where it is a list or the table of one mode, task or label map.
pub(super) fn apply(root: &mut DeTable, chosen: Option<&str>, faults: &Collector) {
    let profiles = root.remove("profile");
    let Some(chosen) = chosen else { return };
    let span = profiles.as_ref().map_or(0..0, Spanned::span);
    let mut profiles = match profiles.map(Spanned::into_inner) {
        Some(DeValue::Table(profiles)) => profiles,
        Some(other) => {
            let title = "profile must be a table, written [profile.<name>]";
            return faults.add(Fault::new(span, title, format!("this is {}", kind(&other))));
        }
        None => {
            let help = format!("write [profile.{chosen}.grid] and so on, or leave --profile out");
            return faults.add(Fault::new(0..0, format!("the file has no profile \"{chosen}\""), "none").help(help));
        }
    };
    let names: Vec<String> = profiles.keys().map(|key| key.get_ref().to_string()).collect();
    match profiles.remove(chosen).map(Spanned::into_inner) {
        Some(DeValue::Table(profile)) => merge(root, profile, 2),
        Some(other) => {
            let title = format!("profile.{chosen} must be a table, written [profile.{chosen}.grid] and so on");
            faults.add(Fault::new(span, title, format!("this is {}", kind(&other))));
        }
        None => {
            let help = suggestion(chosen, names.iter().map(String::as_str));
            faults.add(Fault::new(span, format!("the file has no profile \"{chosen}\""), "these there are").help(help));
        }
    }
    forget_other_modes(root);
}

/// How the sweep of a profile is called.
pub fn name(sweep: &str, profile: &str) -> String {
    format!("{sweep}-{profile}")
}

/// `depth` tables deep key by key; a value keeps the place of the key that it stands in for, so that the order of axes
/// stays the file's.
fn merge<'a>(into: &mut DeTable<'a>, from: DeTable<'a>, depth: u32) {
    for (key, value) in from {
        match into.get_mut(key.get_ref().as_ref()) {
            None => drop(into.insert(key, value)),
            Some(held) => {
                let (span, new) = (value.span(), value.into_inner());
                match (held.get_mut(), new) {
                    (DeValue::Table(inner), DeValue::Table(new)) if depth > 1 => merge(inner, new, depth - 1),
                    (_, new) => *held = Spanned::new(span, new),
                }
            }
        }
    }
}

/// A profile with fewer modes needs not the tables of the others.
fn forget_other_modes(root: &mut DeTable) {
    let listed: Option<Vec<String>> = match root.get("grid").map(Spanned::get_ref) {
        Some(DeValue::Table(grid)) => match grid.get("mode").map(Spanned::get_ref) {
            Some(DeValue::Array(items)) => Some(items.iter().filter_map(|item| text(item.get_ref())).collect()),
            Some(one) => text(one).map(|name| vec![name]),
            None => None,
        },
        _ => None,
    };
    if let (Some(listed), Some(DeValue::Table(modes))) = (listed, root.get_mut("mode").map(Spanned::get_mut)) {
        let named: Vec<String> = modes.keys().map(|key| key.get_ref().to_string()).collect();
        for name in named.iter().filter(|name| !listed.contains(name)) {
            modes.remove(name.as_str());
        }
    }
}

fn text(value: &DeValue) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    }
}
