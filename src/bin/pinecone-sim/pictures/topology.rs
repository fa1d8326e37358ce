//! A network: all links, and on top of them the two things that routers make of them, the tree and the snake.
//!
//! Branches of the tree are as thick as there are nodes below them, so that one sees where the traffic by coordinates goes. Nodes and the arcs of
//! the snake have the colour of their keys' place among all keys: that neighbours have all colours is what "keys do not follow the places"
//! looks like.

use pinecone::sim::graph::Graph;

use super::axis::number;
use super::layout::{self, Point};
use super::network::Network;
use super::style;
use super::svg::{Svg, escape, hex};
use super::{PictureError, legend};

/// More nodes are a grey blot.
pub(crate) const MOST_NODES: usize = 2_500;

const WIDTH: f64 = 1_200.0;
const MARGIN: f64 = 36.0;
const HEAD: f64 = 84.0;
const FOOT: f64 = 64.0;
/// Nodes of fewer than this many bear their numbers.
const NUMBERED: usize = 80;

/// Draws a network.
pub(crate) fn draw(network: &Network) -> Result<String, PictureError> {
    if network.nodes.is_empty() {
        return Err(PictureError::Nothing("the network has no nodes".to_owned()));
    }
    if network.nodes.len() > MOST_NODES {
        return Err(PictureError::TooMany { nodes: network.nodes.len() });
    }
    let graph = Graph::new(network.nodes.len(), network.links.iter().map(|(a, b, _)| (*a, *b)));
    let (places, height) = on_paper(&layout::place(&graph));
    let drawing = Drawing { network, radius: radius(network, &places), places };
    let mut svg = Svg::new(WIDTH, HEAD + height + FOOT, &format!("{}: links, tree and snake", network.name));
    drawing.head(&mut svg);
    drawing.links(&mut svg);
    drawing.snake(&mut svg);
    drawing.tree(&mut svg);
    drawing.nodes(&mut svg);
    legend::draw(&mut svg, (MARGIN, HEAD + height + FOOT - 24.0));
    Ok(svg.end())
}

/// The places in pixels, and the height that they take.
fn on_paper(places: &[Point]) -> (Vec<Point>, f64) {
    let [left_most, top_most, right_most, low_most] = layout::ends(places.iter().copied());
    let (wide, tall) = (right_most - left_most, low_most - top_most);
    let room = (WIDTH - 2.0 * MARGIN, 860.0);
    // Links of a few nodes need not cross the whole page.
    let scale = (room.0 / wide.max(0.1)).min(room.1 / tall.max(0.1)).min(150.0);
    let height = (tall * scale + 2.0 * MARGIN).max(220.0);
    let (left, top) = ((WIDTH - wide * scale) / 2.0, HEAD + (height - tall * scale) / 2.0);
    let place = |at: &Point| (left + (at.0 - left_most) * scale, top + (at.1 - top_most) * scale);
    (places.iter().map(place).collect(), height)
}

/// Nodes are as large as the links between them, and the room that each of them has, allow.
fn radius(network: &Network, places: &[Point]) -> f64 {
    let mut lengths: Vec<f64> = network.links.iter().map(|(a, b, _)| distance(places[*a], places[*b])).collect();
    lengths.sort_by(f64::total_cmp);
    let usual = lengths.get(lengths.len() / 4).copied().unwrap_or(60.0);
    let [left, top, right, bottom] = layout::ends(places.iter().copied());
    let many = places.len().max(1) as f64;
    let room = ((right - left) * (bottom - top) / many).sqrt().max((right - left) / many);
    (usual * 0.24).min(room * 0.22).clamp(2.0, 12.0)
}

fn distance(a: Point, b: Point) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

struct Drawing<'a> {
    network: &'a Network,
    places: Vec<Point>,
    radius: f64,
}

