//! Free space.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes that this user may still write where `place` lies, or would lie; `None` where the system does not say.
pub fn free_bytes(place: &Path) -> Option<u64> {
    let place = std::path::absolute(place).ok()?;
    let there = place.ancestors().find(|folder| folder.is_dir())?;
    let there = std::ffi::CString::new(there.as_os_str().as_bytes()).ok()?;
    // SAFETY: statvfs writes the struct it is given; a C string that outlives the call names the path.
    let stat = unsafe {
        let mut stat = std::mem::zeroed::<libc::statvfs>();
        (libc::statvfs(there.as_ptr(), &mut stat) == 0).then_some(stat)?
    };
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
