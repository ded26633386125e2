//! The slope of a line through points that a few stragglers cannot turn.
//!
//! H. Theil, "A rank-invariant method of linear and polynomial regression analysis" (1950); P. K.
//! Sen, "Estimates of the regression coefficient based on Kendall's tau", Journal of the American
//! Statistical Association 63 (1968). The slope is the median of the slopes between any two points
//! of different x: up to 29 percent of the points may be anywhere without turning it.

// tidy: small because an estimator is a file

/// The slope through the points (x, y); 0 where no two of them have a different x.
pub(super) fn slope(points: &[(f64, f64)]) -> f64 {
    let mut slopes = Vec::new();
    for (index, one) in points.iter().enumerate() {
        for other in &points[index + 1..] {
            if one.0 != other.0 {
                slopes.push((other.1 - one.1) / (other.0 - one.0));
            }
        }
    }
    median(&mut slopes)
}

/// The median, the mean of two in the middle; 0 for none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let (half, odd) = (values.len() / 2, values.len() % 2 == 1);
    let (below, upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    if odd {
        return *upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    f64::midpoint(lower, *upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_straggler_in_five_does_not_turn_the_line() {
        let mut points: Vec<(f64, f64)> = (0..10)
            .map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x)))
            .collect();
        assert_eq!(slope(&points), 2.0);
        points[9].1 = 1_000.0;
        points[0].1 = 500.0;
        assert_eq!(slope(&points), 2.0);
    }

    #[test]
    fn without_two_places_there_is_no_slope() {
        assert_eq!(slope(&[]), 0.0);
        assert_eq!(slope(&[(1.0, 1.0), (1.0, 9.0)]), 0.0);
        assert_eq!(median(&mut [4.0, 1.0]), 2.5);
    }
}
