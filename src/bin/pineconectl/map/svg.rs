//! Draws what is known: the tree from the root downwards, and beside it the snake as a ring. One file, no scripts, nothing fetched.
//!
//! Leaves stand side by side, each parent in the middle above its children. Colours say who a node is to us; the full key shows when the pointer
//! rests on a node.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::known::{Bead, Known, Node, Role};

const LEAF_WIDTH: f64 = 90.0;
const LEVEL_HEIGHT: f64 = 90.0;
const MARGIN: f64 = 60.0;
const RADIUS: f64 = 12.0;
/// Space for the title and the legend.
const TOP: f64 = 80.0;

const LEGEND: [(Role, &str); 5] = [
    (Role::Own, "this node"),
    (Role::Peer, "peers"),
    (Role::Ancestor, "on the way to the root"),
    (Role::Session, "sessions"),
    (Role::Between, "known by place only"),
];

/// The picture.
pub(super) fn draw(known: &Known) -> String {
    let places = places(&known.tree);
    let tree_width = places.values().map(|(x, _)| x + MARGIN).fold(3.0 * MARGIN, f64::max);
    let tree_height = places.values().map(|(_, y)| y + MARGIN).fold(TOP + 3.0 * MARGIN, f64::max);
    let ring = Ring::new(known.snake.len(), tree_width);
    let (width, height) = ((tree_width + ring.width()).max(740.0), tree_height.max(ring.height()));
    let mut svg = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let _ =
        writeln!(svg, "<text x=\"16\" y=\"24\" font-size=\"15\">What {} knows of the network</text>", known.address);
    legend(&mut svg);
    for node in &known.tree {
        draw_edge(&mut svg, &places, node);
    }
    for node in &known.tree {
        draw_node(&mut svg, &places, node);
    }
    ring.draw(&mut svg, &known.snake);
    if known.left_out != (0, 0) {
        let (tree, snake) = known.left_out;
        let _ = writeln!(
            svg,
            "<text x=\"16\" y=\"{:.0}\" fill=\"#a00\">left out: {tree} nodes of the tree, {snake} of the snake</text>",
            height - 10.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The picture as a page, with a table of keys below.
pub(super) fn page(picture: &str, known: &Known) -> String {
    let mut rows = String::new();
    for node in &known.tree {
        let key = node.key.map_or_else(|| "not known".to_owned(), |key| key.to_string());
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td><code>{key}</code></td></tr>",
            path(&node.coordinates),
            name(node.role)
        );
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{} in the network</title>\n\
         <style>body{{font-family:sans-serif;margin:1em}}svg{{max-width:100%;height:auto}}td{{padding:.1em 1em .1em 0}}</style>\n{picture}\
         <table>\n<tr><th>Coordinates<th>Who<th>Public key</tr>\n{rows}</table>\n</html>\n",
        known.address
    )
}

/// Where each node stands, by its coordinates.
fn places(nodes: &[Node]) -> BTreeMap<&[u64], (f64, f64)> {
    let mut places: BTreeMap<&[u64], (f64, f64)> = BTreeMap::new();
    let mut leaves = 0.0;
    // Children come after their parents in the order of coordinates, so backwards each parent finds its children placed.
    let mut children: BTreeMap<&[u64], Vec<f64>> = BTreeMap::new();
    for node in nodes.iter().rev() {
        let own: &[u64] = &node.coordinates;
        let x = match children.get(own) {
            Some(xs) => xs.iter().sum::<f64>() / xs.len() as f64,
            None => {
                leaves += 1.0;
                (leaves - 1.0) * LEAF_WIDTH
            }
        };
        places.insert(own, (x, TOP + MARGIN + own.len() as f64 * LEVEL_HEIGHT));
        if let Some((_, parent)) = own.split_last() {
            children.entry(parent).or_default().push(x);
        }
    }
    // Backwards they were put from right to left.
    let right = MARGIN + (leaves - 1.0).max(0.0) * LEAF_WIDTH;
    places.values_mut().for_each(|(x, _)| *x = right - *x);
    places
}

fn draw_edge(svg: &mut String, places: &BTreeMap<&[u64], (f64, f64)>, node: &Node) {
    let own: &[u64] = &node.coordinates;
    let Some((port, parent)) = own.split_last() else { return };
    let (Some((x1, y1)), Some((x2, y2))) = (places.get(parent), places.get(own)) else { return };
    let _ = writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#999\"/>");
    let (x, y) = ((x1 + 2.0 * x2) / 3.0 + 4.0, (y1 + 2.0 * y2) / 3.0);
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"#777\">{port}</text>");
}

fn draw_node(svg: &mut String, places: &BTreeMap<&[u64], (f64, f64)>, node: &Node) {
    let own: &[u64] = &node.coordinates;
    let Some((x, y)) = places.get(own) else { return };
    let (title, label) = match node.key {
        Some(key) => (key.to_string(), key.short().to_string()),
        None => ("key not known".to_owned(), "?".to_owned()),
    };
    let _ = writeln!(
        svg,
        "<g><title>{title} {}</title><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{RADIUS}\" fill=\"{}\" stroke=\"#333\"/>\
         <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text></g>",
        path(own),
        colour(node.role),
        y + RADIUS + 13.0
    );
}

fn legend(svg: &mut String) {
    for (index, (role, text)) in LEGEND.iter().enumerate() {
        let x = 22.0 + index as f64 * 145.0;
        let _ = writeln!(
            svg,
            "<circle cx=\"{x}\" cy=\"46\" r=\"6\" fill=\"{}\" stroke=\"#333\"/><text x=\"{}\" y=\"50\">{text}</text>",
            colour(*role),
            x + 10.0
        );
    }
}

/// The snake: a ring of the keys in their order, clockwise from the top.
struct Ring {
    centre: (f64, f64),
    radius: f64,
}

impl Ring {
    fn new(beads: usize, left: f64) -> Self {
        let radius = (beads as f64 * 26.0 / std::f64::consts::TAU).max(90.0);
        Self { centre: (left + radius + 1.5 * MARGIN, TOP + radius + 1.5 * MARGIN), radius }
    }

    fn width(&self) -> f64 {
        2.0 * self.radius + 3.0 * MARGIN
    }

    fn height(&self) -> f64 {
        TOP + 2.0 * self.radius + 3.0 * MARGIN
    }

    fn draw(&self, svg: &mut String, beads: &[Bead]) {
        let ((x, y), radius) = (self.centre, self.radius);
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"none\" stroke=\"#bbb\"/>\
             <text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" fill=\"#777\">the snake, by key</text>"
        );
        for (index, bead) in beads.iter().enumerate() {
            let angle = std::f64::consts::TAU * index as f64 / beads.len() as f64;
            let (dx, dy) = (angle.sin(), -angle.cos());
            let fill = match (bead.is_own, bead.is_descending) {
                (true, _) => colour(Role::Own),
                (_, true) => "#f9d67a",
                _ => "#eee",
            };
            let port = bead.port.map_or_else(String::new, |port| format!(", by port {port}"));
            let next = if bead.is_descending { ", the next lower key" } else { "" };
            let _ = writeln!(
                svg,
                "<g><title>{}{port}{next}</title><circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"7\" fill=\"{fill}\" stroke=\"#333\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"9\">{}</text></g>",
                bead.key,
                x + dx * radius,
                y + dy * radius,
                x + dx * (radius + 30.0),
                y + dy * (radius + 18.0) + 3.0,
                bead.key.short()
            );
        }
    }
}

