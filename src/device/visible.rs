//! What CUDA_VISIBLE_DEVICES leaves to see, by CUDA's own rules (CUDA Programming Guide, "CUDA Environment Variables").
//!
//! Numbers, UUIDs, beginnings of UUIDs that only one card has, and MIG ids stand in a list. The first entry that names no
//! card ends it, so `-1` hides all that follows. An empty list shows no card, and so does one that names a card twice.

use super::card::Card;

/// The cards that a program sees, as CUDA numbers them; `variable` is the content of CUDA_VISIBLE_DEVICES.
///
/// Of a GPU that is cut into MIG instances all are given: a program sees one of them at a time, but we start a program
/// for each.
pub fn visible(variable: Option<&str>, cards: &[Card]) -> Vec<Card> {
    let Some(variable) = variable else { return cards.to_vec() };
    let mut seen: Vec<Card> = Vec::new();
    for entry in variable.split(',') {
        let named = named(entry.trim(), cards);
        if named.is_empty() {
            break;
        }
        if named.iter().any(|card| seen.iter().any(|other| other.uuid == card.uuid)) {
            return Vec::new();
        }
        seen.extend(named.into_iter().cloned());
    }
    seen
}

/// The card that an entry names, or the instances of one that is cut; none where it names no card or several.
fn named<'a>(entry: &str, cards: &'a [Card]) -> Vec<&'a Card> {
    if entry.starts_with("GPU-") {
        let begins = |card: &&Card| card.parent.as_ref().unwrap_or(&card.uuid).starts_with(entry);
        let found: Vec<&Card> = cards.iter().filter(begins).collect();
        let one = found.windows(2).all(|pair| pair[0].index == pair[1].index);
        return if one { found } else { Vec::new() };
    }
    if entry.starts_with("MIG-") {
        let found: Vec<&Card> = cards.iter().filter(|card| card.uuid.starts_with(entry)).collect();
        return if found.len() == 1 { found } else { Vec::new() };
    }
    // As C's strtoul reads it: what follows the digits is not looked at.
    let digits: String = entry.strip_prefix('+').unwrap_or(entry).chars().take_while(char::is_ascii_digit).collect();
    let Ok(number) = digits.parse::<u32>() else { return Vec::new() };
    cards.iter().filter(|card| card.index == number).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::device::card::testing::machine;

    fn seen(variable: &str) -> String {
        let cards = machine();
        visible(Some(variable), &cards).iter().map(|card| card.uuid.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_examples_of_the_guide_and_of_slurm() {
        assert_eq!(visible(None, &machine()), machine());
        for (variable, cards) in [
            ("1,0", "GPU-ab22 GPU-aa11"),
            ("0,-1,1", "GPU-aa11"),
            ("", ""),
            ("-1", ""),
            ("NoDevFiles", ""),
            ("0,7,1", "GPU-aa11"),
            (" 1 , 0 ", "GPU-ab22 GPU-aa11"),
            ("0,,1", "GPU-aa11"),
            ("1gpu,0", "GPU-ab22 GPU-aa11"),
            ("0,0", ""),
            ("0,GPU-aa", ""),
            ("GPU-aa11", "GPU-aa11"),
            ("GPU-ab", "GPU-ab22"),
            // Two cards begin like this.
            ("GPU-a", ""),
            ("GPU-ab22,GPU-zz,GPU-aa11", "GPU-ab22"),
            ("MIG-0002", "MIG-0002"),
            ("MIG-00", ""),
            ("2", "MIG-0001 MIG-0002"),
            ("GPU-cc33", "MIG-0001 MIG-0002"),
            ("0,MIG-0001", "GPU-aa11 MIG-0001"),
            ("99999999999999999999", ""),
        ] {
            assert_eq!(seen(variable), cards, "CUDA_VISIBLE_DEVICES={variable}");
        }
    }

    #[test]
    fn old_drivers_name_an_instance_by_its_gpu_and_numbers() {
        let mut cards = machine();
        cards[2].uuid = "MIG-GPU-cc33/1/0".into();
        assert_eq!(visible(Some("MIG-GPU-cc33/1/0"), &cards), [cards[2].clone()]);
    }

    fn entry() -> impl Strategy<Value = String> {
        prop_oneof![
            (-2i64..5).prop_map(|n| n.to_string()),
            prop::sample::select(vec![
                "GPU-aa11", "GPU-ab", "GPU-a", "GPU-cc33", "MIG-0001", "MIG-0002", "", " 0", "x"
            ])
            .prop_map(str::to_owned),
            "[-+,A-Za-z0-9 ]{0,6}",
        ]
    }

    proptest! {
        /// Whatever stands there: no card twice, none that is not here, and an entry more never shows a card in another
        /// place: the list grows at its end, stays, or (by a repetition) is gone.
        #[test]
        fn a_longer_list_only_adds_at_the_end(entries in prop::collection::vec(entry(), 1..6)) {
            let cards = machine();
            let whole = visible(Some(&entries.join(",")), &cards);
            for (place, card) in whole.iter().enumerate() {
                prop_assert!(cards.contains(card));
                prop_assert!(!whole[..place].contains(card));
            }
            let shorter = visible(Some(&entries[..entries.len() - 1].join(",")), &cards);
            prop_assert!(whole.is_empty() || whole.starts_with(&shorter), "{shorter:?} {whole:?}");
        }

        /// UUIDs in any order show themselves in that order.
        #[test]
        fn uuids_stand_for_themselves(order in Just(machine()).prop_shuffle(), n in 0usize..5) {
            let chosen = &order[..n.min(order.len())];
            let list: Vec<&str> = chosen.iter().map(|card| card.uuid.as_str()).collect();
            prop_assert_eq!(visible(Some(&list.join(",")), &machine()), chosen);
        }
    }
}
