//! Constraints: whether a set of constraints "this before that" can be met at all.

use std::collections::VecDeque;

use crate::Stamp;

/// Constraints among nodes 0 to `n - 1`, and among helper nodes that stand for moments: instead
/// of an edge from each transaction to each later one (quadratic), each leads to the moment of
/// its ack, the moments lead to one another, and the last one before an invocation leads to it.
pub(super) struct Constraints {
    nodes: usize,
    edges: Vec<(u32, u32)>,
    /// How many nodes there are with the helpers.
    all: usize,
}

impl Constraints {
    /// No constraints among `nodes` nodes.
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            nodes,
            edges: Vec::new(),
            all: nodes,
        }
    }

    /// `first` is before `second`.
    pub(super) fn before(&mut self, first: usize, second: usize) {
        // Histories are far below 2^32 operations: they are held in memory.
        self.edges.push((first as u32, second as u32));
    }

    /// Whoever was acknowledged before another was invoked is before it. Each node with its
    /// invocation and, if any, its ack.
    pub(super) fn real_time(&mut self, nodes: &[(usize, Stamp, Option<Stamp>)]) {
        let mut acks: Vec<(Stamp, usize)> = nodes
            .iter()
            .filter_map(|(node, _, ack)| Some(((*ack)?, *node)))
            .collect();
        acks.sort_unstable();
        let first = self.all;
        self.all += acks.len();
        for (i, (_, node)) in acks.iter().enumerate() {
            self.before(*node, first + i);
            if i > 0 {
                self.before(first + i - 1, first + i);
            }
        }
        for (node, invoked, _) in nodes {
            let earlier = acks.partition_point(|(ack, _)| ack < invoked);
            if earlier > 0 {
                self.before(first + earlier - 1, *node);
            }
        }
    }

    /// A short cycle of nodes, each before the next and the last before the first; none when
    /// there is an order that meets all constraints.
    pub(super) fn cycle(&self) -> Option<Vec<usize>> {
        let next = Adjacency::new(self.all, self.edges.iter().copied());
        let mut waits_for = vec![0_u32; self.all];
        for (_, to) in &self.edges {
            waits_for[*to as usize] += 1;
        }
        let mut ready: Vec<usize> = (0..self.all).filter(|n| waits_for[*n] == 0).collect();
        let mut placed = 0;
        while let Some(node) = ready.pop() {
            placed += 1;
            for to in next.of(node) {
                waits_for[to] -= 1;
                if waits_for[to] == 0 {
                    ready.push(to);
                }
            }
        }
        if placed == self.all {
            return None;
        }
        // Every node left waits for another one left: walking backwards ends in a cycle.
        let left = |node: usize| waits_for[node] > 0;
        let previous = Adjacency::new(self.all, self.edges.iter().map(|(from, to)| (*to, *from)));
        let mut seen = vec![false; self.all];
        let mut node = (0..self.all).find(|n| left(*n))?;
        while !seen[node] {
            seen[node] = true;
            node = previous.of(node).find(|n| left(*n))?;
        }
        let mut cycle = shortest_cycle(&next, node, self.all)?;
        cycle.retain(|n| *n < self.nodes);
        Some(cycle)
    }
}

/// The shortest way from `start` back to itself.
fn shortest_cycle(next: &Adjacency, start: usize, nodes: usize) -> Option<Vec<usize>> {
    let mut came_from = vec![usize::MAX; nodes];
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for to in next.of(node) {
            if to == start {
                let mut cycle = vec![node];
                let mut at = node;
                while at != start {
                    at = came_from[at];
                    cycle.push(at);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if came_from[to] == usize::MAX {
                came_from[to] = node;
                queue.push_back(to);
            }
        }
    }
    None
}

/// Edges by the node they leave.
struct Adjacency {
    /// Where each node's targets begin.
    starts: Vec<u32>,
    targets: Vec<u32>,
}

impl Adjacency {
    fn new(nodes: usize, edges: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut starts = vec![0_u32; nodes + 1];
        for (from, _) in edges.clone() {
            starts[from as usize + 1] += 1;
        }
        for i in 0..nodes {
            starts[i + 1] += starts[i];
        }
        let mut fill = starts.clone();
        let mut targets = vec![0; starts[nodes] as usize];
        for (from, to) in edges {
            let slot = &mut fill[from as usize];
            targets[*slot as usize] = to;
            *slot += 1;
        }
        Self { starts, targets }
    }

    fn of(&self, node: usize) -> impl Iterator<Item = usize> {
        let range = self.starts[node] as usize..self.starts[node + 1] as usize;
        self.targets[range].iter().map(|to| *to as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Stamp {
        Stamp { seq: n, nanos: n }
    }

    #[test]
    fn an_order_that_can_be_met_has_no_cycle() {
        let mut constraints = Constraints::new(3);
        constraints.before(2, 1);
        constraints.before(1, 0);
        assert_eq!(constraints.cycle(), None);
    }

    #[test]
    fn the_cycle_is_short_and_without_helpers() {
        let mut constraints = Constraints::new(4);
        constraints.real_time(&[
            (0, at(1), Some(at(2))),
            (1, at(3), Some(at(4))),
            (2, at(5), Some(at(6))),
            (3, at(7), None),
        ]);
        assert_eq!(constraints.cycle(), None);
        constraints.before(3, 1);
        let mut cycle = constraints.cycle().unwrap();
        cycle.sort_unstable();
        assert_eq!(cycle, [1, 3]);
    }

    #[test]
    fn equal_moments_are_concurrent() {
        let mut constraints = Constraints::new(2);
        constraints.real_time(&[(0, at(1), Some(at(2))), (1, at(2), Some(at(3)))]);
        constraints.before(1, 0);
        assert_eq!(constraints.cycle(), None);
    }
}
