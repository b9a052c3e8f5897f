//! The certificate that a peer makes for itself, signed with its own key, and keeps: whoever has
//! compared its fingerprint once finds the same one at the next start.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;

use super::tls::{TlsError, pair, provider};
use crate::driver::data_dir::{protect, write_whole};

/// The certificate in the data directory.
pub(crate) const CERTIFICATE: &str = "tls.crt";

/// Its key.
const KEY: &str = "tls.key";

const DAY_S: u64 = 86_400;

/// How long a certificate is good. Some systems take none that is good for longer than 825 days.
const GOOD_S: u64 = 730 * DAY_S;

/// It is made anew at a start when it is good for less than this.
const RENEWED_BEFORE_S: u64 = 30 * DAY_S;

/// It is good from a day before it is made, for clients whose clocks are behind.
const BEFORE_S: u64 = DAY_S;

/// The names under which clients reach a peer that listens here.
///
/// # Errors
/// [`TlsError::Name`].
pub(super) fn names(listen: IpAddr, hosts: &[String]) -> Result<BTreeSet<String>, TlsError> {
    let mut names = BTreeSet::from([
        "localhost".to_owned(),
        Ipv4Addr::LOCALHOST.to_string(),
        Ipv6Addr::LOCALHOST.to_string(),
    ]);
    // All addresses of a machine are no name of it; those that are meant are given with --allow-host.
    if !listen.is_unspecified() {
        names.insert(listen.to_string());
    }
    for host in hosts {
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let name = bare.unwrap_or(host).to_ascii_lowercase();
        ServerName::try_from(name.as_str()).map_err(|_| TlsError::Name(host.clone()))?;
        names.insert(name);
    }
    Ok(names)
}

/// The certificate in this directory, if it is there, is good for a while and for all of these
/// names; else a new one, which is there from now on.
pub(super) fn kept(
    dir: &Path,
    names: &BTreeSet<String>,
    now_s: u64,
) -> Result<CertifiedKey, TlsError> {
    let (certificate, key) = (dir.join(CERTIFICATE), dir.join(KEY));
    let why = if certificate.exists() {
        match pair(&certificate, &key) {
            Ok(found) => match unfit(&found, names, now_s) {
                None => {
                    protect(&key)?;
                    return Ok(found);
                }
                Some(why) => why,
            },
            // Half a pair is what a crash leaves.
            Err(error) => error.to_string(),
        }
    } else {
        "there was none".to_owned()
    };
    make(&certificate, &key, names, now_s)?;
    tracing::info!("a new certificate was made: {why}");
    pair(&certificate, &key)
}

/// Why a certificate cannot be shown any more, asked as a client asks that trusts it: for each name,
/// now and as long from now as it shall last.
fn unfit(found: &CertifiedKey, names: &BTreeSet<String>, now_s: u64) -> Option<String> {
    for (at, why) in [
        (now_s, "the old one is not good"),
        (now_s + RENEWED_BEFORE_S, "the old one ends soon"),
    ] {
        for name in names {
            if let Err(error) = believed(found, name, at) {
                return Some(format!("{why} ({name}: {error})"));
            }
        }
    }
    None
}

/// Whether a client that trusts nothing else believes it.
fn believed(found: &CertifiedKey, name: &str, at_s: u64) -> Result<(), rustls::Error> {
    use rustls::client::danger::ServerCertVerifier;

    let certificate: &CertificateDer<'_> = found.end_entity_cert()?;
    let name =
        ServerName::try_from(name).map_err(|_| rustls::Error::General("not a name".to_owned()))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at_s));
    verifier
        .verify_server_cert(certificate, &[], &name, &[], at)
        .map(|_| ())
}