fn colour(role: Role) -> &'static str {
    match role {
        Role::Own => "#f28e2b",
        Role::Peer => "#76b7b2",
        Role::Ancestor => "#9c9ede",
        Role::Session => "#8cd17d",
        Role::Between => "#fff",
    }
}

fn name(role: Role) -> &'static str {
    LEGEND.iter().find(|(known, _)| *known == role).map_or("", |(_, name)| name)
}

fn path(coordinates: &[u64]) -> String {
    crate::units::coordinates(coordinates)
}

#[cfg(test)]
mod tests {
    use super::super::known::tests::example;
    use super::*;

    #[test]
    fn every_node_is_drawn_once_and_nothing_of_what_peers_say_gets_into_the_markup() {
        let known = example(3);
        let svg = draw(&known);
        assert_eq!(svg.matches("<title>").count(), known.tree.len() + known.snake.len());
        assert_eq!(svg.matches("<line ").count(), known.tree.len() - 1);
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n") && !svg.contains("evil"), "{svg}");
        for word in ["<script", "href", "url("] {
            assert!(!page(&svg, &known).contains(word), "{word}");
        }
        assert!(page(&svg, &known).contains(&known.own.to_string()));
    }

    #[test]
    fn siblings_stand_apart_and_parents_above_their_children() {
        let known = example(0);
        let places = places(&known.tree);
        let all: Vec<_> = places.values().collect();
        for (index, (x, y)) in all.iter().enumerate() {
            for (other_x, other_y) in &all[index + 1..] {
                assert!((x - other_x).abs() >= 2.0 * RADIUS || (y - other_y).abs() >= 2.0 * RADIUS, "{places:?}");
            }
        }
        assert!(places[&[3][..]].0 < places[&[6][..]].0 && places[&[][..]].1 < places[&[3][..]].1);
    }
}
