//! Real web servers beside nginx, as people run them: what each does with ranges, validators, types
//! and compression. In every case everything is fetched and nothing is spliced from two versions of
//! a file.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::cutting_proxy::CuttingProxy;
use crate::support::gallery::{self, Gallery};
use crate::support::large_png::large_png;
use crate::support::mirror::{GOT, assert_holds_all, collection};
use crate::support::program::{Program, Sandbox};
use crate::support::until;

/// A server: how it is started for a site, with a folder of its own for its files, on a port.
struct Kind {
    start: fn(site: &Path, own: &Path, port: u16) -> Command,
    /// Whether it answers a range with the range, and has a validator that is strong enough to ask
    /// for one.
    resumes: bool,
}

const APACHE: Kind = Kind {
    start: |site, own, port| {
        let (site, folder) = (site.display(), own.display());
        let settings = format!(
            r#"
ServerRoot "{folder}"
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile "{folder}/pid"
ErrorLog "{folder}/errors"
DefaultRuntimeDir "{folder}"
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so
LoadModule deflate_module /usr/lib/apache2/modules/mod_deflate.so
User www-data
Group www-data
TypesConfig /etc/mime.types
DocumentRoot "{site}"
DirectoryIndex index.html
SetOutputFilter DEFLATE
<Directory "{site}">
    Require all granted
</Directory>
"#
        );
        configured("apache2", own, &settings, &["-DFOREGROUND", "-f"])
    },
    resumes: true,
};

const LIGHTTPD: Kind = Kind {
    start: |site, own, port| {
        let (site, folder) = (site.display(), own.display());
        let settings = format!(
            r#"
server.modules = ("mod_deflate")
server.document-root = "{site}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{folder}/errors"
index-file.names = ("index.html")
mimetype.assign = (".html" => "text/html", ".png" => "image/png", ".jpg" => "image/jpeg", "" => "application/octet-stream")
deflate.mimetypes = ("text/", "application/octet-stream")
deflate.allowed-encodings = ("gzip", "deflate")
"#
        );
        configured("lighttpd", own, &settings, &["-D", "-f"])
    },
    resumes: true,
};

const WEBFS: Kind = Kind {
    start: |site, _own, port| {
        let mut command = Command::new("webfsd");
        command.args(["-F", "-i", "127.0.0.1", "-f", "index.html", "-p"]);
        command.arg(port.to_string()).arg("-r").arg(site);
        command
    },
    // It knows ranges, but its one validator is a date, of which two versions of a second are
    // alike.
    resumes: false,
};

const PYTHON: Kind = Kind {
    start: |site, _own, port| {
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
        command.arg(site).arg(port.to_string());
        command
    },
    // It answers every range with the whole file.
    resumes: false,
};

const SERVE: Kind = Kind {
    start: |site, _own, port| {
        let mut command = npm("serve");
        command.args(["--no-clipboard", "--no-port-switching", "-l"]);
        command.arg(format!("tcp://127.0.0.1:{port}")).arg(site);
        command
    },
    resumes: true,
};

const HTTP_SERVER: Kind = Kind {
    start: |site, _own, port| {
        let mut command = npm("http-server");
        command.arg(site).args(["-s", "-a", "127.0.0.1", "-p"]);
        command.arg(port.to_string());
        command
    },
    // Its `ETag` is weak, and it answers with a range regardless of `If-Range`.
    resumes: false,
};

/// A server with its settings in a file of its folder, whose name is the last argument.
fn configured(program: &str, own: &Path, settings: &str, args: &[&str]) -> Command {
    let file = own.join("settings");
    fs::write(&file, settings).expect("a file for the settings");
    let mut command = Command::new(program);
    command.args(args).arg(file);
    command
}

/// A server that `tests/run` installs from npm.
fn npm(name: &str) -> Command {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/npm/node_modules/.bin");
    Command::new(tools.join(name))
}

/// A running server; ended when dropped.
struct Server {
    child: Child,
    port: u16,
    _own: TempDir,
}

impl Server {
    fn start(kind: &Kind, site: &Path) -> Self {
        // The port was free a moment ago; somebody may have been quicker.
        let started = (0..3).find_map(|_| Self::try_start(kind, site));
        started.expect("the server starts and finds a free port")
    }

    fn try_start(kind: &Kind, site: &Path) -> Option<Self> {
        let own = readable_folder();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.expect("a free port").port();
        let mut command = (kind.start)(site, own.path(), port);
        command.env(
            "PATH",
            format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()),
        );
        let output = File::create(own.path().join("output")).expect("a file for its output");
        let also = output.try_clone().expect("a second handle");
        let spawned = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(also)
            .spawn();
        let child =
            spawned.unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it"));
        let mut server = Self {
            child,
            port,
            _own: own,
        };
        let mut ended = false;
        until("the server to listen", || {
            ended = server
                .child
                .try_wait()
                .expect("a child can be asked")
                .is_some();
            (ended || TcpStream::connect(("127.0.0.1", port)).is_ok()).then_some(())
        });
        (!ended).then_some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gently: Apache ends its children then.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A folder that a server which gives up root's rights can read.
fn readable_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    folder
}

