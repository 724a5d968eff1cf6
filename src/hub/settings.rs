//! What the environment says about the hub, by the variables that people know from Python's huggingface_hub.

use std::path::PathBuf;
use std::time::Duration;

use super::Error;

const HUB: &str = "https://huggingface.co";

/// Seconds without a byte after which a connection counts as stalled.
const PATIENCE: f64 = 10.0;

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `HF_ENDPOINT`, without a slash at the end.
    pub endpoint: String,
    /// `HF_HUB_CACHE`, else `hub` under `HF_HOME`.
    pub cache: PathBuf,
    /// `HF_TOKEN`, else what lies in the file `HF_TOKEN_PATH`.
    pub token: Option<String>,
    /// Where the token of `huggingface-cli login` lies.
    pub token_file: PathBuf,
    /// `--offline`, or `HF_HUB_OFFLINE`: no network at all.
    pub offline: bool,
    /// `HF_HUB_DOWNLOAD_TIMEOUT`.
    pub patience: Duration,
}

impl Settings {
    /// From this process's environment.
    ///
    /// # Errors
    /// A variable that cannot be meant as it stands.
    pub fn from_env(offline: bool) -> Result<Settings, Error> {
        Settings::read(&|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()), offline)
    }

    fn read(get: &dyn Fn(&str) -> Option<String>, offline: bool) -> Result<Settings, Error> {
        let user = get("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let path = |text: String| match text.strip_prefix("~/") {
            Some(rest) => user.join(rest),
            None => PathBuf::from(text),
        };
        let cache_home = get("XDG_CACHE_HOME").map_or_else(|| user.join(".cache"), path);
        let home = get("HF_HOME").map_or_else(|| cache_home.join("huggingface"), path);
        let cache = get("HF_HUB_CACHE").or_else(|| get("HUGGINGFACE_HUB_CACHE")).map_or_else(|| home.join("hub"), path);
        let token_file = get("HF_TOKEN_PATH").map_or_else(|| home.join("token"), path);
        let is_on = |name: &str| {
            get(name).is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.trim().to_lowercase().as_str()))
        };
        let given = get("HF_TOKEN").or_else(|| get("HUGGING_FACE_HUB_TOKEN"));
        let saved = || std::fs::read_to_string(&token_file).ok().filter(|_| !is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN"));
        let token = given.or_else(saved).map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Error::Setting {
                name: "HF_TOKEN".to_owned(),
                why: format!("the token in it, or in {}, has a character that no token has", token_file.display()),
            });
        }
        let endpoint = get("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned()).trim().trim_end_matches('/').to_owned();
        if !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
            let why = format!("\"{endpoint}\" begins with neither https:// nor http://");
            return Err(Error::Setting { name: "HF_ENDPOINT".to_owned(), why });
        }
        let patience = match get("HF_HUB_DOWNLOAD_TIMEOUT") {
            None => PATIENCE,
            Some(text) => {
                text.trim().parse().ok().filter(|&seconds| (0.01..=86_400.0).contains(&seconds)).ok_or_else(|| {
                    Error::Setting {
                        name: "HF_HUB_DOWNLOAD_TIMEOUT".to_owned(),
                        why: format!("\"{text}\" is no number of seconds between 0.01 and 86400"),
                    }
                })?
            }
        };
        Ok(Settings {
            endpoint,
            cache,
            token,
            token_file,
            offline: offline || is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE"),
            patience: Duration::from_secs_f64(patience),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, Error> {
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Settings::read(&get, false)
    }

    #[test]
    fn the_cache_lies_where_python_looks() {
        let cache = |variables: &[(&str, &str)]| read(variables).unwrap().cache;
        let home = ("HOME", "/home/ann");
        assert_eq!(cache(&[home]), PathBuf::from("/home/ann/.cache/huggingface/hub"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/x")]), PathBuf::from("/x/huggingface/hub"));
        assert_eq!(cache(&[home, ("HF_HOME", "~/hf"), ("XDG_CACHE_HOME", "/x")]), PathBuf::from("/home/ann/hf/hub"));
        assert_eq!(cache(&[home, ("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")]), PathBuf::from("/old"));
        assert_eq!(cache(&[home, ("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c")]), PathBuf::from("/c"));
    }

    #[test]
    fn the_token_is_given_or_saved() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("token"), "hf_saved\n").unwrap();
        std::fs::write(folder.path().join("other"), "hf_other").unwrap();
        let token = |variables: &[(&str, &str)]| read(variables).unwrap().token.unwrap_or_default();
        assert_eq!(token(&[("HF_HOME", home)]), "hf_saved");
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN_PATH", &format!("{home}/other"))]), "hf_other");
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN", "hf_given")]), "hf_given");
        assert_eq!(token(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), "");
        assert!(read(&[("HF_TOKEN", "two words")]).is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(read(&[("HF_ENDPOINT", "http://mirror:8080/")]).unwrap().endpoint, "http://mirror:8080");
        assert!(read(&[("HF_ENDPOINT", "mirror")]).unwrap_err().to_string().contains("HF_ENDPOINT"));
        assert!(read(&[("HF_HUB_DOWNLOAD_TIMEOUT", "soon")]).unwrap_err().to_string().contains("seconds"));
        assert!(
            read(&[("HF_HUB_OFFLINE", "ON")]).unwrap().offline && !read(&[("HF_HUB_OFFLINE", "0")]).unwrap().offline
        );
    }
}
