//! TLS: certificates are verified against the system's roots and the user's, or against built-in
//! roots where the system has none.

use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use crate::fetch::error::SettingError;
use crate::user_path;

/// Verifies the certificates of servers.
#[derive(Debug)]
pub(crate) struct CertificateVerifier {
    provider: Arc<CryptoProvider>,
    user_roots: Vec<CertificateDer<'static>>,
    /// Built at the first handshake: reading the system's roots takes a while, and a run over plain
    /// http needs none.
    verifier: OnceLock<Result<Arc<dyn ServerCertVerifier>, Error>>,
}

impl CertificateVerifier {
    /// Trusts the system's roots, and those of the PEM files in `ca_certificates`; these files are
    /// read now.
    pub(crate) fn new<P: AsRef<Path>>(
        provider: Arc<CryptoProvider>,
        ca_certificates: &[P],
    ) -> Result<Self, SettingError> {
        let mut user_roots = Vec::new();
        for file in ca_certificates {
            let file = file.as_ref();
            let certificates = read_pem(file).map_err(|reason| SettingError {
                setting: format!("certificate file `{}`", file.display()),
                reason,
            })?;
            user_roots.extend(certificates);
        }
        Ok(Self {
            provider,
            user_roots,
            verifier: OnceLock::new(),
        })
    }

    fn verifier(&self) -> Result<&Arc<dyn ServerCertVerifier>, Error> {
        self.verifier
            .get_or_init(|| self.system().or_else(|_none| self.built_in()))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Fails if the system has no roots at all.
    fn system(&self) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let system = Verifier::new(Arc::clone(&self.provider))?;
        if self.user_roots.is_empty() {
            return Ok(Arc::new(system));
        }
        Ok(Arc::new(Verifier::new_with_extra_roots(
            self.user_roots.clone(),
            Arc::clone(&self.provider),
        )?))
    }

