//! Asks providers: small documents, within a bounded time, over TLS that the machine's own roots
//! vouch for, and without being led anywhere else.

use std::sync::OnceLock;
use std::time::Duration;

use rustls::RootCertStore;
use sync_protocol::IssuerKey;
use ureq::Agent;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};

use super::discovery::{DiscoveryError, Document, document_url, read_document, read_keys};
use crate::driver::https::{Trust, connector};

/// How long an answer may take, name, connection and body together.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Bytes of a document. Those of the largest providers have a few thousand.
const DOCUMENT_BYTES_MAX: u64 = 64 << 10;

/// What an issuer says of itself.
///
/// # Errors
/// [`DiscoveryError`], for a person to read.
pub(crate) fn document(issuer: &str) -> Result<Document, DiscoveryError> {
    let url = document_url(issuer)?;
    read_document(issuer, &url, &get(&url)?)
}

/// An issuer's keys of today, by ascending id. Asks twice; waits for the answers.
///
/// # Errors
/// [`DiscoveryError`], for a person to read.
pub(crate) fn keys(issuer: &str) -> Result<Vec<IssuerKey>, DiscoveryError> {
    let url = document(issuer)?.jwks_uri;
    read_keys(&url, &get(&url)?)
}

/// Changes a code for an ID token at the provider's token endpoint.
///
/// # Errors
/// [`DiscoveryError`], for a person to read.
pub(crate) fn post_form(url: &str, form: &[(&str, &str)]) -> Result<String, DiscoveryError> {
    let sent = agent(url)?
        .post(url)
        .header("accept", "application/json")
        .send_form(form.iter().copied());
    body(url, sent, |status| {
        status.is_success() || status.as_u16() == 400
    })
}

fn get(url: &str) -> Result<String, DiscoveryError> {
    let sent = agent(url)?
        .get(url)
        .header("accept", "application/json")
        .call();
    // A redirect is an answer that is none: nobody is led elsewhere.
    body(url, sent, |status| status.is_success())
}

fn body(
    url: &str,
    sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    wanted: impl Fn(ureq::http::StatusCode) -> bool,
) -> Result<String, DiscoveryError> {
    let unreachable = |why: String| DiscoveryError::Unreachable {
        url: url.to_owned(),
        why,
    };
    let mut response = sent.map_err(|error| unreachable(error.to_string()))?;
    if !wanted(response.status()) {
        return Err(unreachable(format!("it answers {}", response.status())));
    }
    let limited = response.body_mut().with_config().limit(DOCUMENT_BYTES_MAX);
    limited
        .read_to_string()
        .map_err(|error| unreachable(error.to_string()))
}

fn agent(url: &str) -> Result<Agent, DiscoveryError> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(ANSWER_WAIT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build();
    if !url.starts_with("https://") {
        return Ok(config.into());
    }
    let tls = connector(Trust::Roots(roots())).map_err(|error| DiscoveryError::Unreachable {
        url: url.to_owned(),
        why: format!("this machine has no certificates to believe it by ({error})"),
    })?;
    let connector = TcpConnector::default().chain(tls);
    Ok(Agent::with_parts(
        config,
        connector,
        DefaultResolver::default(),
    ))
}

/// Those that this machine believes, read once.
fn roots() -> RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS
        .get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        })
        .clone()
}
