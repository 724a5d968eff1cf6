//! How much of a card's free memory the runs of a sweep may fill.

/// What is left free is for what no measurement shows: fragments, and what others take later.
const SHARE: f64 = 0.9;
/// Workers on one card at most: beyond this they only wait for each other.
pub const MOST: usize = 8;

/// MiB that runs may take together, of so many bytes that are free.
pub fn room(free: u64) -> u32 {
    let mib = (free as f64 * SHARE / f64::from(1 << 20)).floor();
    mib.min(f64::from(u32::MAX)) as u32
}

/// Whether a need fits in a room, of which some is taken; MiB.
pub fn fits(room: u32, taken: impl IntoIterator<Item = u32>, need: u32) -> bool {
    let taken: u64 = taken.into_iter().map(u64::from).sum();
    taken + u64::from(need) <= u64::from(room)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tenth_of_what_is_free_stays_free() {
        assert_eq!(room(80 << 30), 73_728);
        assert_eq!((room(0), room(u64::MAX)), (0, u32::MAX));
        assert!(fits(100, [40, 40], 20));
        assert!(!fits(100, [40, 40], 21));
        assert!(!fits(u32::MAX, [u32::MAX, u32::MAX], 1));
    }

    proptest! {
        /// Whatever comes in whatever order: what was let in never sums up to more than 90 % of what was free.
        #[test]
        fn the_sum_of_peaks_stays_within_the_share(free_mib in 0u64..200_000, needs in prop::collection::vec(0u32..90_000, 0..20)) {
            let room = room(free_mib << 20);
            let mut taken: Vec<u32> = Vec::new();
            for need in needs {
                if fits(room, taken.iter().copied(), need) {
                    taken.push(need);
                }
            }
            let sum: f64 = taken.iter().map(|&mib| f64::from(mib)).sum();
            prop_assert!(sum <= 0.9 * free_mib as f64);
        }
    }
}
