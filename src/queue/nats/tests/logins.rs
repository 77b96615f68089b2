//! Who may connect, and how safely.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::super::server::{NEW, Server};
use super::{broker, events, options};
use crate::queue::{Broker, Login, QueueError, coordinate};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/nats")
        .join(name)
}

async fn try_broker(broker: &Broker) -> Result<(), QueueError> {
    let (events, _seen) = events();
    coordinate(broker, &options(1), &events).await.map(|_| ())
}

async fn log_in(server: &Server, login: Login) -> Result<(), QueueError> {
    let mut broker = broker(&server.url());
    broker.login = login;
    try_broker(&broker).await
}

fn password(password: &str) -> Login {
    Login::Password {
        user: "ann".to_owned(),
        password: password.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_or_token_opens_the_broker_and_a_wrong_secret_is_not_shown() {
    let users = Server::with_config(NEW, "authorization { user: ann, password: \"s3 cret/\" }");
    log_in(&users, password("s3 cret/")).await.unwrap();
    let token = Server::with_config(NEW, "authorization { token: \"t0ken\" }");
    log_in(&token, Login::Token("t0ken".to_owned()))
        .await
        .unwrap();
    for (server, login) in [
        (&users, password("wr0ng")),
        (&users, Login::Anonymous),
        (&token, Login::Token("wr0ng".to_owned())),
    ] {
        let error = log_in(server, login).await.unwrap_err();
        let url = server.url();
        let due = format!("connecting to the queue `{url}`: the broker refuses this login");
        assert_eq!(error.to_string(), due);
        assert!(matches!(error, QueueError::Broker { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nkey_opens_the_broker_and_a_missing_or_strange_file_is_named() {
    let key = std::fs::read_to_string(fixture("nkey.pub")).unwrap();
    let config = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", key.trim());
    let server = Server::with_config(NEW, &config);
    log_in(&server, Login::Nkey(fixture("nkey.seed")))
        .await
        .unwrap();
    for (login, word) in [
        (
            Login::Nkey(fixture("none.seed")),
            "none.seed`: No such file",
        ),
        (
            Login::Nkey(fixture("nkey.pub")),
            "nkey.pub` holds no nkey's seed",
        ),
        (
            Login::Credentials(fixture("none.creds")),
            "none.creds`: No such file",
        ),
        (
            Login::Credentials(fixture("nkey.pub")),
            "nkey.pub` is no credentials file",
        ),
    ] {
        let error = log_in(&server, login).await.unwrap_err();
        assert!(matches!(error, QueueError::BadBroker { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credentials_file_opens_the_broker() {
    let operator = std::fs::read_to_string(fixture("operator.conf")).unwrap();
    let server = Server::with_config(NEW, &operator);
    log_in(&server, Login::Credentials(fixture("user.creds")))
        .await
        .unwrap();
    let error = log_in(&server, Login::Anonymous).await.unwrap_err();
    assert!(
        error.to_string().ends_with("the broker refuses this login"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_an_error_that_says_so() {
    let mut server = Server::start(NEW);
    server.kill();
    let error = try_broker(&broker(&server.url())).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    let error = try_broker(&broker("nats:nothing")).await.unwrap_err();
    assert!(matches!(error, QueueError::BadBroker { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_jetstream_is_an_error_that_says_so() {
    let server = Server::with_whole_config(NEW, "listen: \"LISTEN\"", &[]);
    let error = try_broker(&broker(&server.url())).await.unwrap_err();
    assert!(error.to_string().contains("it has no JetStream"), "{error}");
}

struct Certificates {
    ca: String,
    certificate: String,
    key: String,
}

fn certificates() -> Certificates {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    Certificates {
        ca: authority.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

fn tls_server(more: &str) -> Server {
    let Certificates {
        ca,
        certificate,
        key,
    } = certificates();
    let config = format!(
        "listen: \"LISTEN\"\njetstream {{ store_dir: \"FOLDER/store\" }}\n\
         tls {{ cert_file: \"FOLDER/server.pem\", key_file: \"FOLDER/server.key\"{more} }}"
    );
    let files = [
        ("ca.pem", ca.as_str()),
        ("server.pem", certificate.as_str()),
        ("server.key", key.as_str()),
    ];
    Server::with_whole_config(NEW, &config, &files)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_our_own_authority_opens_the_broker_and_another_is_refused() {
    let server = tls_server("");
    let mut ours = broker(&server.url().replace("nats:", "tls:"));
    ours.ca = Some(server.folder().join("ca.pem"));
    try_broker(&ours).await.unwrap();
    ours.ca = None;
    let error = try_broker(&ours).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    for (file, word) in [
        ("none.pem", "none.pem`: No such file"),
        ("server.key", "server.key` holds no CERTIFICATE in PEM"),
    ] {
        ours.ca = Some(server.folder().join(file));
        let error = try_broker(&ours).await.unwrap_err();
        assert!(matches!(error, QueueError::BadBroker { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_client_certificates_open_a_broker_that_asks_for_them() {
    let server = tls_server(", ca_file: \"FOLDER/ca.pem\", verify: true");
    let mut ours = broker(&server.url());
    ours.ca = Some(server.folder().join("ca.pem"));
    assert!(try_broker(&ours).await.is_err());
    let file = |name| server.folder().join(name);
    ours.client_certificate = Some((file("server.pem"), file("server.key")));
    try_broker(&ours).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_tls_is_refused_unless_it_is_on_this_machine_or_insecure() {
    let server = Server::start(NEW);
    try_broker(&broker(&format!("nats://localhost:{}", server.port())))
        .await
        .unwrap();
    // A name of this machine that does not say so; the address is the same.
    let mut away = broker(&format!("nats://0.0.0.0:{}", server.port()));
    let error = try_broker(&away).await.unwrap_err();
    assert!(matches!(error, QueueError::BadBroker { .. }), "{error}");
    assert!(
        error.to_string().contains("the broker offers no TLS"),
        "{error}"
    );
    away.insecure = true;
    try_broker(&away).await.unwrap();
    let mut with_ca = broker(&server.url());
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, certificates().ca).unwrap();
    with_ca.ca = Some(ca);
    let error = try_broker(&with_ca).await.unwrap_err();
    assert!(
        error.to_string().contains("the broker offers no TLS"),
        "{error}"
    );
}
