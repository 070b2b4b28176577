//! Maximal cliques through one node, among its own neighbours.

/// An undirected graph over 0..size.
pub(super) struct Ego {
    size: usize,
    /// size x size, row-major, symmetric.
    adjacent: Vec<bool>,
}

impl Ego {
    /// `size` nodes, without an edge between those that `adjacent` denies; it is asked once a pair.
    pub(super) fn new(size: usize, mut adjacent: impl FnMut(usize, usize) -> bool) -> Self {
        let mut ego = Ego { size, adjacent: vec![false; size * size] };
        for a in 0..size {
            for b in 0..a {
                let edge = adjacent(a, b);
                ego.adjacent[a * size + b] = edge;
                ego.adjacent[b * size + a] = edge;
            }
        }
        ego
    }

    fn adjacent(&self, a: usize, b: usize) -> bool {
        self.adjacent[a * self.size + b]
    }

    fn beside(&self, node: usize, set: &[usize]) -> Vec<usize> {
        set.iter().copied().filter(|other| self.adjacent(node, *other)).collect()
    }

    /// Calls `emit` with each maximal clique of at least `min` nodes that has no member in `excluded` (sorted
    /// indices are not promised). Bron and Kerbosch with Tomita's pivot.
    pub(super) fn cliques(&self, excluded: &[usize], min: usize, mut emit: impl FnMut(&[usize])) {
        let candidates = (0..self.size).filter(|node| !excluded.contains(node)).collect();
        self.expand(&mut Vec::new(), candidates, excluded.to_vec(), min, &mut emit);
    }

    fn expand(
        &self,
        clique: &mut Vec<usize>,
        mut candidates: Vec<usize>,
        mut excluded: Vec<usize>,
        min: usize,
        emit: &mut impl FnMut(&[usize]),
    ) {
        if clique.len() + candidates.len() < min {
            return;
        }
        let covers = |pivot: usize| candidates.iter().filter(|node| self.adjacent(pivot, **node)).count();
        let Some(pivot) = candidates.iter().chain(&excluded).copied().max_by_key(|node| covers(*node)) else {
            emit(clique);
            return;
        };
        let branches: Vec<usize> =
            candidates.iter().copied().filter(|node| !self.adjacent(pivot, *node)).collect();
        for node in branches {
            clique.push(node);
            self.expand(clique, self.beside(node, &candidates), self.beside(node, &excluded), min, emit);
            clique.pop();
            candidates.retain(|other| *other != node);
            excluded.push(node);
        }
    }
}
