//! Where what is chosen is chosen.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::table::Table;

/// Where the best of a `[tune]` axis, or of p, is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Select {
    /// On the dev set that is reported, as the papers do.
    #[default]
    Dev,
    /// On the even half of the dev set; the odd half is reported.
    Half,
}

impl Select {
    /// `select = "dev"` or `"half"` at the top of a sweep file.
    pub(super) fn read(root: &Table) -> Select {
        let Some(text) = root.text("select") else { return Select::default() };
        match text.as_str() {
            "half" => Select::Half,
            "dev" => Select::Dev,
            other => {
                let title = format!("select must be \"dev\" or \"half\", not \"{other}\"");
                let help = "dev chooses where it reports, as the papers do; half chooses on one half of dev and reports \
                            the other";
                let span = root.get("select").map_or(0..0, |entry| entry.span());
                root.faults().add(Fault::new(span, title, "neither").help(help));
                Select::default()
            }
        }
    }
}