impl Drawing<'_> {
    fn head(&self, svg: &mut Svg) {
        let network = self.network;
        let up = network.links.iter().filter(|(_, _, is_up)| *is_up).count();
        let running = network.nodes.iter().filter(|node| node.is_running).count();
        let counted = |up: usize, all: usize, what: &str| match up == all {
            true => format!("{} {what}", number(all as f64)),
            false => format!("{} {what}, {} of them up", number(all as f64), number(up as f64)),
        };
        let mut facts = counted(running, network.nodes.len(), "nodes");
        facts += &format!("; {}", counted(up, network.links.len(), "links"));
        let deepest = network.nodes.iter().map(|node| node.depth).max().unwrap_or(0);
        facts +=
            &format!("; tree of depth {deepest}, seed {}, after {} s", network.seed, number(network.seconds.round()));
        svg.words((MARGIN, 40.0), style::TITLE, style::INK, r#"font-weight="bold""#, &network.name);
        svg.words((MARGIN, 64.0), style::TEXT, style::QUIET, "", &facts);
    }

    fn links(&self, svg: &mut Svg) {
        for (is_up, look) in [(true, r##"stroke="#b4bac2""##), (false, r##"stroke="#c98a8a" stroke-dasharray="2 4""##)]
        {
            let thick = if self.network.nodes.len() > 600 { 0.6 } else { 1.0 };
            svg.push(format_args!(r#"<g class="links" {look} stroke-width="{thick}">"#));
            for (a, b, _) in self.network.links.iter().filter(|(_, _, up)| *up == is_up) {
                let ((x1, y1), (x2, y2)) = (self.places[*a], self.places[*b]);
                svg.push(format_args!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#));
            }
            svg.push(format_args!("</g>"));
        }
    }

    fn tree(&self, svg: &mut Svg) {
        let weights = self.network.weights();
        let look = format!(r#"stroke="{}" stroke-linecap="round""#, hex(style::TREE));
        svg.push(format_args!(r#"<g class="tree" {look}>"#));
        for (id, node) in self.network.nodes.iter().enumerate() {
            let Some(parent) = node.parent else { continue };
            let ((x1, y1), (x2, y2)) = (self.places[id], self.places[parent]);
            let share = weights[id] as f64 / self.network.nodes.len() as f64;
            let thick = (self.radius * (0.14 + 1.2 * share.sqrt())).max(1.1);
            svg.push(format_args!(
                r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke-width="{thick:.1}"/>"#
            ));
        }
        svg.push(format_args!("</g>"));
    }

    /// Arcs bend to their left: there and back are two.
    fn snake(&self, svg: &mut Svg) {
        let ranks = self.network.ranks();
        let many = self.network.nodes.len() as f64;
        let (thick, opacity) = (if many > 300.0 { 0.8 } else { 1.3 }, (8.0 / many.sqrt()).clamp(0.3, 0.8));
        svg.push(format_args!(r#"<g class="snake" fill="none" stroke-width="{thick}" stroke-opacity="{opacity:.2}">"#));
        for (id, node) in self.network.nodes.iter().enumerate() {
            let Some(lower) = node.lower else { continue };
            let ((x1, y1), (x2, y2)) = (self.places[id], self.places[lower]);
            let (x, y) = ((x1 + x2) / 2.0 + (y2 - y1) * 0.22, (y1 + y2) / 2.0 - (x2 - x1) * 0.22);
            let colour = hex(style::gradient(ranks[id]));
            svg.push(format_args!(r#"<path d="M{x1:.1} {y1:.1}Q{x:.1} {y:.1} {x2:.1} {y2:.1}" stroke="{colour}"/>"#));
        }
        svg.push(format_args!("</g>"));
    }

    fn nodes(&self, svg: &mut Svg) {
        let (ranks, roots) = (self.network.ranks(), self.network.roots());
        let radius = self.radius;
        svg.push(format_args!(
            r##"<g class="nodes" stroke="#ffffff" stroke-width="{:.1}">"##,
            (radius * 0.18).min(1.5)
        ));
        for (id, node) in self.network.nodes.iter().enumerate() {
            let (x, y) = self.places[id];
            let look = if !node.is_running {
                format!(r#"fill="{}" stroke="{}""#, hex(style::PAPER), hex(style::QUIET))
            } else {
                format!(r#"fill="{}""#, hex(style::gradient(ranks[id])))
            };
            let key = &node.key.to_string()[..16];
            let about = if node.is_running { format!("depth {}", node.depth) } else { "stopped".to_owned() };
            svg.push(format_args!(
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" {look}><title>node {id}, key {key}…, {}</title></circle>"#,
                escape(&about)
            ));
        }
        svg.push(format_args!("</g>"));
        for root in &roots {
            legend::root(svg, self.places[*root], radius + 3.5);
        }
        if self.network.nodes.len() < NUMBERED {
            self.numbers(svg, &ranks);
        }
    }

    fn numbers(&self, svg: &mut Svg, ranks: &[f64]) {
        let size = (self.radius * 1.05).clamp(7.0, 12.0);
        for (id, node) in self.network.nodes.iter().enumerate() {
            let colour = if node.is_running && ranks[id] < 0.72 { style::PAPER } else { style::INK };
            let (x, y) = self.places[id];
            svg.words((x, y + size * 0.36), size, colour, r#"text-anchor="middle""#, &id.to_string());
        }
    }
}
