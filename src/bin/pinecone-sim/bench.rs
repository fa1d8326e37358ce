//! `pinecone-sim bench`.
use crate::args::BenchArgs;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Set {
    Small,
}

pub(crate) fn run(_args: &BenchArgs) -> anyhow::Result<()> {
    Ok(())
}
