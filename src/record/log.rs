//! The append-only, checksummed event log of a sweep.
