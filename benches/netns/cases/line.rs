//! TCP through two hosts and through three: how fast, what it costs the processors, how long pings wait meanwhile, and the memory that
//! it takes.

use super::Settings;
use crate::bed::Bed;
use crate::overlay::Overlay;
use crate::peers::Peer;
use crate::readings::{Reading, Unit};
use crate::tools::{tcp, tcp_and_ping};

/// Two hosts.
pub(crate) fn pair(peer: &dyn Peer, settings: &Settings) -> Vec<Reading> {
    let bed = Bed::line(2, &settings.underlay_cc);
    let overlay = Overlay::start(peer, &bed);
    let mut readings = loaded(&bed, &overlay, settings);
    for (what, streams, reverse) in [("TCP, 1 stream, back", 1, true), ("TCP, 4 streams", 4, false)] {
        let load = settings.tcp(streams, reverse);
        let transfer = tcp(bed.first(), bed.last(), overlay.target(), load);
        readings.push(Reading::new(what, Unit::Gbps, transfer.bits_per_second / 1e9));
    }
    readings.extend(memory(&overlay));
    std::thread::sleep(settings.linger);
    readings
}

/// Three hosts in a line: the one in the middle passes everything on.
pub(crate) fn relay(peer: &dyn Peer, settings: &Settings) -> Vec<Reading> {
    let bed = Bed::line(3, &settings.underlay_cc);
    let overlay = Overlay::start(peer, &bed);
    let mut readings = loaded(&bed, &overlay, settings);
    readings.extend(memory(&overlay));
    std::thread::sleep(settings.linger);
    readings
}

/// One stream, with everything that is of interest while it runs.
fn loaded(bed: &Bed, overlay: &Overlay, settings: &Settings) -> Vec<Reading> {
    let before = overlay.cpu();
    let load = settings.tcp(1, false);
    let (transfer, pings) = tcp_and_ping(bed.first(), bed.last(), overlay.target(), load);
    let used: Vec<_> = overlay.cpu().iter().zip(before).map(|(after, before)| after - before).collect();
    let gigabytes = transfer.bytes / 1e9;
    let mut readings = vec![Reading::new("TCP, 1 stream", Unit::Gbps, transfer.bits_per_second / 1e9)];
    if overlay.has_daemons() {
        readings.push(Reading::new("CPU of all daemons", Unit::CpuPerGb, used.iter().sum::<f64>() / gigabytes));
        if let [_, relay, _] = used[..] {
            readings.push(Reading::new("CPU of the relay", Unit::CpuPerGb, relay / gigabytes));
        }
    }
    readings.extend(pings.readings("ping under load"));
    readings
}

/// Of the largest daemon.
fn memory(overlay: &Overlay) -> Vec<Reading> {
    let all = overlay.memory();
    let largest = |values: Vec<f64>| values.into_iter().max_by(f64::total_cmp);
    let peak = largest(all.iter().map(|memory| memory.peak).collect());
    let now = largest(all.iter().map(|memory| memory.now).collect());
    let readings = [("memory, peak", peak), ("memory, afterwards", now)];
    readings.into_iter().filter_map(|(what, mib)| Some(Reading::new(what, Unit::Mebibytes, mib?))).collect()
}
