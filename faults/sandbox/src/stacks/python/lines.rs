//! The line of an instruction, from a code object's table of places (CPython, `Objects/locations.md`).

/// The line of the instruction at this distance in bytes; none where the table has none for it.
pub(super) fn line_at(table: &[u8], first: u32, instruction: u32) -> Option<u32> {
    let mut line = i64::from(first);
    let (mut at, mut from) = (0, 0_u32);
    while let Some(head) = table.get(at) {
        // Each entry begins with a byte of which the highest bit is set, and no other byte has that.
        let begins = |byte: &&u8| **byte & 0x80 != 0;
        let rest = &table[at + 1..];
        let len = rest.iter().take_while(|byte| !begins(byte)).count();
        let known = match (head >> 3) & 15 {
            // No place at all.
            15 => false,
            13 | 14 => {
                line += signed(&rest[..len])?;
                true
            }
            code @ 10..=12 => {
                line += i64::from(code - 10);
                true
            }
            _ => true,
        };
        let to = from.checked_add((u32::from(head & 7) + 1) * 2)?;
        if (from..to).contains(&instruction) {
            return u32::try_from(line).ok().filter(|line| known && *line > 0);
        }
        (at, from) = (at + 1 + len, to);
    }
    None
}

/// A number in pieces of six bits, the lowest first, of which the lowest bit is the sign.
fn signed(bytes: &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for (place, byte) in bytes.iter().enumerate() {
        if place > 5 {
            return None;
        }
        number |= u64::from(byte & 0x3f) << (6 * place);
        if byte & 0x40 == 0 {
            let size = (number >> 1) as i64;
            return Some(if number & 1 == 1 { -size } else { size });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_an_entry_is_read() {
        // What Python 3.11 makes of "def f():\n  g(\n    1)\n": RESUME, LOAD_GLOBAL, and so on are made up
        // here, one entry of each form.
        let table = [
            0x80 | 10 << 3, // one unit, the first line
            0,
            0,
            0x80 | 11 << 3 | 4, // five units, the next line
            2,
            3,
            0x80 | 3, // four units, columns alone
            0x12,
            0x80 | 14 << 3, // one unit, two lines back
            0x05,
            0x40 | 1,
            0x01,
            5,
            6,
            0x80 | 15 << 3, // one unit without a line
            0x80 | 13 << 3, // one unit, 40 lines on
            0x40 | 16,
            1,
        ];
        let lines: Vec<_> = (0..13).map(|unit| line_at(&table, 7, unit * 2)).collect();
        let mut wanted = vec![Some(7)];
        wanted.extend([Some(8); 9]);
        wanted.extend([Some(6), None, Some(46)]);
        assert_eq!(lines, wanted);
        assert_eq!(line_at(&table, 7, 26), None);
    }

    #[test]
    fn a_table_of_anything_ends() {
        assert_eq!(line_at(&[], 1, 0), None);
        assert_eq!(line_at(&[0x80 | 14 << 3], 1, 0), None);
        assert_eq!(
            line_at(
                &[0x80 | 13 << 3, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f],
                1,
                0
            ),
            None
        );
        assert_eq!(line_at(&[0xf8; 64], 1, u32::MAX), None);
        assert_eq!(
            line_at(&[0x80 | 13 << 3, 3], 1, 0),
            None,
            "a line below the first"
        );
    }
}