/// The length of the image whose connection is cut, in bytes, and where.
const LONG: usize = 3_000_000;
const CUT: usize = 1_500_000;

/// The catalogue's first images, the first of which is long, behind a real server.
struct World {
    site: TempDir,
    gallery: Gallery,
    proxy: CuttingProxy,
    sandbox: Sandbox,
    _server: Server,
}

impl World {
    fn new(kind: &Kind) -> Self {
        let site = readable_folder();
        let gallery = Gallery::lay(site.path(), "", 30);
        let server = Server::start(kind, site.path());
        let mut world = Self {
            site,
            gallery,
            proxy: CuttingProxy::before(server.port),
            sandbox: Sandbox::new(),
            _server: server,
        };
        world.replace(1, Duration::from_secs(7200));
        world
    }

    /// Puts another long image in the place of the first, which was last changed this long ago.
    fn replace(&mut self, seed: u32, ago: Duration) {
        let original = &mut self.gallery.originals[0];
        let image = large_png(seed, LONG);
        let file = gallery::file(self.site.path(), &original.path);
        fs::write(&file, &image).unwrap();
        let changed = SystemTime::now() - ago;
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(changed)
            .unwrap();
        original.hash = blake3::hash(&image);
    }

    fn program(&self) -> Program {
        self.sandbox
            .wallhaul()
            .env("WALLHAUL_RETRY_WAIT", "1ms")
            .env("WALLHAUL_SYNC", "off")
            .args(["fetch", "-d", GOT])
    }

    fn fetch(&self) -> Program {
        self.program().args(["--base-url", &self.proxy.origin()])
    }

    /// Fetches while the connection of the long image is cut in its body; the others are saved.
    fn fetch_cut(&self) {
        self.proxy.cut_after(CUT);
        let ended = self.fetch().args(["-R", "0"]).run();
        self.proxy.cut_after(usize::MAX);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert_eq!(
            collection(&self.sandbox).len(),
            self.gallery.originals.len() - 1
        );
        self.proxy.take_passed();
    }

    /// Fetches what is left; answers with how many bytes the server sent for that.
    fn complete(&self) -> usize {
        let ended = self.fetch().run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_holds_all(&self.sandbox, &self.gallery);
        self.proxy.take_passed()
    }
}

/// A cut image is gone on with where the server allows that, and is whole in any case.
fn holds_after_a_cut(kind: &Kind) {
    let world = World::new(kind);
    world.fetch_cut();
    let sent = world.complete();
    assert_eq!(sent < LONG, kind.resumes, "{sent} bytes were sent");
}

/// An image that was changed between its parts is the new one: neither the old one nor a splice of
/// both.
fn holds_after_a_change(kind: &Kind) {
    let mut world = World::new(kind);
    world.fetch_cut();
    world.replace(2, Duration::from_secs(3600));
    assert!(world.complete() > LONG);
}

/// Images are known by their bytes: servers send newer formats as `application/octet-stream` or
/// `text/plain`.
fn holds_for_new_formats(kind: &Kind) {
    let world = World::new(kind);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/image");
    let mut addresses = Vec::new();
    let mut due = Vec::new();
    for (file, name) in [
        ("avif", "a.avif"),
        ("webp-lossy", "b.webp"),
        ("webp-lossless", "c"),
        ("jpeg", "d.jfif"),
    ] {
        // Two bytes of a corpus file are settings of the fuzz target.
        let bytes = fs::read(corpus.join(file)).unwrap().split_off(2);
        let path: PathBuf = world.site.path().join(name);
        fs::write(path, &bytes).unwrap();
        due.push(blake3::hash(&bytes).to_hex());
        addresses.push(format!("{}/{name}", world.proxy.origin()));
    }
    let ended = world.program().args(&addresses).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut got: Vec<_> = collection(&world.sandbox)
        .into_values()
        .map(|hash| hash.to_hex())
        .collect();
    got.sort_unstable();
    due.sort_unstable();
    assert_eq!(got, due);
}

/// The tests of a server.
macro_rules! server {
    ($module:ident, $kind:expr) => {
        mod $module {
            use super::*;

            #[test]
            fn resumes_a_cut_image_or_fetches_it_whole() {
                holds_after_a_cut(&$kind);
            }

            #[test]
            fn changed_image_is_never_spliced() {
                holds_after_a_change(&$kind);
            }

            #[test]
            fn new_formats_are_taken_whatever_their_content_type() {
                holds_for_new_formats(&$kind);
            }
        }
    };
}

server!(apache, APACHE);
server!(lighttpd, LIGHTTPD);
server!(webfs, WEBFS);
server!(python_http_server, PYTHON);
server!(npm_serve, SERVE);
server!(npm_http_server, HTTP_SERVER);
