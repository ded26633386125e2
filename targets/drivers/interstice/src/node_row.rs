//! Rows and keys of the published node, in postcard's encoding: LEB128 numbers, zigzag for signed
//! ones, lengths and an enum's index as such numbers.

use super::bytes::{DEPTH, Misfit, Reader};

/// A primary key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    U8(u8),
    U32(u64),
    U64(u64),
    I32(u64),
    I64(u64),
    Bool(bool),
    Text(String),
    Option(Option<Box<Key>>),
    Tuple(Vec<Key>),
}

/// A row: its primary key, none where it is of a kind that keys cannot have.
pub(super) fn row(reader: &mut Reader<'_>) -> Result<Option<Key>, Misfit> {
    let key = value(reader, 0)?;
    values(reader, 0)?;
    Ok(key)
}

/// A key as log entries name it.
pub(super) fn key(reader: &mut Reader<'_>) -> Result<Key, Misfit> {
    key_at(reader, 0)
}

fn deep<T>(reader: &Reader<'_>) -> Result<T, Misfit> {
    reader.misfit(format!("values lie more than {DEPTH} deep in each other"))
}

/// Zigzag numbers are compared as they are written: the encoding has one form for each.
fn key_at(reader: &mut Reader<'_>, depth: usize) -> Result<Key, Misfit> {
    if depth > DEPTH {
        return deep(reader);
    }
    let at = reader.clone();
    Ok(match reader.varint(32)? {
        0 => Key::U8(reader.byte()?),
        1 => Key::U32(reader.varint(32)?),
        2 => Key::U64(reader.varint(64)?),
        3 => Key::I32(reader.varint(32)?),
        4 => Key::I64(reader.varint(64)?),
        5 => Key::Bool(reader.flag()?),
        6 => Key::Text(text(reader)?),
        7 => Key::Option(match reader.flag()? {
            true => Some(Box::new(key_at(reader, depth + 1)?)),
            false => None,
        }),
        8 => {
            let mut keys = Vec::new();
            for _ in 0..reader.varint(64)? {
                keys.push(key_at(reader, depth + 1)?);
            }
            Key::Tuple(keys)
        }
        other => return at.misfit(format!("there is no kind of key {other}")),
    })
}

fn text(reader: &mut Reader<'_>) -> Result<String, Misfit> {
    let length = reader.varint(64)?;
    reader.text(length).map(str::to_owned)
}

/// The keys that the values are; none where one of them cannot be a key.
fn values(reader: &mut Reader<'_>, depth: usize) -> Result<Option<Vec<Key>>, Misfit> {
    let mut keys = Some(Vec::new());
    for _ in 0..reader.varint(64)? {
        let one = value(reader, depth)?;
        keys = keys.zip(one).map(|(mut keys, one)| {
            keys.push(one);
            keys
        });
    }
    Ok(keys)
}

/// Reads a value; it is returned as the key that it can be, if it can be one.
fn value(reader: &mut Reader<'_>, depth: usize) -> Result<Option<Key>, Misfit> {
    if depth > DEPTH {
        return deep(reader);
    }
    let at = reader.clone();
    Ok(match reader.varint(32)? {
        0 => None,
        1 => Some(Key::U8(reader.byte()?)),
        2 => Some(Key::U32(reader.varint(32)?)),
        3 => Some(Key::U64(reader.varint(64)?)),
        4 => Some(Key::I32(reader.varint(32)?)),
        5 => Some(Key::I64(reader.varint(64)?)),
        6 => {
            reader.array::<4>()?;
            None
        }
        7 => {
            reader.array::<8>()?;
            None
        }
        8 => Some(Key::Bool(reader.flag()?)),
        9 => Some(Key::Text(text(reader)?)),
        10 => {
            values(reader, depth + 1)?;
            None
        }
        11 => match reader.flag()? {
            true => value(reader, depth + 1)?.map(|key| Key::Option(Some(Box::new(key)))),
            false => Some(Key::Option(None)),
        },
        12 => values(reader, depth + 1)?.map(Key::Tuple),
        13 => {
            text(reader)?;
            for _ in 0..reader.varint(64)? {
                text(reader)?;
                value(reader, depth + 1)?;
            }
            None
        }
        14 => {
            text(reader)?;
            text(reader)?;
            value(reader, depth + 1)?;
            None
        }
        other => return at.misfit(format!("there is no kind of value {other}")),
    })
}
