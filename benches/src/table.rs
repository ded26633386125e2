//! The table: medians, ratios, and what they say of the targets.

use std::fmt;
use std::time::Duration;

use crate::place::Label;
use crate::row::Row;

/// Columns of a row's title.
const TITLE: usize = 30;
/// Columns of a place.
const CELL: usize = 16;

/// What was measured. The first place is the one that is judged.
pub(crate) struct Table {
    places: Vec<Label>,
    rows: Vec<Line>,
}

struct Line {
    title: &'static str,
    /// For each place, how long an operation took, in milliseconds.
    millis: Vec<f64>,
    /// For each place, how slow the first may be, relative to it.
    targets: Vec<Option<f64>>,
}

impl Line {
    /// How long the first place took, relative to another.
    fn ratio(&self, place: usize) -> f64 {
        self.millis[0] / self.millis[place]
    }

    fn is_met(&self, place: usize) -> bool {
        // So that a ratio that is no number misses too.
        self.targets[place].is_none_or(|most| self.ratio(place) <= most)
    }
}

impl Table {
    /// An empty table.
    pub(crate) fn new(places: Vec<Label>) -> Self {
        Self {
            places,
            rows: Vec::new(),
        }
    }

    /// Adds a row: for each place the times of all rounds, of `count` operations each.
    pub(crate) fn add(&mut self, row: &Row, count: u32, times: Vec<Vec<Duration>>) {
        let millis = times
            .into_iter()
            .map(|rounds| median(rounds).as_secs_f64() * 1e3 / f64::from(count))
            .collect();
        let targets = self
            .places
            .iter()
            .map(|place| (place.target)(row))
            .collect();
        self.rows.push(Line {
            title: row.title,
            millis,
            targets,
        });
    }

    /// True when no target is missed.
    pub(crate) fn all_met(&self) -> bool {
        self.rows
            .iter()
            .all(|row| (1..self.places.len()).all(|place| row.is_met(place)))
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    let middle = times.len() / 2;
    match times.len() {
        0 => Duration::ZERO,
        odd if odd % 2 == 1 => times[middle],
        _ => (times[middle - 1] + times[middle]) / 2,
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:TITLE$}", "milliseconds an operation")?;
        for place in &self.places {
            write!(f, "{:>CELL$}", place.title)?;
        }
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "{:TITLE$}", row.title)?;
            for millis in &row.millis {
                write!(f, "{millis:>CELL$.4}")?;
            }
            writeln!(f)?;
        }

        let wide = CELL + 14;
        write!(f, "\n{:TITLE$}", "crash fs, relative to")?;
        for (place, label) in self.places.iter().enumerate().skip(1) {
            write!(
                f,
                "{:>width$}",
                label.title,
                width = self.width(place, wide)
            )?;
        }
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "{:TITLE$}", row.title)?;
            for (place, target) in row.targets.iter().enumerate().skip(1) {
                let mut cell = format!("{:.3}", row.ratio(place));
                if let Some(most) = target {
                    let verdict = if row.is_met(place) { "met" } else { "MISSED" };
                    cell.push_str(&format!(" (<= {most}: {verdict})"));
                }
                write!(f, "{cell:>width$}", width = self.width(place, wide))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Table {
    /// Columns of a place in the second table: more where a target is said.
    fn width(&self, place: usize, wide: usize) -> usize {
        let judged = self.rows.iter().any(|row| row.targets[place].is_some());
        if judged { wide } else { CELL }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::ROWS;

    fn table(judged: u64, other: u64) -> Table {
        let place = |title, target| Label { title, target };
        let mut table = Table::new(vec![
            place("judged", |_| None),
            place("with a target", |_| Some(1.2)),
            place("without", |_| None),
        ]);
        let times = |micros| vec![Duration::from_micros(micros)];
        table.add(&ROWS[0], 10, vec![times(judged), times(other), times(1)]);
        table
    }

    #[test]
    fn a_target_is_met_or_missed() {
        let met = table(1_200, 1_000);
        assert!(met.all_met());
        assert!(met.to_string().contains("1.200 (<= 1.2: met)"), "{met}");
        let missed = table(1_210, 1_000);
        assert!(!missed.all_met());
        assert!(
            missed.to_string().contains("1.210 (<= 1.2: MISSED)"),
            "{missed}"
        );
    }

    #[test]
    fn a_time_of_nothing_meets_no_target() {
        assert!(!table(0, 0).all_met());
        assert!(!table(1, 0).all_met());
    }

    #[test]
    fn an_operation_is_a_share_of_the_round() {
        assert!(table(1_210, 1_000).to_string().contains(" 0.1210 "));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |micros: &[u64]| {
            median(micros.iter().map(|n| Duration::from_micros(*n)).collect()).as_micros()
        };
        assert_eq!(of(&[900, 1, 5]), 5);
        assert_eq!(of(&[900, 1, 5, 7]), 6);
        assert_eq!(of(&[]), 0);
    }
}
