//! A listener that takes only TLS connections of clients with a certificate. Handshakes run side by side: one that hangs
//! keeps nobody waiting.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Who the node is, and who may ask it.
pub struct Identity {
    /// PEM, as are the others.
    pub certificate: String,
    pub key: String,
    pub client_authority: String,
}

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Something is not PEM.
    #[error("{what} can't be read as PEM: {source}")]
    Pem {
        /// Which field of the configuration.
        what: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// Certificate and key don't fit, or are of a kind that nobody knows.
    #[error("the serving certificate and its key can't be used: {0}")]
    Certificate(#[from] rustls::Error),
    /// The authority of the clients can't be used.
    #[error("client_ca_pem can't be used: {0}")]
    Clients(#[from] VerifierBuilderError),
    /// There is no port.
    #[error("can't listen on loopback: {0}")]
    Listen(#[from] io::Error),
}

/// Hands out connections after their handshake.
pub struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// The identity can't be used, or there is no port.
    pub async fn bind(identity: &Identity) -> Result<Self, TlsError> {
        let acceptor = TlsAcceptor::from(Arc::new(configuration(identity)?));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(16);
        tokio::spawn(async move {
            tokio::select! {
                () = accept(listener, acceptor, sender.clone()) => {}
                () = sender.closed() => {}
            }
        });
        Ok(Self { address, ready })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Such as too many open files, which passes.
                tracing::warn!(%error, "can't accept a connection");
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                // Nobody waits any more when the server ends.
                Ok(Ok(stream)) => drop(ready.send((stream, peer)).await),
                Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS"),
                Err(_) => tracing::debug!(%peer, "no TLS in time"),
            }
        });
    }
}

fn configuration(identity: &Identity) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut clients = RootCertStore::empty();
    for certificate in certificates("client_ca_pem", &identity.client_authority)? {
        clients.add(certificate)?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider)).build()?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
        .map_err(|source| TlsError::Pem { what: "serving_key_pem", source })?;
    let chain = certificates("serving_certificate_pem", &identity.certificate)?;
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key)?)
}

fn certificates(what: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what, source })
}
