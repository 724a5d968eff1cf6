//! Who may read what is written.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

/// Those of any file that a program makes, less what the user's mask takes away; a temporary file has others.
pub fn readable() -> Permissions {
    Permissions::from_mode(0o666)
}
