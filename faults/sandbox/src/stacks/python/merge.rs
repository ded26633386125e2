//! Python frames among native ones: each takes the place of the evaluation loop that ran it.

/// A native frame, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Native {
    pub(in super::super) number: u32,
    /// It is of the function that runs Python code.
    pub(in super::super) evaluates: bool,
}

/// Frames of a stack, innermost first. None where the two do not fit: then nobody knows which of them
/// belong together.
///
/// `whole`: the native ones go on to where their thread began. `cut`: there are more Python ones.
pub(in super::super) fn merge(
    (native, whole): (&[Native], bool),
    (groups, cut): (&[Vec<u32>], bool),
) -> Option<Vec<u32>> {
    let loops = native.iter().filter(|one| one.evaluates).count();
    let fits = match (whole, cut) {
        (true, false) => loops == groups.len(),
        // What is behind the last native frame that is known has groups of its own.
        (false, false) => loops <= groups.len(),
        (_, true) => true,
    };
    if !fits {
        return None;
    }
    let mut groups = groups.iter();
    let mut merged = Vec::with_capacity(native.len());
    for one in native {
        match one.evaluates.then(|| groups.next()) {
            None => merged.push(one.number),
            Some(Some(group)) => merged.extend(group),
            // Behind what was cut nothing is known.
            Some(None) => return Some(merged),
        }
    }
    if !whole {
        merged.extend(groups.flatten());
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers below 100 are native, from 100 on of the evaluation loop.
    fn native(numbers: &[u32]) -> Vec<Native> {
        let one = |number: &u32| Native {
            number: *number,
            evaluates: *number >= 100,
        };
        numbers.iter().map(one).collect()
    }

    #[test]
    fn each_loop_gives_way_to_what_it_ran() {
        let native = native(&[1, 100, 2, 101, 3]);
        let groups = [vec![10, 11], vec![12]];
        let all = merge((&native, true), (&groups, false));
        assert_eq!(all, Some(vec![1, 10, 11, 2, 12, 3]));
        // The outer end of the native stack is not known.
        let cut = merge((&native[..3], false), (&groups, false));
        assert_eq!(cut, Some(vec![1, 10, 11, 2, 12]));
        // That of the Python one.
        let cut = merge((&native, true), (&groups[..1], true));
        assert_eq!(cut, Some(vec![1, 10, 11, 2]));
        let nothing = merge((&native, true), (&[Vec::new(), vec![12]], false));
        assert_eq!(nothing, Some(vec![1, 2, 12, 3]));
    }

    #[test]
    fn what_does_not_fit_is_not_merged() {
        let native = native(&[1, 100, 2, 101, 3]);
        let one = [vec![10]];
        let three = [vec![10], vec![11], vec![12]];
        assert_eq!(merge((&native, true), (&one, false)), None);
        assert_eq!(merge((&native, true), (&three, false)), None);
        assert_eq!(merge((&native, false), (&one, false)), None);
        assert_eq!(merge((&native[..1], true), (&one, false)), None);
    }
}
