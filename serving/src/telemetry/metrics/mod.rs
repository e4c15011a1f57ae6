//! Prometheus metrics, made at each scrape from the counters that the server keeps anyway: Triton's names where the
//! meaning is the same, so that existing dashboards work, and `takt_` for the rest.
//!
//! Counters belong to a loaded version. One that is loaded again begins at zero, which Prometheus takes for the restart
//! that it is. Labels are bounded by what is in the repository; no request is ever a label.

mod device;
mod families;
mod monitor;
mod quality;
mod rollout;
mod version;

use std::sync::Arc;

use prometheus::TextEncoder;

use self::families::Families;
use super::device::Device;
use super::gpu::Gpus;
use super::process;
use crate::core::Core;
use crate::protocol::in_flight::InFlightBytes;
use crate::registry::index::VersionState;
use crate::registry::load::Stage;
use crate::registry::version::ServedVersion;
use crate::request::VersionRef;

/// What can be scraped.
pub struct Metrics {
    core: Arc<Core>,
    in_flight: Arc<InFlightBytes>,
    device: Device,
    gpus: Gpus,
}

impl Metrics {
    /// Metrics of that server.
    #[must_use]
    pub fn new(core: Arc<Core>, in_flight: Arc<InFlightBytes>) -> Self {
        Self { core, in_flight, device: Device::default(), gpus: Gpus::default() }
    }

    /// Everything, in Prometheus' text format 0.0.4.
    ///
    /// # Errors
    /// A family that cannot be written.
    pub fn expose(&self) -> Result<String, prometheus::Error> {
        let snapshot = self.core.table().snapshot();
        let versions: Vec<&ServedVersion> =
            snapshot.values().flat_map(|model| model.versions.values().map(AsRef::as_ref)).collect();
        let mut families = Families::default();
        version::requests(&mut families, &versions);
        version::durations(&mut families, &versions);
        version::batches(&mut families, &versions);
        version::outcomes(&mut families, &versions);
        version::identity(&mut families, &versions);
        monitor::drift(&mut families, &self.core.monitor().report());
        quality::quality(&mut families, &self.core.monitor().report().quality);
        monitor::stations(&mut families, self.core.monitor());
        rollout::rollouts(&mut families, &self.core.rollouts().reports());
        self.models(&mut families);
        self.server(&mut families);
        device::device(&mut families, &self.device);
        device::gpus(&mut families, &self.gpus.read());
        TextEncoder::new().encode_to_string(&families.finish())
    }

    fn models(&self, families: &mut Families) {
        let mut ready = families.gauge("takt_model_ready", "Whether a version in the repository answers requests");
        for entry in self.core.index(false) {
            let version = entry.version.map(|number| number.to_string()).unwrap_or_default();
            let answers = entry.state == VersionState::Ready
                && self.core.is_model_ready(&entry.model, entry.version.map(VersionRef::Number));
            ready.sample(&[("model", &entry.model), ("version", &version)], f64::from(u8::from(answers)));
        }
        let counts = self.core.registry().counts();
        families.counter("takt_loads_total", "Versions loaded").sample(&[], counts.loaded() as f64);
        let mut failures = families.counter("takt_load_failures_total", "Loads that failed, by stage");
        for stage in Stage::ALL {
            failures.sample(&[("stage", stage.label())], counts.failed(stage) as f64);
        }
    }

    fn server(&self, families: &mut Families) {
        families
            .gauge("takt_in_flight_bytes", "Bytes of requests being received, queued or run")
            .sample(&[], self.in_flight.used() as f64);
        let mut resident = families.gauge("takt_process_resident_bytes", "Resident memory of the serving process");
        if let Some(bytes) = takt_backend::memory::resident() {
            resident.sample(&[], bytes as f64);
        }
        families
            .counter("takt_process_cpu_seconds_total", "Processor time of the serving process, user and system")
            .sample(&[], process::cpu_time().as_secs_f64());
        families
            .gauge("takt_build_info", "1, with the version of the server")
            .sample(&[("version", self.core.version())], 1.0);
    }
}

#[cfg(test)]
mod tests;
