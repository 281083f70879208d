//! What is counted of certificates.

use crate::terminator::Terminator;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// The families of certificates in a registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    expiry: IntGaugeVec,
    reloads: IntCounterVec,
}

impl Metrics {
    /// Makes the families and registers them.
    ///
    /// # Errors
    /// When the registry holds families of these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            expiry: IntGaugeVec::new(
                Opts::new(
                    "antifreeze_tls_certificate_expiry_timestamp_seconds",
                    "Until when a certificate is valid, in seconds since 1970.",
                ),
                &["listener", "name"],
            )?,
            reloads: IntCounterVec::new(
                Opts::new(
                    "antifreeze_tls_reloads_total",
                    "How often a listener's certificates were read again.",
                ),
                &["outcome"],
            )?,
        };
        registry.register(Box::new(metrics.expiry.clone()))?;
        registry.register(Box::new(metrics.reloads.clone()))?;
        Ok(metrics)
    }

    /// Notes until when a listener's certificates are valid; of several with one first name, the one that ends first.
    pub(crate) fn note(&self, listener: &str, terminator: &Terminator) {
        let certificates = terminator.certificates();
        let name = |number: usize| certificates[number].names.first().map_or("", String::as_str);
        for number in 0..certificates.len() {
            let same = certificates.iter().enumerate().filter(|(other, _)| name(*other) == name(number));
            let first = same.map(|(_, certificate)| certificate.expiry().as_secs()).min().unwrap_or_default();
            let gauge = self.expiry.with_label_values(&[listener, name(number)]);
            gauge.set(i64::try_from(first).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn count_reload(&self, outcome: &'static str) {
        self.reloads.with_label_values(&[outcome]).inc();
    }
}
