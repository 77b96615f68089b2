//! The connection that carries a response: plain or TLS, with a valid or an invalid certificate.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::net::TcpSocket;

use super::request::Asked;

/// What a server shows for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificate {
    /// A certificate for `localhost` and the gallery, signed by an authority of its own.
    Valid,
    /// The same without an authority: nobody signed it but itself.
    SelfSigned,
    /// Signed, for another name.
    WrongName,
    /// Signed, and long out of date.
    Expired,
}

/// A server's papers, ready for use.
pub(super) struct Tls {
    config: Arc<ServerConfig>,
    /// The authority's certificate.
    authority: String,
}

/// A connection.
pub(super) enum Connection {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    TornDown,
}

impl Tls {
    pub(super) fn with(papers: Certificate) -> Self {
        let key = || KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Under the same name as its certificates nobody could tell who signed them.
        authority
            .distinguished_name
            .push(DnType::CommonName, "an authority");
        let authority = CertifiedIssuer::self_signed(authority, key()).expect("an authority");
        let names: &[_] = match papers {
            Certificate::Valid => &[
                "localhost",
                "simpledesktops.com",
                "static.simpledesktops.com",
            ],
            Certificate::WrongName => &["elsewhere.test"],
            Certificate::SelfSigned | Certificate::Expired => &["localhost"],
        };
        let mut own = CertificateParams::new(
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>(),
        )
        .expect("names");
        if papers == Certificate::Expired {
            (own.not_before, own.not_after) =
                (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        }
        let key = key();
        let certificate = match papers {
            Certificate::SelfSigned => own.self_signed(&key),
            Certificate::Valid | Certificate::WrongName | Certificate::Expired => {
                own.signed_by(&key, &authority)
            }
        };
        let chain = vec![certificate.expect("a certificate").der().clone()];
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions that ring has")
                .with_no_client_auth()
                .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
                .expect("a key of its certificate");
        Self {
            config: Arc::new(config),
            authority: authority.pem(),
        }
    }

    /// Writes the authority's certificate where `--ca-certificate` can read it.
    pub(super) fn keep_authority(&self, file: &Path) {
        std::fs::write(file, &self.authority).expect("a file for the certificate");
    }

    pub(super) fn wrap(&self, stream: TcpStream) -> Connection {
        let connection = ServerConnection::new(Arc::clone(&self.config))
            .expect("a configuration that can be used");
        Connection::Tls(Box::new(StreamOwned::new(connection, stream)))
    }
}

impl Connection {
    /// Reads a request; `None` when the other side leaves instead.
    pub(super) fn request(&mut self) -> io::Result<Option<Asked>> {
        let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
        while !head.ends_with(b"\r\n\r\n") {
            match self.read(&mut buffer)? {
                0 => return Ok(None),
                read => head.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(Some(Asked::read(&String::from_utf8_lossy(&head))))
    }

    /// Ends the connection with an RST.
    pub(super) fn tear_down(&mut self) -> io::Result<()> {
        let stream = match std::mem::replace(self, Self::TornDown) {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => tls.sock,
            Self::TornDown => return Ok(()),
        };
        // The standard library cannot set this yet. Dropping it closes it.
        TcpSocket::from_std_stream(stream).set_zero_linger()
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
            Self::TornDown => Ok(0),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
            Self::TornDown => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(tls) => tls.flush(),
            Self::TornDown => Ok(()),
        }
    }
}
