//! The state root: what an anchor commits to.

use sha2::{Digest, Sha256};

use super::state::State;

/// SHA-256 in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The root of a state, 64 hexadecimal digits: SHA-256 of its text, each list sorted bytewise by
/// its key, unquoted, the fields of a row separated by colons.
pub fn state_root(state: &State) -> String {
    let mut hash = Sha256::new();
    hash.update("L2STATE|v1\n");
    let head = |hash: &mut Sha256, name: &str, count: usize| {
        hash.update(format!("{name}:{count}\n"));
    };

    head(&mut hash, "balances", state.balances.len());
    for row in sorted(&state.balances, |row| &row.peer) {
        line(&mut hash, "balance", &[&row.peer, &dec(row.amount)]);
    }
    head(&mut hash, "escrows", state.escrows.len());
    for row in sorted(&state.escrows, |row| &row.task) {
        let locked = dec(u8::from(row.locked));
        let (amount, created) = (dec(row.amount), dec(row.created_at));
        line(
            &mut hash,
            "escrow",
            &[&row.task, &row.client, &amount, &locked, &created],
        );
    }
    head(&mut hash, "pegins", state.pegins.len());
    for row in sorted(&state.pegins, |row| &row.peg) {
        let fields: [&[u8]; 10] = [
            &row.peg,
            &row.txid,
            &dec(row.vout),
            &dec(row.amount),
            &row.source,
            &row.dest,
            &dec(row.status),
            &dec(row.confirmations),
            &dec(row.initiated),
            &dec(row.completed),
        ];
        line(&mut hash, "pegin", &fields);
    }
    head(&mut hash, "pegouts", state.pegouts.len());
    for row in sorted(&state.pegouts, |row| &row.peg) {
        let fields: [&[u8]; 9] = [
            &row.peg,
            &row.source,
            &row.dest,
            &dec(row.burn),
            &dec(row.release),
            &dec(row.status),
            &row.anchor_hash,
            &dec(row.initiated),
            &dec(row.completed),
        ];
        line(&mut hash, "pegout", &fields);
    }
    head(&mut hash, "tasks", state.tasks.len());
    for row in sorted(&state.tasks, |row| &row.task) {
        let fields: [&[u8]; 7] = [
            &row.task,
            &dec(row.kind),
            &dec(row.priority),
            &row.submitter,
            &dec(row.submitted_at),
            &row.payload_hash,
            &row.anchor_hash,
        ];
        line(&mut hash, "task", &fields);
    }
    hex(&hash.finalize())
}

fn dec(number: impl ToString) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn sorted<T>(rows: &[T], key: impl Fn(&T) -> &Vec<u8>) -> Vec<&T> {
    let mut sorted: Vec<&T> = rows.iter().collect();
    sorted.sort_by(|a, b| key(a).cmp(key(b)));
    sorted
}

fn line(hash: &mut Sha256, tag: &str, fields: &[&[u8]]) {
    hash.update(tag);
    for field in fields {
        hash.update(b":");
        hash.update(field);
    }
    hash.update(b"\n");
}
