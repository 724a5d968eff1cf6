//! f
pub fn stub(){}
