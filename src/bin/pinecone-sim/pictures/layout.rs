//! Where the nodes of a graph go on a plane, when nobody says where they are.
//!
//! First by distances: nodes are placed so that their distances on the plane are like their hops to some fifty of them (pivot
//! multidimensional scaling), which unfolds grids, radio meshes and rings as a whole. Then neighbours pull and those nearby push each other
//! (Fruchterman and Reingold), which gives every node room of its own. The second alone would leave large grids folded; the first alone puts
//! all leaves of a hub on one point. Nothing is random, and 2,000 nodes take less than a second or two.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use pinecone::sim::graph::Graph;

/// A point; neighbours are about one apart.
pub(crate) type Point = (f64, f64);

const PIVOTS: usize = 50;
const ROUNDS: usize = 250;
/// How much wider than high a picture may be.
const PAGE: f64 = 1.3;
/// Farther apart than this, nodes do not push each other.
const REACH: f64 = 3.5;

/// A place for each node; parts that are not connected stand side by side.
pub(crate) fn place(graph: &Graph) -> Vec<Point> {
    let mut places = vec![(0.0, 0.0); graph.len()];
    let mut seen = vec![false; graph.len()];
    let mut parts = Vec::new();
    for node in 0..graph.len() {
        if !seen[node] {
            let distances = graph.distances(node);
            let part: Vec<usize> = (0..graph.len()).filter(|other| distances[*other].is_some()).collect();
            part.iter().for_each(|node| seen[*node] = true);
            parts.push(part);
        }
    }
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let parts = parts.into_iter().map(|part| (lie_down(&place_part(graph, &part)), part));
    shelve(parts.collect(), &mut places);
    places
}

/// Places nodes that are all connected.
fn place_part(graph: &Graph, part: &[usize]) -> Vec<Point> {
    let index: BTreeMap<usize, usize> = part.iter().enumerate().map(|(index, node)| (*node, index)).collect();
    let links =
        part.iter().map(|node| graph.neighbours(*node).filter_map(|other| index.get(&other).copied()).collect());
    let links: Vec<Vec<usize>> = links.collect();
    let mut places = unfold(graph, part);
    relax(&links, &mut places);
    places
}

/// By distances.
fn unfold(graph: &Graph, part: &[usize]) -> Vec<Point> {
    let len = part.len() as f64;
    // Each pivot is the node farthest from those before it.
    let mut nearest = vec![u32::MAX; part.len()];
    let mut columns: Vec<Vec<f64>> = Vec::new();
    let mut pivot = part[0];
    for _ in 0..PIVOTS.min(part.len()) {
        let distances = graph.distances(pivot);
        let hops: Vec<u32> = part.iter().map(|node| distances[*node].unwrap_or(0)).collect();
        nearest.iter_mut().zip(&hops).for_each(|(nearest, hops)| *nearest = (*nearest).min(*hops));
        pivot = (0..part.len())
            .max_by_key(|index| (nearest[*index], std::cmp::Reverse(*index)))
            .map_or(pivot, |index| part[index]);
        let squares: Vec<f64> = hops.iter().map(|hops| f64::from(*hops).powi(2)).collect();
        let mean = squares.iter().sum::<f64>() / len;
        columns.push(squares.iter().map(|square| -0.5 * (square - mean)).collect());
    }
    for row in 0..part.len() {
        let mean = columns.iter().map(|column| column[row]).sum::<f64>() / columns.len() as f64;
        columns.iter_mut().for_each(|column| column[row] -= mean);
    }
    let (x, first) = direction(&columns, None);
    let (y, _) = direction(&columns, Some(&first));
    // Nodes on one point would not know where to go.
    let apart = |n: usize| ((n as f64 * 2.399_963).cos() * 0.3, (n as f64 * 2.399_963).sin() * 0.3);
    (0..part.len()).map(|n| (x[n] + apart(n).0, y[n] + apart(n).1)).collect()
}

/// The coordinates along the direction in which the columns spread most, scaled back to hops, and that direction.
fn direction(columns: &[Vec<f64>], without: Option<&[f64]>) -> (Vec<f64>, Vec<f64>) {
    let rows = columns.first().map_or(0, Vec::len);
    let mut vector: Vec<f64> = (0..columns.len()).map(|n| 1.0 + 0.37 * (n as f64 * 1.7).sin()).collect();
    let mut along = vec![0.0; rows];
    let mut size = 0.0_f64;
    for _ in 0..60 {
        if let Some(other) = without {
            let common: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
            vector.iter_mut().zip(other).for_each(|(a, b)| *a -= common * b);
        }
        let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-12);
        vector.iter_mut().for_each(|value| *value /= length);
        for (row, along) in along.iter_mut().enumerate() {
            *along = columns.iter().zip(&vector).map(|(column, value)| column[row] * value).sum();
        }
        size = along.iter().map(|value| value * value).sum::<f64>().sqrt();
        vector = columns.iter().map(|column| column.iter().zip(&along).map(|(a, b)| a * b).sum()).collect();
    }
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|value| *value /= length);
    // The size is a singular value of some columns; of all columns it would be the eigenvalue whose root is the spread in hops.
    let whole = size * (rows as f64 / columns.len().max(1) as f64).sqrt();
    let scale = whole.sqrt() / size.max(1e-12);
    (along.into_iter().map(|value| value * scale).collect(), vector)
}

