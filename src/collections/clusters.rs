//! Child clusters: the maximal sets of nodes that are all among each other's neighbours.

use differential_dataflow::VecCollection;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::Cluster;
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::Derived;

use super::collection::{Collection, Export, History, Labels, member};
use crate::recompute::relations;
use crate::recompute::work::Work;
use crate::store::{Table, key};

/// The members of each cluster.
#[derive(Clone, Copy, Debug)]
pub struct Clusters;

impl Collection for Clusters {
    type Record = Cluster;
    type Key = Cluster;
    type Value = ();

    const NAME: &'static str = "clusters";
    const TABLE: Table = Table::Clusters;

    fn stream<'s>(graph: &Derived<'s>) -> VecCollection<'s, Epoch, Cluster, Diff> {
        graph.closure.clusters.clone()
    }

    fn parts(cluster: &Cluster) -> (&Cluster, &()) {
        (cluster, &())
    }

    fn join(cluster: Cluster, (): ()) -> Cluster {
        cluster
    }

    fn home(cluster: &Cluster) -> NodeId {
        cluster[0]
    }

    fn nodes(cluster: &Cluster, (): &(), see: &mut dyn FnMut(NodeId)) {
        cluster.iter().for_each(|node| see(*node));
    }

    fn key_bytes(cluster: &Cluster) -> Vec<u8> {
        key::nodes(cluster)
    }

    fn value_bytes((): &()) -> Vec<u8> {
        Vec::new()
    }

    fn read_key(bytes: &[u8]) -> Option<Cluster> {
        key::nodes_at(bytes, 0).filter(|nodes| !nodes.is_empty())
    }

    fn read_value(_: &[u8]) -> Option<()> {
        Some(())
    }

    fn labels() -> Labels<Self> {
        Labels::Meant
    }

    fn history() -> History<Self> {
        History::Replaced
    }

    fn export() -> Export<Self> {
        Export::Table {
            file: "clusters.tsv",
            columns: &["cluster", "node"],
            rows: |clusters, _, show| {
                let mut count = 0;
                for (cluster, ()) in clusters {
                    for node in cluster {
                        show(&[&count, node])?;
                    }
                    count += 1;
                }
                Ok(vec![("clusters", count)])
            },
        }
    }

    /// Lists are not needed after.
    fn recompute(work: &mut Work<'_>) -> Vec<(Cluster, ())> {
        let mutual = relations::mutual(&work.ids, &work.lists, work.rules.k);
        work.lists = Vec::new();
        let done = |done| (work.progress)(Self::NAME, done, work.ids.len());
        let clusters = relations::clusters(&work.ids, &mutual, work.rules.min_cluster, &done);
        clusters.into_iter().map(|cluster| (cluster, ())).collect()
    }

    fn leave(all: Vec<(Cluster, ())>, work: &mut Work<'_>) {
        work.clusters = all.into_iter().map(|(cluster, ())| cluster).collect();
    }

    fn difference(cluster: &Cluster, found: Option<&()>, _: Option<&()>) -> String {
        let members: Vec<String> = cluster.iter().map(NodeId::to_string).collect();
        member(&format!("cluster {}", members.join(" ")), found.is_some())
    }
}
