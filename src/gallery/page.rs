//! The page: one HTML file that needs nothing but the crops beside it.

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::PairKind;

use super::MARK;
use super::loss::Curve;
use super::pick::{Album, Path, Sample, Totals};
use crate::stats::grouped;

const STYLE: &str = include_str!("style.css");

/// The page that shows `album`, and the loss curve when training has run.
pub fn page(album: &Album, curve: Option<&Curve>) -> String {
    let sections =
        [objects(album), tracks(album), clusters(album), pairs(album), classes(album), training(curve)];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{MARK}\n\
         <title>Kinetograph gallery</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}\n{}\n</main>\n\
         </body>\n</html>\n",
        header(&album.totals),
        sections.join("\n")
    )
}

/// `text` with the characters that mean something in HTML written as references.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn header(totals: &Totals) -> String {
    let numbers = [
        ("videos", totals.sources as u64),
        ("frames", totals.frames),
        ("tracks", totals.tracks as u64),
        ("views (nodes)", totals.nodes as u64),
        ("child clusters", totals.clusters as u64),
        ("transitive pairs", totals.pairs as u64),
        ("classes", totals.classes as u64),
        ("epoch", totals.epoch),
    ];
    let numbers: String = numbers
        .iter()
        .map(|(name, n)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", grouped(*n)))
        .collect();
    let what = if totals.nodes == 0 {
        "Nothing was mined yet: this page fills as video is read."
    } else {
        "Moving objects were found and followed in video, without labels. Views that look alike were linked, and \
         each link says something new about views that do not look alike."
    };
    format!(
        "<header>\n<h1>What moved, and what belongs together</h1>\n<p>{what}</p>\n\
         <dl class=\"numbers\">{numbers}</dl>\n<nav>{}</nav>\n</header>",
        ["objects", "tracks", "clusters", "pairs", "classes", "training"]
            .map(|id| format!("<a href=\"#{id}\">{}{}</a>", id[..1].to_uppercase(), &id[1..]))
            .join("")
    )
}

/// A section: its content, or a note when there is none.
fn section(id: &str, title: &str, count: &str, caption: &str, content: &str, nothing: &str) -> String {
    let content =
        if content.is_empty() { format!("<div class=\"note\">{nothing}</div>") } else { content.to_string() };
    format!(
        "<section id=\"{id}\">\n<h2>{title}<small>{count}</small></h2>\n<p>{caption}</p>\n{content}\n</section>"
    )
}

fn shown(some: usize, all: usize) -> String {
    if some < all { format!("{} of {}", grouped(some), grouped(all)) } else { grouped(all) }
}

fn crop(album: &Album, node: NodeId) -> String {
    let what = format!("{}, frame {}, node {node}", escaped(album.source(node)), album.frame(node));
    format!(
        "<img src=\"crops/{node}.jpg\" width=\"88\" height=\"88\" loading=\"lazy\" alt=\"{what}\" title=\"{what}\">"
    )
}

fn row(album: &Album, label: &str, nodes: &[NodeId]) -> String {
    let crops: String = nodes.iter().map(|n| crop(album, *n)).collect();
    // As wide as its crops, so that short rows can stand side by side.
    let width = nodes.len().max(1) * 96 - 8;
    format!(
        "<div class=\"row\" style=\"max-width: max({width}px, 280px)\"><div class=\"of\">{label}</div><div>{crops}</div></div>\n"
    )
}

fn sample(album: &Album, sample: &Sample) -> String {
    let (views, tracks) = (count(sample.nodes, "view"), count(sample.tracks, "track"));
    row(album, &format!("<b>{}</b> {views} of {tracks}", escaped(&sample.name)), &sample.shown)
}

fn count(n: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
}

fn objects(album: &Album) -> String {
    let rows: String = album.sources.iter().map(|s| sample(album, s)).collect();
    section(
        "objects",
        "Mined objects",
        &format!("{} videos", shown(album.sources.len(), album.totals.sources)),
        "Each picture is a piece of video that moved by itself, not with the camera; one row for each video, evenly \
         over its length.",
        &rows,
        "Nothing was mined yet.",
    )
}

