//! From bytes to snapshots. Every byte belongs to a snapshot or to a stretch of strays.

use super::grammar::{Cursor, Stop};
use super::state::{
    Anchor, Balance, Ending, Escrow, File, Miscount, Misfit, PegIn, PegOut, Snapshot, State, Task,
    Text,
};

/// A snapshot's first line.
pub(super) const HEADER: &str = "SNAPSHOT v1\n";
/// A snapshot's last line.
const END: &str = "END_SNAPSHOT\n";

/// All snapshots of a file. Never fails: what does not fit is said in the snapshot, and reading
/// goes on at the next line that begins one.
pub fn parse(bytes: &[u8]) -> File {
    let mut file = File::default();
    let mut at = 0;
    while at < bytes.len() {
        // A header that is cut short is a snapshot that was begun.
        if bytes[at..].starts_with(HEADER.as_bytes()) || HEADER.as_bytes().starts_with(&bytes[at..])
        {
            let snapshot = snapshot(bytes, at);
            at = snapshot.end;
            file.snapshots.push(snapshot);
        } else {
            let next = next_line(bytes, at, HEADER).unwrap_or(bytes.len());
            file.strays.push((at, next));
            at = next;
        }
    }
    file
}

/// Where the next line that is `line` begins, at `from` or behind it; `from` begins none.
fn next_line(bytes: &[u8], from: usize, line: &str) -> Option<usize> {
    let mut at = from;
    while let Some(end) = bytes[at..].iter().position(|b| *b == b'\n') {
        at += end + 1;
        if bytes[at..].starts_with(line.as_bytes()) {
            return Some(at);
        }
    }
    None
}

fn find(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|w| w == text.as_bytes())
}

/// The snapshot whose first line is at `offset`.
fn snapshot(bytes: &[u8], offset: usize) -> Snapshot {
    let mut snapshot = Snapshot {
        offset,
        end: bytes.len(),
        ending: Ending::CutShort,
        timestamp_ms: None,
        state: State::default(),
        anchor: None,
        anchor_offset: None,
        miscounts: Vec::new(),
        broken_value: None,
        misfit: None,
        glued: None,
    };
    let mut cursor = Cursor::new(bytes, offset);
    let read = fields(&mut cursor, &mut snapshot);
    snapshot.broken_value = cursor.broken_value;
    match (read, cursor.broken_value) {
        (Ok(()), _) => {
            snapshot.ending = Ending::Complete;
            snapshot.end = cursor.at;
        }
        // A quote that is missing makes whatever follows part of the value, up to the next one.
        (Err(_), Some(at)) => {
            snapshot.broken_value = None;
            let wanted = "the end of the value in its line".into();
            after_misfit(bytes, &mut snapshot, at, wanted);
        }
        (Err(Stop::End), None) => {}
        (Err(Stop::Wrong { at, wanted }), None) => after_misfit(bytes, &mut snapshot, at, wanted),
    }
    snapshot
}

/// Finds out how a snapshot ends that does not fit the grammar at `at`.
fn after_misfit(bytes: &[u8], snapshot: &mut Snapshot, at: usize, wanted: String) {
    let line = bytes[..at].iter().rposition(|b| *b == b'\n');
    let line = line.map_or(0, |newline| newline + 1).max(snapshot.offset);
    if line > snapshot.offset && bytes[line..].starts_with(HEADER.as_bytes()) {
        snapshot.end = line;
        snapshot.ending = Ending::Superseded;
        return;
    }
    snapshot.misfit = Some(Misfit { offset: at, wanted });
    let next = next_line(bytes, line, HEADER).unwrap_or(bytes.len());
    let ends = bytes[line..next]
        .starts_with(END.as_bytes())
        .then_some(line);
    let ends = ends.or_else(|| next_line(&bytes[..next], line, END));
    (snapshot.end, snapshot.ending) = match ends {
        Some(end) => (end + END.len(), Ending::Complete),
        None if next < bytes.len() => (next, Ending::Superseded),
        None => (next, Ending::CutShort),
    };
    let header = HEADER.trim_end();
    let from = (line + 1).min(snapshot.end);
    snapshot.glued = find(&bytes[from..snapshot.end], header).map(|found| from + found);
}

