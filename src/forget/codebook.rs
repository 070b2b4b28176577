//! A codebook that owes nothing to what is not there any more.

use std::collections::HashMap;

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::kernels::vector::Vector;
use kinetograph_dataflows::index::node::Row;
use kinetograph_dataflows::index::partition::codebook::{Codebook, Decision};
use kinetograph_dataflows::index::partition::policy::{CodebookKind, Deciding, Settings};

/// The decisions that the policy would take over `rows` until it rests, in order.
pub(super) fn made_of(rows: &[Row], settings: &Settings) -> Vec<Decision> {
    let mut settings = settings.clone();
    // Every leaf has its turn each time.
    if let CodebookKind::Growing { try_every_epochs, .. } = &mut settings.codebook {
        *try_every_epochs = 1;
    }
    let vectors: HashMap<NodeId, Vector> = rows.iter().map(|row| (row.id, row.vector.clone())).collect();
    let (mut codebook, mut all) = (Codebook::default(), Vec::new());
    loop {
        let mut deciding = Deciding::new(settings.clone());
        rows.iter().for_each(|row| deciding.change(row.id, codebook.cell(&row.vector.values()), 1));
        let mut decided = deciding.decide(0, &codebook, |node| vectors.get(&node).cloned());
        decided.retain(|decision| codebook.apply(decision).is_ok());
        if decided.is_empty() {
            return all;
        }
        all.extend(decided);
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn it_rests_when_every_leaf_is_under_the_cap_and_the_groups_are_fixed() {
        let mut rng = Pcg64::seed_from_u64(1);
        let mut rows = Vec::new();
        for id in 0..700 {
            let v: Vec<f32> = (0..6).map(|_| rng.random::<f32>() - 0.5).collect();
            let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
            let vector = v.iter().map(|x| x / norm).collect();
            rows.push(Row { id: NodeId(id), pts_ns: 0, vector, known: None });
        }
        let kind = CodebookKind::Growing { cap: 50, try_every_epochs: 1000 };
        let settings = Settings { codebook: kind, ..Settings::default() };
        let mut codebook = Codebook::default();
        made_of(&rows, &settings).iter().for_each(|decision| codebook.apply(decision).unwrap());
        let mut sizes: HashMap<_, usize> = HashMap::new();
        rows.iter().for_each(|row| *sizes.entry(codebook.cell(&row.vector.values())).or_default() += 1);
        assert!(sizes.len() > 10 && sizes.values().all(|size| *size <= 50), "{sizes:?}");
        assert_eq!(codebook.groups(), 32);
        assert_eq!(made_of(&[], &settings), []);
    }
}
