//! Whether a GPU may round the factors of fp32 products to TF32: a switch of libtorch's, of the whole process.

type Global = unsafe extern "C" fn() -> *mut libc::c_void;
type Set = unsafe extern "C" fn(*mut libc::c_void, bool);
type Get = unsafe extern "C" fn(*const libc::c_void) -> bool;

/// Lets it, or not, from now on.
pub fn to_tf32(is_on: bool) {
    // SAFETY: libtorch exports `at::Context& at::globalContext()` and `void at::Context::setAllowTF32CuBLAS(bool)` under
    // these names; a reference is a pointer, and so is `this`, the first argument.
    unsafe {
        let set = libc::dlsym(libc::RTLD_DEFAULT, c"_ZN2at7Context18setAllowTF32CuBLASEb".as_ptr());
        if let Some(context) = context().filter(|_| !set.is_null()) {
            let set: Set = std::mem::transmute(set);
            set(context, is_on);
        }
    }
}

/// Whether it may.
fn is_tf32() -> bool {
    // SAFETY: as above; `bool at::Context::allowTF32CuBLAS() const`.
    unsafe {
        let get = libc::dlsym(libc::RTLD_DEFAULT, c"_ZNK2at7Context15allowTF32CuBLASEv".as_ptr());
        context().filter(|_| !get.is_null()).is_some_and(|context| {
            let get: Get = std::mem::transmute(get);
            get(context)
        })
    }
}

/// libtorch's global state, where it has the name that it had.
fn context() -> Option<*mut libc::c_void> {
    // SAFETY: see `to_tf32`.
    unsafe {
        let global = libc::dlsym(libc::RTLD_DEFAULT, c"_ZN2at13globalContextEv".as_ptr());
        (!global.is_null()).then(|| {
            let global: Global = std::mem::transmute(global);
            global()
        })
    }
}

/// As long as it lives, fp32 is fp32: for what small differences decide.
pub struct Exact {
    before: bool,
}

impl Exact {
    pub fn new() -> Exact {
        let before = is_tf32();
        to_tf32(false);
        Exact { before }
    }
}

impl Drop for Exact {
    fn drop(&mut self) {
        to_tf32(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names are those of the libtorch that is linked.
    #[test]
    fn tf32_can_be_switched_and_what_must_be_exact_is() {
        let _alone = crate::train::example::alone();
        to_tf32(true);
        assert!(is_tf32());
        {
            let _exact = Exact::new();
            assert!(!is_tf32());
        }
        assert!(is_tf32());
        to_tf32(false);
        assert!(!is_tf32());
    }
}
