//! The table of differences in `docs/filesystem.md`.

use libtest_mimic::Failed;

/// A line that differs, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) behaviour: String,
    pub(crate) ext4: String,
    pub(crate) crash: String,
}

/// The head of the table.
const HEAD: &str = "| behaviour | ext4 | crash filesystem | why |";

/// Reads the rows: four cells, the first three in backticks, the last not empty.
pub(crate) fn read(document: &str) -> Result<Vec<Row>, Failed> {
    let mut lines = document.lines().skip_while(|line| *line != HEAD).skip(1);
    if lines.next().is_none_or(|rule| !rule.starts_with("| ---")) {
        return Err("there is no table of differences".into());
    }
    lines
        .take_while(|line| line.starts_with('|'))
        .map(row)
        .collect()
}

fn row(line: &str) -> Result<Row, Failed> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let quoted = |cell: &str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
    let row = match cells[..] {
        [behaviour, ext4, crash, why] if !why.is_empty() => (|| {
            Some(Row {
                behaviour: quoted(behaviour)?,
                ext4: quoted(ext4)?,
                crash: quoted(crash)?,
            })
        })(),
        _ => None,
    };
    row.ok_or_else(|| format!("this is no row of the table of differences: {line}").into())
}

pub(crate) fn refuses_what_is_no_table() -> Result<(), Failed> {
    let good = format!("text\n{HEAD}\n| --- | --- | --- | --- |\n| `a` | `ok` | `EIO` | so |\n\nx");
    let expected = Row {
        behaviour: "a".into(),
        ext4: "ok".into(),
        crash: "EIO".into(),
    };
    assert_eq!(read(&good)?, [expected]);
    for (from, to) in [
        ("`EIO`", "EIO"),
        (" so ", " "),
        ("| --- ", "x"),
        ("why", "because"),
    ] {
        assert!(read(&good.replacen(from, to, 1)).is_err(), "{from} -> {to}");
    }
    Ok(())
}
