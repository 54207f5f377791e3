//! TLS in front of any plain server, with certificates of an authority of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ProtocolVersion, ServerConfig};

/// A certificate authority that nobody knows yet.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a server shows for itself.
#[derive(Clone, Copy, Debug)]
pub enum Certificate {
    /// For 127.0.0.1, and valid.
    Own,
    OfAnotherHost,
    /// For 127.0.0.1, and valid until yesterday.
    Expired,
}

impl Authority {
    /// Makes one of that name.
    pub fn new(name: &str) -> Self {
        let mut authority = named(Vec::new(), name);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate in PEM form, for clients to trust.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// What a server needs to show a certificate of this authority.
    pub fn certify(&self, certificate: Certificate) -> Arc<ServerConfig> {
        let host = if matches!(certificate, Certificate::OfAnotherHost) {
            "other.example"
        } else {
            "127.0.0.1"
        };
        // OpenSSL takes a certificate whose issuer has its own name for a self-signed one.
        let mut own = named(vec![host.to_owned()], "a server");
        own.use_authority_key_identifier_extension = true;
        if matches!(certificate, Certificate::Expired) {
            own.not_after = (SystemTime::now() - Duration::from_secs(86_400)).into();
        }
        let key = KeyPair::generate().unwrap();
        let chain = vec![own.signed_by(&key, &self.0).unwrap().der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }
}

fn named(hosts: Vec<String>, name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// What client and server agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The protocol's version.
    pub version: Option<ProtocolVersion>,
    /// The key exchange's name, as in `X25519MLKEM768`.
    pub key_exchange: String,
}

/// Takes TLS connections and passes what they carry on to a plain server. Stops on drop.
pub struct TlsFront {
    base: String,
    agreed: Arc<Mutex<Vec<Agreed>>>,
    task: JoinHandle<()>,
}

impl TlsFront {
    /// Listens on a free port of 127.0.0.1, before the server at `to`.
    pub async fn start(config: Arc<ServerConfig>, to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let agreed: Arc<Mutex<Vec<Agreed>>> = Arc::default();
        let (acceptor, noted) = (TlsAcceptor::from(config), Arc::clone(&agreed));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
                tokio::spawn(async move {
                    // A client that does not trust us goes away, and its own error says so.
                    let Ok(mut secured) = acceptor.accept(stream).await else {
                        return;
                    };
                    let session = secured.get_ref().1;
                    let key_exchange = session
                        .negotiated_key_exchange_group()
                        .map(|group| format!("{:?}", group.name()));
                    noted.lock().unwrap().push(Agreed {
                        version: session.protocol_version(),
                        key_exchange: key_exchange.unwrap_or_default(),
                    });
                    if let Ok(mut plain) = TcpStream::connect(to).await {
                        let _ = copy_bidirectional(&mut secured, &mut plain).await;
                    }
                });
            }
        });
        Self { base, agreed, task }
    }

    /// Where it listens.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What was agreed on, connection by connection.
    pub fn agreed(&self) -> Vec<Agreed> {
        self.agreed.lock().unwrap().clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}
