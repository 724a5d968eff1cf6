//! Models and data sets of the Hugging Face hub, in the cache folder that Python's huggingface_hub uses, so that either
//! finds what the other has fetched.
//!
//! The layout of the cache and the addresses are those of the hf-hub crate. Its own download neither resumes over its
//! redirects, nor checks what came, nor ends when a connection stalls, so `client` asks by the HTTP client that hf-hub
//! brings, and `fetch` keeps what has come.

mod cache;
mod client;
mod error;
mod fetch;
mod files;
pub mod known;
mod permissions;
mod reference;
mod rows;
pub mod sets;
mod settings;
mod tasks;
mod verify;

pub use crate::disk::bytes;
pub use cache::{Cached, Snapshot};
pub use error::Error;
pub use fetch::{Choose, Fetched, Remote, Watch};
pub use files::{has_model, model_files};
pub use reference::Reference;
pub use settings::Settings;
pub use tasks::{Wrote, WroteTask, fetched_in_part};

use cache::Store;
use client::Client;

/// The hub as this process sees it: where it is, who asks, and what is kept here.
pub struct Hub {
    settings: Settings,
    store: Store,
    client: Client,
}

impl Hub {
    pub fn new(settings: Settings) -> Hub {
        let (store, client) = (Store::new(&settings.cache), Client::new(&settings));
        Hub { settings, store, client }
    }

    /// The cache folder.
    pub fn cache(&self) -> &std::path::Path {
        self.store.root()
    }

    /// Whether the network is switched off.
    pub fn is_offline(&self) -> bool {
        self.settings.offline
    }
}
