//! What a peer shows when it is asked for TLS: a certificate that it was given, or its own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{InconsistentKeys, ServerConfig};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

use super::certificate;
use crate::driver::config::{Config, Protection};
use crate::driver::data_dir::{DataDir, DataDirError, is_for_others, read_small};

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file that was named cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that is no PEM.
    #[error("{path} is not a file of PEM blocks: {why}")]
    NotPem {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: pem::Error,
    },
    /// There is nothing in it that could be shown.
    #[error("there is no certificate in {0}: it needs a block that begins with BEGIN CERTIFICATE")]
    NoCertificate(PathBuf),
    /// There is no key in it.
    #[error(
        "there is no private key in {0}: it needs a block such as BEGIN PRIVATE KEY, without a passphrase"
    )]
    NoKey(PathBuf),
    /// Key and certificate are of different pairs.
    #[error("the key in {key} is not that of the first certificate in {certificate}")]
    KeyMismatch {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
    },
    /// They are in a form that is not spoken.
    #[error("the certificate in {certificate} cannot be used: {why}")]
    Unusable {
        /// Where it is.
        certificate: PathBuf,
        /// Why.
        why: rustls::Error,
    },
    /// A name that no certificate can have.
    #[error("--allow-host {0}: that is no name for a certificate; give a DNS name or an address")]
    Name(String),
    /// The library could not.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

/// TLS, ready to be spoken.
pub(crate) struct Secured {
    /// What accepts connections.
    pub(crate) acceptor: TlsAcceptor,
    /// The certificate's SHA-256, for people to compare.
    pub(crate) fingerprint: String,
}

/// What the person wants TLS to be; nothing if it shall not be spoken.
///
/// # Errors
/// The sentence for the person.
pub(crate) fn secure(
    config: &Config,
    data_dir: &DataDir,
    now_s: u64,
) -> Result<Option<Secured>, TlsError> {
    let shown = match &config.protection {
        Protection::None => return Ok(None),
        Protection::Given { certificate, key } => given(certificate, key)?,
        Protection::Made => {
            let names = certificate::names(config.listen.ip(), &config.allow_hosts)?;
            certificate::kept(data_dir.path(), &names, now_s)?
        }
    };
    let fingerprint = shown.cert.first().map_or_else(String::new, fingerprint);
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites of TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Secured {
        acceptor: TlsAcceptor::from(Arc::new(server)),
        fingerprint,
    }))
}

/// A certificate of the person's own.
fn given(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let shown = pair(certificate, key)?;
    if is_for_others(key) {
        tracing::warn!("{} can be read by everybody on this machine", key.display());
    }
    Ok(shown)
}

/// A certificate with those that lead to its issuer, and its key.
pub(super) fn pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = certificates_in(certificate)?;
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|why| match why {
        pem::Error::NoItemsFound => TlsError::NoKey(key.to_owned()),
        why => TlsError::NotPem {
            path: key.to_owned(),
            why,
        },
    })?;
    CertifiedKey::from_der(chain, secret, &provider()).map_err(|why| match why {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::KeyMismatch {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        },
        why => TlsError::Unusable {
            certificate: certificate.to_owned(),
            why,
        },
    })
}

/// The certificates in a file of PEM blocks, at least one.
pub(crate) fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsError::NoCertificate(path.to_owned())),
        Ok(found) => Ok(found),
        Err(why) => Err(TlsError::NotPem {
            path: path.to_owned(),
            why,
        }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let text = read_small(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.into_bytes())
}

/// The cryptography, said explicitly: which one is the default depends on features of others.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate's SHA-256, written as browsers and openssl write it.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = Sha256::digest(certificate);
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A certificate and its key in files, made for the test.
    fn made(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
        let paths = (
            dir.join(format!("{name}.crt")),
            dir.join(format!("{name}.key")),
        );
        fs::write(&paths.0, pair.cert.pem()).expect("writes");
        fs::write(&paths.1, pair.key_pair.serialize_pem()).expect("writes");
        paths
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_by_name() {
        let scratch = tempfile::tempdir().expect("scratch");
        let dir = scratch.path();
        let (certificate, key) = made(dir, "a");
        let (other, _) = made(dir, "b");
        let none = dir.join("none");
        let empty = dir.join("empty");
        fs::write(&empty, "nothing of interest\n").expect("writes");
        let broken = dir.join("broken");
        fs::write(
            &broken,
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        )
        .expect("writes");
        let says = |certificate: &Path, key: &Path| match given(certificate, key) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(says(&certificate, &key), "");
        for (wrong, word) in [
            (says(&none, &key), "cannot read"),
            (says(&certificate, &none), "cannot read"),
            (says(&empty, &key), "no certificate in"),
            (says(&key, &key), "no certificate in"),
            (says(&certificate, &empty), "no private key in"),
            (says(&certificate, &certificate), "no private key in"),
            (says(&other, &key), "not that of the first certificate"),
            (says(&broken, &key), "not a file of PEM blocks"),
        ] {
            assert!(wrong.contains(word), "{word}: {wrong}");
        }
    }

    #[test]
    fn a_chain_is_shown_whole_and_known_by_its_first() {
        let scratch = tempfile::tempdir().expect("scratch");
        let (certificate, key) = made(scratch.path(), "a");
        let (other, _) = made(scratch.path(), "b");
        let both = scratch.path().join("both");
        let text = |path: &Path| fs::read_to_string(path).expect("reads");
        fs::write(&both, text(&certificate) + &text(&other)).expect("writes");
        let shown = given(&both, &key).expect("fits");
        assert_eq!(shown.cert.len(), 2);
        assert_eq!(
            fingerprint(&shown.cert[0]),
            fingerprint(&certificates_in(&certificate).expect("there")[0])
        );
    }

    #[test]
    fn a_fingerprint_is_32_bytes_with_colons() {
        let text = fingerprint(&CertificateDer::from(b"abc".to_vec()));
        assert!(text.starts_with("BA:78:16:BF:"), "{text}");
        assert_eq!(text.len(), 32 * 3 - 1);
    }
}
