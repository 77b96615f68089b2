//! Roots of trust: the system's, those of the user, and those built in where a machine has none.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use crate::fetch::error::FetchError;

/// Judges servers by their certificates. The system's roots are read at the first handshake, not before:
/// a run over plain http needs none.
#[derive(Debug)]
pub(crate) struct Roots {
    provider: Arc<CryptoProvider>,
    further: Vec<CertificateDer<'static>>,
    judge: OnceLock<Result<Arc<dyn ServerCertVerifier>, Error>>,
}

impl Roots {
    /// The system's roots, and those of the PEM files in `further`; these are read now.
    pub(crate) fn new<P: AsRef<Path>>(
        provider: Arc<CryptoProvider>,
        further: &[P],
    ) -> Result<Self, FetchError> {
        let mut certificates = Vec::new();
        for file in further {
            let file = file.as_ref();
            let of_file = read(file).map_err(|reason| {
                let what = format!("certificate file `{}`", file.display());
                FetchError::Setting { what, reason }
            })?;
            certificates.extend(of_file);
        }
        Ok(Self {
            provider,
            further: certificates,
            judge: OnceLock::new(),
        })
    }

    fn judge(&self) -> Result<&Arc<dyn ServerCertVerifier>, Error> {
        self.judge
            .get_or_init(|| self.of_the_system().or_else(|_none| self.built_in()))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Fails where the system has no roots at all.
    fn of_the_system(&self) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let alone = Verifier::new(Arc::clone(&self.provider))?;
        if self.further.is_empty() {
            return Ok(Arc::new(alone));
        }
        Ok(Arc::new(Verifier::new_with_extra_roots(
            self.further.clone(),
            Arc::clone(&self.provider),
        )?))
    }

    fn built_in(&self) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(TLS_SERVER_ROOT_CERTS.iter().chain(&self.further).cloned());
        let judge =
            WebPkiServerVerifier::builder_with_provider(store.into(), Arc::clone(&self.provider))
                .build();
        Ok(judge.map_err(|error| Error::General(error.to_string()))?)
    }
}

impl ServerCertVerifier for Roots {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self
            .judge()?
            .verify_server_cert(certificate, between, name, ocsp, now)
        {
            // A self-signed certificate that says it is an authority: one that the user named stands for itself
            // too. Its dates were looked at before this was said, its name was not.
            Err(error) if is_own_root(&error) && self.further.contains(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
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

/// Whether a server was refused because its certificate is a root itself.
pub(crate) fn is_own_root(error: &Error) -> bool {
    // The crate that says so is not one of ours to name.
    format!("{error:?}").contains("CaUsedAsEndEntity")
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = fs::read(file).map_err(|error| error.to_string())?;
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| error.to_string())?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err(
            "no certificate in it; it must be in PEM form (`-----BEGIN CERTIFICATE-----`)"
                .to_owned(),
        );
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::crypto::ring;
    use rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::fetch::scripted::{Reply, Server, image, settings};
    use crate::fetch::{FetchSettings, Fetcher, SiteOrigins};

    /// What a certificate is made for: names, and whether it is an authority.
    fn parameters(names: &[&str], is_ca: IsCa) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.is_ca = is_ca;
        parameters
    }

    const AUTHORITY: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

    async fn set_concurrency(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Server {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(ring::default_provider().into());
        let config = config
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let config = config.with_single_cert(chain, key).unwrap();
        Server::start_tls(TlsAcceptor::from(Arc::new(config)), |_| Reply::ok("safe")).await
    }

    async fn self_signed(parameters: CertificateParams) -> (Server, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        (
            set_concurrency(vec![certificate.der().clone()], &key).await,
            certificate.pem(),
        )
    }

    /// Asks `server`, trusting what stands in `pem` as well.
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

    fn reason(error: FetchError) -> String {
        let FetchError::Tls { reason, .. } = error else {
            panic!("{error}")
        };
        reason
    }

    #[tokio::test]
    async fn a_self_signed_server_is_refused_and_the_reason_named() {
        for (is_ca, said) in [
            (AUTHORITY, "is self-signed"),
            (IsCa::NoCa, "signed by nobody we trust"),
        ] {
            let (server, _) = self_signed(parameters(&["127.0.0.1"], is_ca)).await;
            let error = image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap_err();
            assert!(reason(error).contains(said), "{said}");
        }
    }

    #[tokio::test]
    async fn a_self_signed_server_is_trusted_when_the_user_names_its_certificate() {
        for is_ca in [AUTHORITY, IsCa::NoCa] {
            let (server, pem) = self_signed(parameters(&["127.0.0.1"], is_ca)).await;
            assert_eq!(ask(&server, &pem).await.unwrap(), b"safe");
        }
    }

    #[tokio::test]
    async fn a_server_is_trusted_when_the_user_names_its_authority() {
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(parameters(&[], AUTHORITY), key).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(&["127.0.0.1"], IsCa::NoCa)
            .signed_by(&key, &authority)
            .unwrap();
        let server = set_concurrency(vec![certificate.der().clone()], &key).await;
        assert_eq!(ask(&server, &authority.pem()).await.unwrap(), b"safe");
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_or_another_time_is_refused_though_the_user_names_it() {
        for is_ca in [AUTHORITY, IsCa::NoCa] {
            let (server, pem) = self_signed(parameters(&["other.test"], is_ca)).await;
            assert!(reason(ask(&server, &pem).await.unwrap_err()).contains("another name"));

            let mut past = parameters(&["127.0.0.1"], is_ca);
            past.not_after = rcgen::date_time_ymd(2001, 1, 1);
            let (server, pem) = self_signed(past).await;
            assert!(reason(ask(&server, &pem).await.unwrap_err()).contains("expired"));
        }
    }

    #[tokio::test]
    async fn a_redirect_to_https_is_followed_and_the_certificate_checked() {
        let (server, _) = self_signed(parameters(&["127.0.0.1"], IsCa::NoCa)).await;
        let there = server.url("/there.png");
        let plain = Server::start(move |_| Reply::to(there.as_str())).await;
        let named = vec![plain.url("/"), server.url("/")];
        let premises = SiteOrigins {
            pages: plain.url("/"),
            images: plain.url("/"),
            hosts: Vec::new(),
            named,
        };
        let checking = Fetcher::new(&settings(), &premises, None).unwrap();
        assert!(
            reason(image(&checking, &plain.url("/a.png")).await.unwrap_err())
                .contains("nobody we trust")
        );
        let trusting = FetchSettings {
            insecure: true,
            ..settings()
        };
        let trusting = Fetcher::new(&trusting, &premises, None).unwrap();
        assert_eq!(
            image(&trusting, &plain.url("/a.png")).await.unwrap(),
            b"safe"
        );
    }

    #[tokio::test]
    async fn whoever_wants_no_check_gets_none() {
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
    fn the_built_in_roots_are_enough_to_start_with() {
        let roots = Roots::new::<PathBuf>(ring::default_provider().into(), &[]).unwrap();
        assert!(roots.built_in().is_ok());
    }

    #[test]
    fn a_certificate_file_that_is_none_is_named() {
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
            let error = Roots::new(ring::default_provider().into(), &[file]).unwrap_err();
            assert!(
                matches!(&error, FetchError::Setting { what, .. } if what.contains(name)),
                "{error}"
            );
        }
    }
}
