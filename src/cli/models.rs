//! `sweep models`: families, known checkpoints, and what of them is on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::inputs::{hub, model_roots};
use super::{Exit, Places, print};
use crate::hub::known::KNOWN;
use crate::hub::{Cached, bytes};
use crate::model::{self, Config, MODEL_TYPES};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    places: Places,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listing {
    /// What people call a family, and the `model_type` of its configs.
    families: BTreeMap<&'static str, &'static str>,
    known: Vec<Checkpoint>,
    here: Vec<Here>,
    cache: PathBuf,
}

#[derive(Serialize)]
struct Checkpoint {
    name: &'static str,
    family: &'static str,
    /// With a head of two classes.
    parameters: i64,
    /// Entries of the transformer layers, which a child network is chosen from.
    encoder: i64,
    is_here: bool,
}

#[derive(Serialize)]
struct Here {
    name: String,
    /// Branches and tags, else the beginning of the commit; none for a folder of one's own.
    revision: Option<String>,
    bytes: u64,
    folder: PathBuf,
    /// Whether nothing is missing.
    is_whole: bool,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let hub = hub(arguments.places.offline)?;
    let mut here: Vec<Here> = model_roots(&arguments.places).iter().flat_map(|root| folders(root)).collect();
    let cached = hub.cached_models();
    here.extend(cached.into_iter().map(from_cache));
    let is_here = |name: &str| {
        let last = name.rsplit('/').next().unwrap_or(name);
        here.iter().any(|h| h.is_whole && (h.name == name || h.name == last))
    };
    let known = KNOWN.iter().filter_map(|known| {
        let config = known.config()?;
        let parameters = config.parameters(2);
        Some(Checkpoint {
            name: known.name,
            family: family(&config),
            parameters: model::count(&parameters),
            encoder: model::encoder_count(&parameters),
            is_here: is_here(known.name),
        })
    });
    let families = MODEL_TYPES.iter().map(|(model_type, family)| (*family, *model_type)).collect();
    let listing = Listing { families, known: known.collect(), here, cache: hub.cache().to_owned() };
    if arguments.json {
        print(&serde_json::to_string_pretty(&listing)?)?;
    } else {
        show(&listing)?;
    }
    Ok(Exit::Done)
}

fn family(config: &Config) -> &'static str {
    MODEL_TYPES.iter().find(|(name, _)| *name == config.model_type).map_or("", |(_, family)| family)
}

/// The model folders under a root.
fn folders(root: &std::path::Path) -> Vec<Here> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.join("config.json").is_file()).collect();
    folders.sort();
    let here = |folder: PathBuf| {
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        Here {
            name: folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            revision: None,
            bytes: files.filter_map(|file| file.metadata().ok()).filter(|m| m.is_file()).map(|m| m.len()).sum(),
            is_whole: model::check(&folder).is_ok(),
            folder,
        }
    };
    folders.into_iter().map(here).collect()
}

fn from_cache(cached: Cached) -> Here {
    let short = format!("{:.10}", cached.snapshot.commit);
    let revision = if cached.revisions.is_empty() { short } else { format!("{} {short}", cached.revisions.join(" ")) };
    Here {
        name: cached.repo,
        revision: Some(revision),
        bytes: cached.bytes,
        folder: cached.snapshot.folder,
        is_whole: cached.is_whole,
    }
}

fn show(listing: &Listing) -> Result<()> {
    let mut known = table(&["checkpoint", "family", "parameters", "encoder", ""]);
    for checkpoint in &listing.known {
        known.add_row([
            checkpoint.name.to_owned(),
            checkpoint.family.to_owned(),
            millions(checkpoint.parameters),
            millions(checkpoint.encoder),
            if checkpoint.is_here { "here" } else { "" }.to_owned(),
        ]);
    }
    right(&mut known, &[2, 3]);
    let families: Vec<&str> = MODEL_TYPES.iter().map(|(_, family)| *family).collect();
    print(&format!("Families: {}", families.join(", ")))?;
    print("Any checkpoint of them can be trained, by its folder or its name on the hub. Known ones:\n")?;
    print(&trimmed(&known))?;
    print("\nParameters with a head of two classes; a child network is chosen from those of the encoder.\n")?;
    if listing.here.is_empty() {
        return print(&format!(
            "No model is here: none under --models or ./models, none in {}",
            listing.cache.display()
        ));
    }
    let mut here = table(&["on this machine", "revision", "size", ""]);
    for model in &listing.here {
        here.add_row([
            model.name.clone(),
            model.revision.clone().unwrap_or_else(|| "folder".to_owned()),
            bytes(model.bytes),
            if model.is_whole { "" } else { "not whole" }.to_owned(),
        ]);
    }
    right(&mut here, &[2]);
    print(&trimmed(&here))?;
    print(&format!("\nThe hub's cache is {}", listing.cache.display()))
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}

fn right(table: &mut Table, columns: &[usize]) {
    for &column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Without blanks at the ends of lines.
fn trimmed(table: &Table) -> String {
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// `333.6 M`.
fn millions(n: i64) -> String {
    format!("{:.1} M", n as f64 / 1e6)
}
