//! Watching what is served: drift of every version, throughput of every station, health.
//!
//! On the request path there is a [`tap::VersionTap`] per version: it counts values over the reference's grid and hands
//! the outcome over a bounded channel that never blocks. Everything slow is done by one thread, [`hub`]: panes are
//! sealed, judged and kept, references learned. What it finds is published as one immutable [`report::MonitorReport`],
//! which metrics, HTTP and people read.

mod alerts;
mod budget;
mod clock;
mod config;
mod health;
mod hub;
mod keep;
mod note;
mod quality;
pub mod report;
mod stations;
mod tap;
mod watched;
mod webhook;

pub use config::{
    HealthLimits, MonitorConfig, MonitorSettings, QualitySettings, RawMonitorSettings, RawWebhook, WebhookSettings,
};
pub use hub::{MonitorHub, WatchRequest};
pub use tap::{ObservedRow, Placed, VersionTap};
pub use webhook::WebhookReport;
