//! Servers on loopback ports, over plain TCP or TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use axum::Router;
use axum::serve::{Listener, ListenerExt};
use stand_ins::tls::{Authority, Certificate};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// Connections that may wait to be served.
const BACKLOG: usize = 64;

/// Serves an app on a free loopback port until the process ends; gives its address. Every
/// connection that is made is told.
pub(crate) async fn serve(
    app: Router,
    tls: Option<Arc<ServerConfig>>,
    connected: impl Fn() + Send + Sync + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    match tls {
        None => {
            let listener = listener.tap_io(move |stream| {
                connected();
                let _ = stream.set_nodelay(true);
            });
            tokio::spawn(async move { axum::serve(listener, app).await });
        }
        Some(config) => {
            let listener = Handshakes::begin(listener, address, TlsAcceptor::from(config));
            let listener = listener.tap_io(move |_| connected());
            tokio::spawn(async move { axum::serve(listener, app).await });
        }
    }
    Ok(address)
}

/// Connections whose TLS handshake is done. Each shakes hands in a task of its own, so that one
/// does not wait for another.
struct Handshakes {
    address: SocketAddr,
    done: mpsc::Receiver<TlsStream<TcpStream>>,
}

impl Handshakes {
    fn begin(listener: TcpListener, address: SocketAddr, acceptor: TlsAcceptor) -> Self {
        let (sender, done) = mpsc::channel(BACKLOG);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    // A client that does not trust us goes away, and its own error says so.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = sender.send(stream).await;
                    }
                });
            }
        });
        Self { address, done }
    }
}

impl Listener for Handshakes {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.done.recv().await {
            Some(stream) => (stream, self.address),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

/// Makes a certificate authority and a certificate for 127.0.0.1, writes the authority's into a PEM
/// file for clients to trust, and gives what a server needs.
///
/// # Errors
/// Says that the file could not be written.
pub(crate) fn tls(ca_file: &Path) -> Result<Arc<ServerConfig>, String> {
    let authority = Authority::new("benchmark authority");
    let written = fs::write(ca_file, authority.pem());
    written.map_err(|error| format!("no TLS for the stand-ins: {}: {error}", ca_file.display()))?;
    Ok(authority.certify(Certificate::Own))
}
