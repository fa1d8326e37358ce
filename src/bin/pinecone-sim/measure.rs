//! `pinecone-sim measure`: one measurement on one graph.

use std::collections::BTreeMap;

use pinecone::sim::metrics::{self, Measured};
use pinecone::time::Duration;

use crate::args::MeasureArgs;
use crate::{input, jobs};

pub(crate) fn run(args: &MeasureArgs) -> anyhow::Result<()> {
    let steps = input::read(&args.graph)?;
    let seeds: Vec<u64> = (args.seed..args.seed.saturating_add(args.seeds)).collect();
    let results = jobs::run(
        &seeds,
        2,
        |seed| format!("seed {seed}"),
        |seed| {
            let mut conditions = args.common.conditions(args.mode, *seed);
            conditions.step = Duration::from_secs_f64(args.step.clamp(0.001, 86_400.0));
            metrics::run(args.experiment, &steps, &conditions)
        },
    );
    if args.common.json {
        let by_seed: BTreeMap<u64, &Measured> = seeds.iter().copied().zip(&results).collect();
        println!("{}", serde_json::to_string_pretty(&by_seed)?);
        return Ok(());
    }
    let names = results.iter().flat_map(|result| result.values.keys()).collect::<std::collections::BTreeSet<_>>();
    for name in names {
        let values = results.iter().filter_map(|result| result.values.get(name));
        let values: Vec<String> = values.map(|value| format!("{value:>12.3}")).collect();
        println!("{name:<32}{}", values.join(""));
    }
    Ok(())
}
