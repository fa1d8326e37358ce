//! What the configuration can say but this version cannot do.
//!
//! Such values are refused with a sentence that names what works instead. Kept in one place, so that a feature that arrives
//! is switched on in one place.

/// A feature that is not there: what to use instead.
pub type Unavailable = &'static str;

/// Prometheus metrics.
pub const METRICS: Result<(), Unavailable> =
    Err("metrics are not available in this version; set it to \"\" and use `pineconectl status --json`");
