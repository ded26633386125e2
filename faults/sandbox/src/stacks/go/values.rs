//! Numbers in a Go program's table: plain ones, and those that differ from instruction to instruction.

/// The most changes of a value within one function.
const CHANGES_MAX: usize = 1 << 20;

/// Four bytes as a number, the lowest first.
pub(super) fn half(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Eight of them.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The value at an instruction, so many bytes from where its function begins; none where the table ends
/// before it. A table is pairs of how much the value changes, and for how many bytes it then stays.
pub(super) fn value_at(mut table: &[u8], target: u32) -> Option<i32> {
    let (mut value, mut at) = (-1_i32, 0_u32);
    for number in 0..CHANGES_MAX {
        let change = take(&mut table)?;
        if change == 0 && number > 0 {
            return None;
        }
        // The lowest bit is the sign.
        let change = (change >> 1) as i32 ^ -((change & 1) as i32);
        value = value.wrapping_add(change);
        at = at.checked_add(take(&mut table)?)?;
        if target < at {
            return Some(value);
        }
    }
    None
}

/// A number in pieces of seven bits, the lowest first.
fn take(table: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for place in 0..5 {
        let (first, rest) = table.split_first()?;
        *table = rest;
        number |= u32::from(first & 0x7f) << (7 * place);
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_changes_from_place_to_place() {
        // -1 and 25 of it (24) for 4 bytes, and 200 on for 300 bytes, back to 0 for 1 byte.
        let table = [50, 4, 0x90, 3, 0xac, 2, 0xbf, 3, 1, 0, 9];
        let value = |at| value_at(&table, at);
        assert_eq!((value(0), value(3)), (Some(24), Some(24)));
        assert_eq!((value(4), value(303)), (Some(224), Some(224)));
        assert_eq!((value(304), value(305)), (Some(0), None));
        // A first change of nothing is one.
        assert_eq!(value_at(&[0, 4, 0], 2), Some(-1));
    }

    #[test]
    fn what_ends_early_has_no_value() {
        for len in 0..3 {
            assert_eq!(value_at(&[50, 4, 0x90][..len], 4), None);
        }
        assert_eq!(value_at(&[0xff; 64], 0), None);
        assert_eq!(value_at(&[2, 0].repeat(1 << 21), 1), None);
        let far = [2, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(value_at(&far.repeat(2), u32::MAX), None);
    }
}