    fn built_in(&self) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(
            TLS_SERVER_ROOT_CERTS
                .iter()
                .chain(&self.user_roots)
                .cloned(),
        );
        let verifier =
            WebPkiServerVerifier::builder_with_provider(store.into(), Arc::clone(&self.provider))
                .build();
        Ok(verifier.map_err(|error| Error::General(error.to_string()))?)
    }
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.verifier()?
                .verify_server_cert(certificate, intermediates, name, ocsp, now);
        match verified {
            // A self-signed certificate that is marked as a CA, which is what many tools make, is
            // refused as a server's own. If the user named that very certificate, it is trusted all
            // the same. webpki checks the dates before it gives this error, and the name after; so
            // the name is left to us.
            Err(error) if is_ca_used_as_server(&error) && self.user_roots.contains(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Accepts every certificate (`--insecure`).
///
/// Signatures of the handshake are accepted too, as reqwest does: by the key of a certificate that
/// nobody has checked they prove nothing, and webpki reads no certificate of version 1, which old
/// devices have.
#[derive(Debug)]
pub(crate) struct AnyCertificate {
    schemes: Vec<SignatureScheme>,
}

impl AnyCertificate {
    pub(crate) fn new(provider: &CryptoProvider) -> Self {
        let mut schemes = provider
            .signature_verification_algorithms
            .supported_schemes();
        // No signature is computed, so a server may use one that the provider does not know.
        schemes.extend([
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED448,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::RSA_PKCS1_SHA1,
        ]);
        Self { schemes }
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// Whether a server's certificate was refused because it is marked as a CA. rustls has no variant
/// for that and wraps webpki's error instead; should the two versions of webpki ever differ, the
/// downcast finds nothing and the tests below fail.
pub(super) fn is_ca_used_as_server(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(wrapped)) = error else {
        return false;
    };
    matches!(
        wrapped.0.downcast_ref(),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}

fn read_pem(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut pem = Vec::new();
    user_path::open(file)
        .and_then(|mut file| file.read_to_end(&mut pem))
        .map_err(|error| error.to_string())?;
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| error.to_string())?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err("it has no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)".to_owned());
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::crypto::ring;
    use rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::fetch::scripted::{Reply, Server, image, settings};
    use crate::fetch::{
        FetchError, FetchErrorKind, FetchSettings, Fetcher, SiteOrigins, TlsFailure,
    };

    /// What a certificate is made for: names, and whether it is an authority.
    fn parameters(names: &[&str], is_ca: IsCa) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.is_ca = is_ca;
        parameters
    }

    const AUTHORITY: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

    async fn tls_server(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Server {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(ring::default_provider().into());
        let config = config
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let config = config.with_single_cert(chain, key).unwrap();
        // The direct client alone reads a head with two blanks in its status line.
        let head = "HTTP/1.1  200 OK\r\nContent-Length: 4\r\n\r\nsafe";
        Server::start_tls(TlsAcceptor::from(Arc::new(config)), move |_| {
            Reply::raw(head)
        })
        .await
    }

    async fn self_signed(parameters: CertificateParams) -> (Server, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        (
            tls_server(vec![certificate.der().clone()], &key).await,
            certificate.pem(),
        )
    }

    /// Asks `server`, trusting the certificates in `pem` as well.
    async fn ask(server: &Server, pem: &str) -> Result<Vec<u8>, FetchError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root.pem");
        fs::write(&file, pem).unwrap();
        let settings = FetchSettings {
            ca_certificates: vec![file],
            ..settings()
        };
        image(&server.fetcher_with(&settings), &server.url("/a.png")).await
    }

    fn tls_failure(error: &FetchError) -> TlsFailure {
        let FetchErrorKind::Tls(failure) = error.kind() else {
            panic!("{error}")
        };
        failure.clone()
    }

    #[tokio::test]
    async fn idle_connection_returned_during_a_handshake_is_used_before_the_new_one() {
        let (server, _) = self_signed(parameters(&["127.0.0.1"], AUTHORITY)).await;
        let insecure = FetchSettings {
            insecure: true,
            ..settings()
        };
        let (fetcher, address) = (server.fetcher_with(&insecure), server.url("/a.png"));
        let image = || fetcher.image(&address, None);
        let (first, second) = (image().await.unwrap(), image().await.unwrap());
        // The handshake takes some turns, in which both connections become idle.
        let (third, first, second) = tokio::join!(image(), first.collect(9), second.collect(9));
        assert_eq!(
            (first.unwrap(), second.unwrap()),
            (b"safe".to_vec(), b"safe".to_vec())
        );
        assert_eq!(server.requests_by_connection(), [1, 2, 0]);
        // The new one is there for others meanwhile, and is their last choice.
        assert_eq!(fetcher.idle_connections(), 2);
        let fourth = image().await.unwrap();
        assert_eq!(server.requests_by_connection(), [2, 2, 0]);
        let fifth = image().await.unwrap();
        assert_eq!(server.requests_by_connection(), [2, 2, 1]);
        drop((third, fourth, fifth));
    }

    #[tokio::test]
    async fn tls_certificate_of_unknown_issuer_is_refused() {
        for (is_ca, failure) in [
            (AUTHORITY, TlsFailure::SelfSigned),
            (IsCa::NoCa, TlsFailure::UnknownIssuer),
        ] {
            let (server, _) = self_signed(parameters(&["127.0.0.1"], is_ca)).await;
            let error = image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap_err();
            assert_eq!(tls_failure(&error), failure);
        }
    }

    #[tokio::test]
    async fn tls_self_signed_certificate_is_trusted_if_the_user_names_it() {
        for is_ca in [AUTHORITY, IsCa::NoCa] {
            let (server, pem) = self_signed(parameters(&["127.0.0.1"], is_ca)).await;
            assert_eq!(ask(&server, &pem).await.unwrap(), b"safe");
        }
    }

    #[tokio::test]
    async fn tls_certificate_is_trusted_if_the_user_names_its_authority() {
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(parameters(&[], AUTHORITY), key).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(&["127.0.0.1"], IsCa::NoCa)
            .signed_by(&key, &authority)
            .unwrap();
        let server = tls_server(vec![certificate.der().clone()], &key).await;
        assert_eq!(ask(&server, &authority.pem()).await.unwrap(), b"safe");
    }

    #[tokio::test]
    async fn tls_certificate_for_another_name_or_expired_is_refused_even_if_the_user_names_it() {
        for is_ca in [AUTHORITY, IsCa::NoCa] {
            let (server, pem) = self_signed(parameters(&["other.test"], is_ca)).await;
            let error = ask(&server, &pem).await.unwrap_err();
            assert_eq!(tls_failure(&error), TlsFailure::WrongName);

            let mut past = parameters(&["127.0.0.1"], is_ca);
            past.not_after = rcgen::date_time_ymd(2001, 1, 1);
            let (server, pem) = self_signed(past).await;
            let error = ask(&server, &pem).await.unwrap_err();
            assert_eq!(tls_failure(&error), TlsFailure::Expired);
        }
    }

    #[tokio::test]
    async fn tls_certificate_is_checked_after_a_redirect_to_https() {
        let (server, _) = self_signed(parameters(&["127.0.0.1"], IsCa::NoCa)).await;
        let there = server.url("/there.png");
        let plain = Server::start(move |_| Reply::to(there.as_str())).await;
        let named = vec![plain.url("/"), server.url("/")];
        let site = SiteOrigins {
            pages: plain.url("/"),
            images: plain.url("/"),
            hosts: Vec::new(),
            named,
        };
        let checking = Fetcher::new(&settings(), &site, None).unwrap();
        let error = image(&checking, &plain.url("/a.png")).await.unwrap_err();
        assert_eq!(tls_failure(&error), TlsFailure::UnknownIssuer);
        let trusting = FetchSettings {
            insecure: true,
            ..settings()
        };
        let trusting = Fetcher::new(&trusting, &site, None).unwrap();
        assert_eq!(
            image(&trusting, &plain.url("/a.png")).await.unwrap(),
            b"safe"
        );
    }

    #[tokio::test]
    async fn tls_certificate_is_not_checked_with_insecure() {
        let (server, _) = self_signed(parameters(&["other.test"], AUTHORITY)).await;
        let fetcher = server.fetcher_with(&FetchSettings {
            insecure: true,
            ..settings()
        });
        assert_eq!(
            image(&fetcher, &server.url("/a.png")).await.unwrap(),
            b"safe"
        );
    }

    #[test]
    fn tls_verifier_can_be_built_from_the_built_in_roots() {
        let roots =
            CertificateVerifier::new::<PathBuf>(ring::default_provider().into(), &[]).unwrap();
        assert!(roots.built_in().is_ok());
    }

    #[test]
    fn an_invalid_ca_certificate_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (name, text) in [
            ("absent.pem", None),
            ("empty.pem", Some("")),
            ("broken.pem", Some(broken)),
        ] {
            let file = folder.path().join(name);
            if let Some(text) = text {
                fs::write(&file, text).unwrap();
            }
            let error =
                CertificateVerifier::new(ring::default_provider().into(), &[file]).unwrap_err();
            assert!(error.setting.contains(name), "{error}");
        }
    }
}
