//! Maximal cliques through one node, among its own neighbours.
//!
//! Bron and Kerbosch's algorithm (1973) with the pivot of Tomita, Tanaka and Takahashi (2006), over sets of bits. A node
//! with n neighbours has at most 3^(n/3) maximal cliques (Moon and Moser 1965), and the search takes that order of steps:
//! 39 at 10 neighbours. More is possible only where that many clusters exist.

/// Words of 64 bits that hold a set of `size` members.
pub(super) fn words(size: usize) -> usize {
    size.div_ceil(64)
}

/// Returns whether `set` has `member`.
pub(super) fn has(set: &[u64], member: usize) -> bool {
    set[member / 64] >> (member % 64) & 1 == 1
}

/// Puts `member` into `set` or takes it out.
pub(super) fn put(set: &mut [u64], member: usize, present: bool) {
    let bit = 1 << (member % 64);
    let word = &mut set[member / 64];
    *word = if present { *word | bit } else { *word & !bit };
}

fn members(set: &[u64]) -> impl Iterator<Item = usize> + '_ {
    set.iter().enumerate().flat_map(|(at, word)| {
        let rest = |word: &u64| Some(word & (word - 1)).filter(|word| *word != 0);
        let words = std::iter::successors(Some(*word).filter(|word| *word != 0), rest);
        words.map(move |word| at * 64 + word.trailing_zeros() as usize)
    })
}

fn count(set: &[u64]) -> usize {
    set.iter().map(|word| word.count_ones() as usize).sum()
}

/// Calls `emit` with each maximal clique of at least `min` nodes that has no member in `excluded`, members in no
/// promised order. `rows` is the graph: `size` sets of [`words`] each, symmetric, none with itself in it.
pub(super) fn cliques(rows: &[u64], size: usize, excluded: &[u64], min: usize, emit: impl FnMut(&[usize])) {
    let words = words(size);
    let mut search = Search { rows, words, min, clique: Vec::new(), sets: Vec::new(), emit };
    let all = (0..words).map(|at| if size - at * 64 >= 64 { u64::MAX } else { (1 << (size - at * 64)) - 1 });
    search.sets.extend(all.zip(excluded).map(|(all, excluded)| all & !excluded));
    search.sets.extend_from_slice(excluded);
    search.expand();
}

struct Search<'g, E> {
    rows: &'g [u64],
    words: usize,
    min: usize,
    clique: Vec<usize>,
    /// A stack: the candidates of each step and its excluded, `words` each.
    sets: Vec<u64>,
    emit: E,
}

impl<'g, E: FnMut(&[usize])> Search<'g, E> {
    fn row(&self, node: usize) -> &'g [u64] {
        &self.rows[node * self.words..(node + 1) * self.words]
    }

    /// Goes on from the sets at the top of the stack, and leaves them there.
    fn expand(&mut self) {
        let words = self.words;
        let top = self.sets.len() - 2 * words;
        let (candidates, excluded) = self.sets[top..].split_at(words);
        if self.clique.len() + count(candidates) < self.min {
            return;
        }
        let covers = |pivot: usize| -> u32 {
            candidates.iter().zip(self.row(pivot)).map(|(word, row)| (word & row).count_ones()).sum()
        };
        let Some(pivot) = members(candidates).chain(members(excluded)).max_by_key(|node| covers(*node))
        else {
            (self.emit)(&self.clique);
            return;
        };
        let row = self.row(pivot);
        for (at, covered) in row.iter().enumerate() {
            let mut branches = self.sets[top + at] & !covered;
            while branches != 0 {
                let node = at * 64 + branches.trailing_zeros() as usize;
                branches &= branches - 1;
                let beside = self.row(node);
                for word in 0..2 * words {
                    self.sets.push(self.sets[top + word] & beside[word % words]);
                }
                self.clique.push(node);
                self.expand();
                self.clique.pop();
                self.sets.truncate(top + 2 * words);
                put(&mut self.sets[top..top + words], node, false);
                put(&mut self.sets[top + words..], node, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many maximal cliques of at least `min` nodes the graph has, and the size of the largest.
    fn found(size: usize, min: usize, adjacent: impl Fn(usize, usize) -> bool) -> (usize, usize) {
        let mut rows = vec![0; size * words(size)];
        for a in 0..size {
            for b in (0..size).filter(|b| *b != a && adjacent(a, *b)) {
                put(&mut rows[a * words(size)..], b, true);
            }
        }
        let (mut found, mut largest) = (0, 0);
        cliques(&rows, size, &vec![0; words(size)], min, |clique| {
            found += 1;
            largest = largest.max(clique.len());
        });
        (found, largest)
    }

    #[test]
    fn a_clique_of_any_size_is_one() {
        for size in [1, 2, 63, 64, 65, 128, 300] {
            assert_eq!(found(size, 1, |_, _| true), (1, size));
        }
        assert_eq!(found(300, 301, |_, _| true), (0, 0));
    }

    #[test]
    fn the_graph_with_the_most_maximal_cliques_gives_all_of_them() {
        assert_eq!(found(24, 1, |a, b| a / 3 != b / 3), (3usize.pow(8), 8));
        assert_eq!(found(80, 1, |a, b| a / 20 != b / 20), (20usize.pow(4), 4));
    }
}