/// Makes a pair and writes it down.
fn make(
    certificate: &Path,
    key: &Path,
    names: &BTreeSet<String>,
    now_s: u64,
) -> Result<(), TlsError> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let names: Vec<String> = names.iter().cloned().collect();
    let mut wanted = CertificateParams::new(names)?;
    wanted.not_before = epoch + Duration::from_secs(now_s.saturating_sub(BEFORE_S));
    wanted.not_after = epoch + Duration::from_secs(now_s + GOOD_S);
    wanted.distinguished_name = rcgen::DistinguishedName::new();
    wanted
        .distinguished_name
        .push(DnType::CommonName, "Tombolo peer");
    wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let secret = KeyPair::generate()?;
    let made = wanted.self_signed(&secret)?;
    write_whole(key, 0o600, secret.serialize_pem().as_bytes())?;
    write_whole(certificate, 0o600, made.pem().as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    fn of(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_loopback_the_address_and_what_the_person_says() {
        let hosts = ["Peer.example.com".to_owned(), "[2001:db8::1]".to_owned()];
        let found = names("192.0.2.1".parse().expect("address"), &hosts).expect("fine");
        let wanted = of(&[
            "localhost",
            "127.0.0.1",
            "::1",
            "192.0.2.1",
            "peer.example.com",
            "2001:db8::1",
        ]);
        assert_eq!(found, wanted);
        let found = names("0.0.0.0".parse().expect("address"), &[]).expect("fine");
        assert_eq!(found, of(&["localhost", "127.0.0.1", "::1"]));
        let wrong = names(Ipv4Addr::LOCALHOST.into(), &["a b".to_owned()]);
        assert!(matches!(wrong, Err(TlsError::Name(name)) if name == "a b"));
    }

    #[test]
    fn it_stays_until_it_is_about_to_end_or_a_name_is_new() {
        let scratch = tempfile::tempdir().expect("scratch");
        let dir = scratch.path();
        let shown = |names: &[&str], now_s: u64| {
            let pair = kept(dir, &of(names), now_s).expect("made or kept");
            pair.cert[0].to_vec()
        };
        let first = shown(&["localhost", "192.0.2.1"], NOW_S);
        assert_eq!(shown(&["localhost", "192.0.2.1"], NOW_S + 1), first);
        assert_eq!(shown(&["localhost"], NOW_S), first, "more names do no harm");
        let last = NOW_S + GOOD_S - RENEWED_BEFORE_S;
        assert_eq!(shown(&["localhost"], last - 1), first);
        let named = shown(&["localhost", "a.example.com"], NOW_S);
        assert_ne!(named, first);
        let renewed = shown(&["localhost"], last + 1);
        assert_ne!(renewed, named);
        let back = shown(&["localhost"], NOW_S);
        assert_ne!(back, renewed, "one that is not good yet is no use");
    }

    #[test]
    fn what_a_crash_left_is_made_anew_and_a_key_that_others_could_read_is_protected() {
        let scratch = tempfile::tempdir().expect("scratch");
        let dir = scratch.path();
        let names = of(&["localhost"]);
        let first = kept(dir, &names, NOW_S).expect("made");
        let mode = |name: &str| fs::metadata(dir.join(name)).expect("there").mode() & 0o777;
        assert_eq!((mode(KEY), mode(CERTIFICATE)), (0o600, 0o600));
        fs::set_permissions(dir.join(KEY), Permissions::from_mode(0o644)).expect("set");
        let again = kept(dir, &names, NOW_S).expect("kept");
        assert_eq!(again.cert, first.cert);
        assert_eq!(mode(KEY), 0o600);
        fs::remove_file(dir.join(KEY)).expect("removes");
        let without_key = kept(dir, &names, NOW_S).expect("made anew");
        assert_ne!(without_key.cert, first.cert);
        fs::write(dir.join(CERTIFICATE), "garbage").expect("writes");
        let damaged = kept(dir, &names, NOW_S).expect("made anew");
        assert_ne!(damaged.cert, without_key.cert);
        assert_eq!(kept(dir, &names, NOW_S).expect("kept").cert, damaged.cert);
    }
}
