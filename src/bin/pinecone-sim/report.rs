//! The report.
use crate::bench::Line;
use std::path::Path;
pub(crate) fn write(_path: &Path, _lines: &[Line]) -> anyhow::Result<()> {
    Ok(())
}