fn tracks(album: &Album) -> String {
    let figure = |(first, last): &(NodeId, NodeId)| {
        format!(
            "<figure><div class=\"views\">{}<span class=\"arrow\">&rarr;</span>{}</div>\
             <figcaption>{}<br>frame {} &rarr; {}</figcaption></figure>\n",
            crop(album, *first),
            crop(album, *last),
            escaped(album.source(*first)),
            grouped(album.frame(*first)),
            grouped(album.frame(*last))
        )
    };
    let figures: String = album.tracks.iter().map(figure).collect();
    let figures = if figures.is_empty() { figures } else { format!("<div class=\"tracks\">{figures}</div>") };
    section(
        "tracks",
        "Tracks",
        &shown(album.tracks.len(), album.totals.tracks),
        "The same object when the tracker found it and when it let go: two views that are known to be one thing. \
         A sample, not a selection.",
        &figures,
        "No object was followed yet.",
    )
}

fn clusters(album: &Album) -> String {
    let cluster = |nodes: &Vec<NodeId>| {
        let mut sources: Vec<&str> = nodes.iter().map(|n| album.source(*n)).collect();
        sources.dedup();
        let names: Vec<String> = sources.iter().map(|s| escaped(s)).collect();
        row(album, &format!("<b>{} views</b> {}", nodes.len(), names.join(", ")), nodes)
    };
    let rows: String = album.clusters.iter().map(cluster).collect();
    let rows = if rows.is_empty() { rows } else { format!("<div class=\"clusters\">{rows}</div>") };
    section(
        "clusters",
        "Child clusters",
        &shown(album.clusters.len(), album.totals.clusters),
        "In each row every view is among the nearest of every other one, across different tracks: agreement that \
         is seldom an accident.",
        &rows,
        "No views agree that much yet.",
    )
}

fn pair(album: &Album, path: &Path) -> String {
    let Path { pair, score } = path;
    let end = |name: &str, moved: bool, node: NodeId| {
        let class = if moved { "end moved" } else { "end" };
        format!("<div class=\"{class}\">{}<b>{name}</b>{}</div>", crop(album, node), at(album, node))
    };
    let link = |class: &str, above: &str, below: &str| {
        format!("<div class=\"link {class}\"><span>{above}</span><span>{below}</span></div>")
    };
    let near = link("near", "look alike", &format!("{score:.2}"));
    let track = link("", "same track", "&nbsp;");
    let (a_moved, b_moved) = (pair.kind != PairKind::BMoved, pair.kind != PairKind::AMoved);
    let mut path = String::new();
    if a_moved {
        path += &(end("A&prime;", true, pair.a) + &track);
    }
    path += &(end("A", !a_moved, pair.via_a) + &near + &end("B", !b_moved, pair.via_b));
    if b_moved {
        path += &(track + &end("B&prime;", true, pair.b));
    }
    let (a, b) = (if a_moved { "A&prime;" } else { "A" }, if b_moved { "B&prime;" } else { "B" });
    let size = if a_moved && b_moved { "four" } else { "three" };
    format!(
        "<figure class=\"pair {size}\"><div class=\"path\">{path}</div><div class=\"bracket\"></div>\
         <figcaption class=\"verdict\">so {a} and {b} are a pair</figcaption></figure>\n"
    )
}

fn at(album: &Album, node: NodeId) -> String {
    format!("{}<br>frame {}", escaped(album.source(node)), grouped(album.frame(node)))
}

fn pairs(album: &Album) -> String {
    let figures: String = album.pairs.iter().map(|p| pair(album, p)).collect();
    let figures = if figures.is_empty() { figures } else { format!("<div class=\"pairs\">{figures}</div>") };
    section(
        "pairs",
        "Transitive pairs",
        &shown(album.pairs.len(), album.totals.pairs),
        "A and B look alike, A&prime; is A a moment earlier or later, and B&prime; is B; so <b>A&prime; and \
         B&prime;</b> show one kind of thing, whether or not they look alike. Such pairs are what the \
         network learns from.",
        &figures,
        "No such pair follows from the graph yet.",
    )
}

fn classes(album: &Album) -> String {
    section(
        "classes",
        "Classes",
        &format!("{} of more than one track", shown(album.classes.len(), album.totals.joined)),
        "Everything that tracks and clusters join, directly or through others; the largest first, one view a track.",
        &album.classes.iter().map(|c| sample(album, c)).collect::<String>(),
        "No two tracks are joined yet.",
    )
}

fn training(curve: Option<&Curve>) -> String {
    let count = curve.map_or_else(String::new, |curve| {
        let steps = format!("{} logged steps", grouped(curve.points.len()));
        curve.epoch.map_or(steps.clone(), |epoch| format!("{steps}, up to epoch {epoch}"))
    });
    section(
        "training",
        "Training",
        &count,
        "The loss of the network on triplets drawn from the pairs above; lower is better.",
        &curve.map_or_else(String::new, Curve::svg),
        "Training has not run.",
    )
}