/// By forces that die down.
fn relax(links: &[Vec<usize>], places: &mut [Point]) {
    for round in 0..ROUNDS {
        let heat = 0.6 * (1.0 - round as f64 / ROUNDS as f64);
        let mut cells: BTreeMap<(i64, i64), Vec<usize>> = BTreeMap::new();
        let cell = |(x, y): Point| ((x / REACH).floor() as i64, (y / REACH).floor() as i64);
        for (node, at) in places.iter().enumerate() {
            cells.entry(cell(*at)).or_default().push(node);
        }
        let moves: Vec<Point> = (0..places.len())
            .map(|node| {
                let (mut x, mut y) = (0.0, 0.0);
                let (column, row) = cell(places[node]);
                let around =
                    (column - 1..=column + 1).flat_map(|column| (row - 1..=row + 1).map(move |row| (column, row)));
                for other in around.filter_map(|at| cells.get(&at)).flatten().filter(|other| **other != node) {
                    let (dx, dy) = (places[node].0 - places[*other].0, places[node].1 - places[*other].1);
                    let square = (dx * dx + dy * dy).max(1e-4);
                    if square < REACH * REACH {
                        (x, y) = (x + dx / square, y + dy / square);
                    }
                }
                for other in &links[node] {
                    let (dx, dy) = (places[*other].0 - places[node].0, places[*other].1 - places[node].1);
                    let length = (dx * dx + dy * dy).sqrt();
                    (x, y) = (x + dx * length, y + dy * length);
                }
                (x, y)
            })
            .collect();
        for (place, (x, y)) in places.iter_mut().zip(moves) {
            let length = (x * x + y * y).sqrt().max(1e-9);
            let step = length.min(heat) / length;
            *place = (place.0 + x * step, place.1 + y * step);
        }
    }
}

/// Turns points so that they fit a page well.
fn lie_down(points: &[Point]) -> Vec<Point> {
    let turned = |angle: f64| {
        let (sin, cos) = angle.sin_cos();
        points.iter().map(move |(x, y)| (x * cos + y * sin, y * cos - x * sin))
    };
    let size = |angle: f64| {
        let [left, top, right, bottom] = ends(turned(angle));
        ((right - left) / PAGE).max(bottom - top)
    };
    let angles = (0..180).map(|n| f64::from(n) / 360.0 * TAU);
    let angle = angles.min_by(|a, b| size(*a).total_cmp(&size(*b))).unwrap_or(0.0);
    turned(angle).collect()
}

/// Left, upper, right and lower end.
pub(super) fn ends(points: impl Iterator<Item = Point>) -> [f64; 4] {
    points.fold([f64::MAX, f64::MAX, f64::MIN, f64::MIN], |ends, (x, y)| {
        [ends[0].min(x), ends[1].min(y), ends[2].max(x), ends[3].max(y)]
    })
}

/// Puts parts, largest first, side by side in rows.
fn shelve(parts: Vec<(Vec<Point>, Vec<usize>)>, places: &mut [Point]) {
    const GAP: f64 = 1.5;
    let boxes: Vec<[f64; 4]> = parts.iter().map(|(points, _)| ends(points.iter().copied())).collect();
    let area: f64 = boxes.iter().map(|[x0, y0, x1, y1]| (x1 - x0 + GAP) * (y1 - y0 + GAP)).sum();
    let widest = boxes.iter().map(|[x0, _, x1, _]| x1 - x0).fold((area * PAGE).sqrt(), f64::max);
    let (mut left, mut top, mut row) = (0.0, 0.0, 0.0_f64);
    for ((points, part), [x0, y0, x1, y1]) in parts.into_iter().zip(boxes) {
        if left > 0.0 && left + x1 - x0 > widest {
            (left, top, row) = (0.0, top + row + GAP, 0.0);
        }
        for ((x, y), node) in points.into_iter().zip(part) {
            places[node] = (x - x0 + left, y - y0 + top);
        }
        (left, row) = (left + x1 - x0 + GAP, row.max(y1 - y0));
    }
}
