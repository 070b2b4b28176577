//! The collections that the trainer follows, as an epoch changes them.

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::time::Diff;

use super::delta::EpochDelta;
use super::{Collection, Each, Followed, History, Listed, Nets, each_collection};

/// Changes of a collection as the trainer follows them.
fn followed<C: Collection>(changes: &[(C::Record, Diff)]) -> Followed<C> {
    let sign = |diff: Diff| if diff < 0 { -1 } else { 1 };
    changes.iter().map(|(record, diff)| (record.clone(), sign(*diff))).collect()
}

impl EpochDelta {
    /// That of an epoch in which `nodes` come and go, and `changes` follow.
    pub fn new(nodes: Vec<(NodeId, i8)>, changes: &Each<Nets>) -> Self {
        let mut delta = EpochDelta { nodes, ..EpochDelta::default() };
        each_collection!(C => {
            if let History::Delta { of_mut, .. } = C::history() {
                *of_mut(&mut delta) = followed::<C>(C::of(changes));
            }
        });
        delta
    }

    /// Takes in another process's part of the epoch.
    pub fn add(&mut self, mut more: EpochDelta) {
        self.nodes.append(&mut more.nodes);
        self.nodes.sort_by_key(|(node, diff)| (-diff, *node));
        each_collection!(C => {
            if let History::Delta { of_mut, .. } = C::history() {
                let all = of_mut(self);
                all.append(of_mut(&mut more));
                all.sort_by(|(a, x), (b, y)| x.cmp(y).then_with(|| a.cmp(b)));
            }
        });
    }

    /// Keeps the nodes that are `kept`, and the records whose [home](Collection::home) is.
    pub fn retain_at_home(&mut self, kept: impl Fn(NodeId) -> bool) {
        self.nodes.retain(|(node, _)| kept(*node));
        each_collection!(C => {
            if let History::Delta { of_mut, .. } = C::history() {
                of_mut(self).retain(|(record, _)| kept(C::home(C::parts(record).0)));
            }
        });
    }

    /// Takes every mention of nodes that are `gone` out; whether there was any.
    pub fn strike(&mut self, gone: impl Fn(NodeId) -> bool) -> bool {
        let before = self.nodes.len();
        self.nodes.retain(|(node, _)| !gone(*node));
        let mut struck = self.nodes.len() < before;
        each_collection!(C => {
            if let History::Delta { of_mut, .. } = C::history() {
                let records = of_mut(self);
                let before = records.len();
                records.retain(|(record, _)| {
                    let ((key, value), mut keep) = (C::parts(record), true);
                    C::nodes(key, value, &mut |node| keep &= !gone(node));
                    keep
                });
                struck |= records.len() < before;
            }
        });
        struck
    }
}
