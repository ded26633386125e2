//! Rows of the guide's log, in bincode 1.3's default encoding: fixed-width little-endian numbers,
//! an enum's index in four bytes, lengths in eight.

use super::bytes::{DEPTH, Misfit, Reader};

/// A row: its primary key, and its entries.
pub(super) fn row(reader: &mut Reader<'_>) -> Result<(), Misfit> {
    row_at(reader, 0)
}

/// A row or nothing. Returns whether there is one.
pub(super) fn optional_row(reader: &mut Reader<'_>) -> Result<bool, Misfit> {
    let there = reader.flag()?;
    if there {
        row(reader)?;
    }
    Ok(there)
}

fn row_at(reader: &mut Reader<'_>, depth: usize) -> Result<(), Misfit> {
    value(reader, depth)?;
    values(reader, depth)
}

fn values(reader: &mut Reader<'_>, depth: usize) -> Result<(), Misfit> {
    // Every value takes bytes, so a length that is too large ends with the bytes.
    for _ in 0..reader.u64()? {
        value(reader, depth)?;
    }
    Ok(())
}

fn value(reader: &mut Reader<'_>, depth: usize) -> Result<(), Misfit> {
    if depth > DEPTH {
        return reader.misfit(format!("values lie more than {DEPTH} deep in each other"));
    }
    let index = reader.clone().u32()?;
    if index > 11 {
        return reader.misfit(format!("there is no kind of value {index}"));
    }
    reader.u32()?;
    match index {
        0 => {}
        // U32, I32 and F32.
        1 | 3 | 5 => drop(reader.array::<4>()?),
        // U64, I64 and F64.
        2 | 4 | 6 => drop(reader.array::<8>()?),
        7 => drop(reader.flag()?),
        8 => {
            let length = reader.u64()?;
            reader.text(length)?;
        }
        9 => row_at(reader, depth + 1)?,
        10 => values(reader, depth + 1)?,
        _ => {
            if reader.flag()? {
                value(reader, depth + 1)?;
            }
        }
    }
    Ok(())
}
