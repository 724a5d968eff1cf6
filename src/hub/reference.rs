//! `google/electra-large-discriminator@v1`: what a repository of the hub is called.

use std::fmt;

use hf_hub::{Repo, RepoType};

/// The branch that is meant where none is named.
const MAIN: &str = "main";

/// Longest name that the hub allows.
const LONGEST: usize = 96;

/// A repository at a revision: a branch, a tag or a commit.
#[derive(Debug, Clone)]
pub struct Reference {
    pub repo: String,
    pub revision: String,
    kind: RepoType,
}

impl Reference {
    /// `bert-base-cased`, `org/name` or either with `@revision`; `None` for what cannot be the name of a model there,
    /// a path among it.
    pub fn model(name: &str) -> Option<Reference> {
        let (repo, revision) = name.split_once('@').unwrap_or((name, MAIN));
        let is_name = repo.len() <= LONGEST && repo.split('/').count() <= 2 && repo.split('/').all(is_word);
        let is_revision = !revision.is_empty() && revision.split('/').all(is_word);
        (is_name && is_revision).then(|| Reference {
            repo: repo.to_owned(),
            revision: revision.to_owned(),
            kind: RepoType::Model,
        })
    }

    pub fn dataset(repo: &str, revision: &str) -> Reference {
        Reference { repo: repo.to_owned(), revision: revision.to_owned(), kind: RepoType::Dataset }
    }

    /// The same repository at another revision.
    pub fn at(&self, revision: &str) -> Reference {
        Reference { revision: revision.to_owned(), ..self.clone() }
    }

    /// Whether the revision can never mean another content: it is a whole commit hash.
    pub fn is_commit(&self) -> bool {
        is_commit(&self.revision)
    }

    pub(super) fn is_main(&self) -> bool {
        self.revision == MAIN
    }

    /// `model`, for sentences.
    pub fn noun(&self) -> &'static str {
        if matches!(self.kind, RepoType::Model) { "model" } else { "data set" }
    }

    pub(super) fn repo(&self) -> Repo {
        Repo::with_revision(self.repo.clone(), self.kind, self.revision.clone())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if self.is_main() { Ok(()) } else { write!(f, "@{}", self.revision) }
    }
}

/// 40 hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_word(word: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !word.is_empty()
        && word.bytes().all(is_inner)
        && !word.starts_with(['.', '-'])
        && !word.ends_with(['.', '-'])
        && !word.contains("..")
        && !word.contains("--")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_read_and_paths_are_none() {
        let electra = Reference::model("google/electra-large-discriminator@refs/pr/2").unwrap();
        assert_eq!(
            (electra.repo.as_str(), electra.revision.as_str()),
            ("google/electra-large-discriminator", "refs/pr/2")
        );
        assert_eq!(electra.to_string(), "google/electra-large-discriminator@refs/pr/2");
        assert_eq!(electra.repo().api_url(), "models/google/electra-large-discriminator/revision/refs%2Fpr%2F2");
        let bert = Reference::model("bert-base-cased").unwrap();
        assert_eq!((bert.to_string().as_str(), bert.is_main(), bert.is_commit()), ("bert-base-cased", true, false));
        assert!(bert.at(&"0f".repeat(20)).is_commit());
        for path in ["", "./models/x", "../x", "/abs/x", "a/b/c", "a//b", "a b", "x@", "x@../y", ".hidden", "a--b"] {
            assert!(Reference::model(path).is_none(), "{path}");
        }
    }
}
