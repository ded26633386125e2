//! The table: medians, ratios, and what they say of the targets.
//!
//! A ratio is the median of the rounds' own ratios: what was measured side by side is compared,
//! so that a slow moment of the machine, which lasts longer than a cell, counts for both.

use std::fmt;

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
    /// For each place, how long the first place took, relative to it.
    ratios: Vec<f64>,
    /// For each place, how slow the first may be, relative to it.
    targets: Vec<Option<f64>>,
}

impl Line {
    fn is_met(&self, place: usize) -> bool {
        // So that a ratio that is no number misses too.
        self.targets[place].is_none_or(|most| self.ratios[place] <= most)
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

    /// Adds a row: for each place how long an operation took in each round, in milliseconds.
    pub(crate) fn add(&mut self, row: &Row, rounds: Vec<Vec<f64>>) {
        let ratio = |place: &Vec<f64>| {
            median(
                rounds[0]
                    .iter()
                    .zip(place)
                    .map(|(first, other)| first / other)
                    .collect(),
            )
        };
        let ratios = rounds.iter().map(ratio).collect();
        let targets = self
            .places
            .iter()
            .map(|place| (place.target)(row))
            .collect();
        let millis = rounds.into_iter().map(median).collect();
        self.rows.push(Line {
            title: row.title,
            millis,
            ratios,
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

/// The value in the middle; of none at all, no number.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
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
                let mut cell = format!("{:.3}", row.ratios[place]);
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

    fn table(judged: &[f64], other: &[f64]) -> Table {
        let place = |title, target| Label { title, target };
        let mut table = Table::new(vec![
            place("judged", |_| None),
            place("with a target", |_| Some(1.2)),
            place("without", |_| None),
        ]);
        table.add(
            &ROWS[0],
            vec![judged.to_vec(), other.to_vec(), vec![1.0; judged.len()]],
        );
        table
    }

    #[test]
    fn a_target_is_met_or_missed() {
        let met = table(&[1.2], &[1.0]);
        assert!(met.all_met());
        assert!(met.to_string().contains("1.200 (<= 1.2: met)"), "{met}");
        let missed = table(&[1.21], &[1.0]);
        assert!(!missed.all_met());
        assert!(
            missed.to_string().contains("1.210 (<= 1.2: MISSED)"),
            "{missed}"
        );
    }

    #[test]
    fn nothing_measured_meets_no_target() {
        assert!(!table(&[0.0], &[0.0]).all_met());
        assert!(!table(&[1.0], &[0.0]).all_met());
        assert!(!table(&[], &[]).all_met());
    }

    #[test]
    fn rounds_are_compared_side_by_side() {
        // The machine was slow in one round, and the first place alone in another.
        let table = table(&[1.1, 11.0, 5.0], &[1.0, 10.0, 1.0]);
        assert!(table.to_string().contains("1.100 (<= 1.2: met)"), "{table}");
        assert!(table.to_string().contains(" 5.0000 "), "{table}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![900.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![900.0, 1.0, 5.0, 7.0]), 6.0);
        assert!(median(vec![]).is_nan());
    }
}
