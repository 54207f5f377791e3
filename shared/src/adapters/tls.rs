//! Whom this software trusts at the far end of a connection: the certificate authorities of
//! Mozilla's list, compiled in, and those of a file where the deployment names one.
//!
//! Reading the system's bundle takes longer than all else that happens before the first call, so it
//! is not read. The list ages with the binary: it is renewed by a build with a newer
//! `webpki-roots`.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Why there is no TLS; the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of further authorities does not read.
    #[error(
        "EXTRA_CA_CERTS must be the path of a readable file of certificates in PEM form, of at \
         least one authority and nothing else; {0}"
    )]
    ExtraCerts(&'static str),
    /// The cryptography has none of the protocol versions, which no input decides.
    #[error("TLS does not start: {0}")]
    Start(#[from] rustls::Error),
}

/// TLS 1.3 and 1.2 with the hybrid post-quantum key exchange first.
///
/// `extra_ca_certs` is the path of a PEM file with the certificates of further authorities, as of a
/// proxy that inspects TLS.
pub fn client_config(extra_ca_certs: Option<&str>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(path) = extra_ca_certs.filter(|path| !path.trim().is_empty()) {
        let file = CertificateDer::pem_file_iter(path)
            .map_err(|_| TlsError::ExtraCerts("the file is not readable"))?;
        let before = roots.len();
        for certificate in file {
            let certificate =
                certificate.map_err(|_| TlsError::ExtraCerts("the file is not PEM"))?;
            roots
                .add(certificate)
                .map_err(|_| TlsError::ExtraCerts("a certificate is no authority's"))?;
        }
        if roots.len() == before {
            return Err(TlsError::ExtraCerts("the file has no certificate"));
        }
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}