fn fields(cursor: &mut Cursor<'_>, snapshot: &mut Snapshot) -> Result<(), Stop> {
    cursor.text(HEADER)?;
    cursor.text("timestamp_ms ")?;
    let timestamp = cursor.number(u64::MAX)?;
    cursor.text("\n")?;
    snapshot.timestamp_ms = Some(timestamp);
    let Snapshot {
        state, miscounts, ..
    } = snapshot;
    list(cursor, miscounts, "balances", "balance ", |row| {
        state.balances.push(balance(row)?);
        Ok(())
    })?;
    list(cursor, miscounts, "escrows", "escrow ", |row| {
        state.escrows.push(escrow(row)?);
        Ok(())
    })?;
    list(cursor, miscounts, "pegins", "pegin ", |row| {
        state.pegins.push(pegin(row)?);
        Ok(())
    })?;
    list(cursor, miscounts, "pegouts", "pegout ", |row| {
        state.pegouts.push(pegout(row)?);
        Ok(())
    })?;
    list(cursor, miscounts, "tasks", "task ", |row| {
        state.tasks.push(task(row)?);
        Ok(())
    })?;
    let at = cursor.at;
    cursor.text("anchor ")?;
    snapshot.anchor = anchor(cursor)?;
    snapshot.anchor_offset = Some(at);
    cursor.text(END)
}

/// A count line and its rows, as many as there are.
fn list(
    cursor: &mut Cursor<'_>,
    miscounts: &mut Vec<Miscount>,
    name: &'static str,
    tag: &str,
    mut row: impl FnMut(&mut Cursor<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let offset = cursor.at;
    cursor.text(name)?;
    cursor.text(" ")?;
    let said = cursor.number(u64::MAX)?;
    cursor.text("\n")?;
    let mut rows = 0;
    while cursor.next_is(tag)? {
        cursor.text(tag)?;
        row(cursor)?;
        cursor.text("\n")?;
        rows += 1;
    }
    if said != rows {
        miscounts.push(Miscount {
            offset,
            list: name,
            said,
            rows,
        });
    }
    Ok(())
}

fn long(c: &mut Cursor<'_>) -> Result<u64, Stop> {
    up_to(c, u64::MAX)
}

fn up_to(c: &mut Cursor<'_>, most: u64) -> Result<u64, Stop> {
    c.text(" ")?;
    c.number(most)
}

fn int(c: &mut Cursor<'_>) -> Result<i32, Stop> {
    c.text(" ")?;
    c.int()
}

fn name(c: &mut Cursor<'_>) -> Result<Text, Stop> {
    c.text(" ")?;
    c.quoted()
}

fn balance(c: &mut Cursor<'_>) -> Result<Balance, Stop> {
    Ok(Balance {
        peer: c.quoted()?,
        amount: long(c)?,
    })
}

fn escrow(c: &mut Cursor<'_>) -> Result<Escrow, Stop> {
    Ok(Escrow {
        task: c.quoted()?,
        client: name(c)?,
        amount: long(c)?,
        locked: up_to(c, 1)? == 1,
        created_at: long(c)?,
    })
}

fn pegin(c: &mut Cursor<'_>) -> Result<PegIn, Stop> {
    Ok(PegIn {
        peg: c.quoted()?,
        txid: name(c)?,
        vout: u32::try_from(up_to(c, u32::MAX.into())?).unwrap_or_default(),
        amount: long(c)?,
        source: name(c)?,
        dest: name(c)?,
        status: int(c)?,
        confirmations: long(c)?,
        initiated: long(c)?,
        completed: long(c)?,
    })
}

fn pegout(c: &mut Cursor<'_>) -> Result<PegOut, Stop> {
    Ok(PegOut {
        peg: c.quoted()?,
        source: name(c)?,
        dest: name(c)?,
        burn: long(c)?,
        release: long(c)?,
        status: int(c)?,
        anchor_hash: name(c)?,
        initiated: long(c)?,
        completed: long(c)?,
    })
}

fn task(c: &mut Cursor<'_>) -> Result<Task, Stop> {
    Ok(Task {
        task: c.quoted()?,
        kind: int(c)?,
        priority: int(c)?,
        submitter: name(c)?,
        submitted_at: long(c)?,
        payload_hash: name(c)?,
        anchor_hash: name(c)?,
    })
}

/// What follows `anchor `, to the end of its line.
fn anchor(c: &mut Cursor<'_>) -> Result<Option<Anchor>, Stop> {
    if c.next_is("none")? {
        c.text("none\n")?;
        return Ok(None);
    }
    let anchor = Anchor {
        root: c.quoted()?,
        timestamp_ms: long(c)?,
        metadata: name(c)?,
        payload: name(c)?,
        hash: name(c)?,
    };
    c.text("\n")?;
    Ok(Some(anchor))
}
