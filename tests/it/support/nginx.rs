//! A real nginx on a loopback port that serves a folder and logs its requests.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{PATIENCE, until};

/// A running nginx, stopped when dropped.
pub(crate) struct Nginx {
    folder: TempDir,
    child: Child,
    port: u16,
}

/// A request that nginx has answered, or that was broken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As it was written in the request, with its query.
    pub(crate) path: String,
    pub(crate) status: u16,
    /// The header of that name.
    pub(crate) range: Option<String>,
    /// Bytes of the body that were sent.
    pub(crate) sent: u64,
}

impl Request {
    /// Reads a line of the log back.
    fn read(line: &str) -> Option<Self> {
        let [method, path, status, range, sent] = line.split('\t').collect::<Vec<_>>()[..] else {
            return None;
        };
        let range = Some(range).filter(|range| *range != "-").map(str::to_owned);
        let (status, sent) = (status.parse().ok()?, sent.parse().ok()?);
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            status,
            range,
            sent,
        })
    }
}

impl Nginx {
    /// Serves `site`, with `extra` among the settings of the server.
    ///
    /// # Panics
    ///
    /// When nginx is missing or refuses the settings.
    pub(crate) fn serve(site: &Path, extra: &str) -> Self {
        // The port was free a moment ago; somebody may have been quicker.
        (0..3)
            .find_map(|_| Self::start(site, extra))
            .expect("nginx found no free port")
    }

    fn start(site: &Path, extra: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        fs::write(folder.path().join("settings"), settings(site, port, extra))
            .expect("a file for the settings");
        let mut nginx = Command::new("nginx");
        nginx.env(
            "PATH",
            format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()),
        );
        nginx
            .arg("-p")
            .arg(folder.path())
            .args(["-e", "errors", "-c", "settings"]);
        let started = nginx
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = started.unwrap_or_else(|error| panic!("nginx: {error}; tests/run installs it"));
        let mut nginx = Self {
            folder,
            child,
            port,
        };
        // The file with its id is written once it listens.
        until("nginx to listen", || {
            let listens = fs::read(nginx.folder.path().join("id")).is_ok_and(|id| !id.is_empty());
            (listens
                || nginx
                    .child
                    .try_wait()
                    .expect("a child can be asked")
                    .is_some())
            .then_some(())
        });
        let errors = fs::read_to_string(nginx.folder.path().join("errors")).unwrap_or_default();
        let ended = nginx
            .child
            .try_wait()
            .expect("a child can be asked")
            .is_some();
        assert!(
            !ended || errors.contains("Address already in use"),
            "nginx: {errors}"
        );
        (!ended).then_some(nginx)
    }

    /// `http://127.0.0.1:PORT`, as for `--base-url`.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every request so far, in the order of their ends.
    pub(crate) fn requests(&self) -> Vec<Request> {
        // There is one process with one thread: what it answered before this, it has written down.
        self.get("/.settled");
        let log =
            fs::read_to_string(self.folder.path().join("requests")).expect("the log of requests");
        log.lines()
            .map(|line| Request::read(line).expect("a line as the settings have it"))
            .collect()
    }

    /// Forgets what it was asked so far.
    pub(crate) fn forget(&self) {
        self.get("/.settled");
        // It appends to the file, so that it goes on at the new end.
        fs::write(self.folder.path().join("requests"), "").expect("the log of requests");
    }

    /// Asks for `path` in the plainest way: the status, and the body.
    pub(crate) fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.ask(path, "")
    }

    fn ask(&self, path: &str, headers: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("nginx listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time-out that is not zero");
        write!(stream, "GET {path} HTTP/1.0\r\n{headers}\r\n").expect("nginx reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("nginx answers");
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("the end of the headers");
        let status = String::from_utf8_lossy(&answer[9..12])
            .parse()
            .expect("a status");
        (status, answer.split_off(end + 4))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It keeps nothing that a gentler end would save, and overhears that one when it comes at once.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One process that stays in the foreground and writes to its own folder alone, so that it needs no rights.
fn settings(site: &Path, port: u16, extra: &str) -> String {
    let site = site.display();
    format!(
        r#"
daemon off;
master_process off;
pid id;
error_log errors info;
events {{ worker_connections 512; }}
http {{
    types {{ text/html html; image/png png; image/jpeg jpg jpeg; image/gif gif; }}
    default_type application/octet-stream;
    log_format asked '$request_method\t$request_uri\t$status\t$http_range\t$body_bytes_sent';
    access_log requests asked;
    client_body_temp_path temporary;
    proxy_temp_path temporary;
    fastcgi_temp_path temporary;
    uwsgi_temp_path temporary;
    scgi_temp_path temporary;
    server {{
        listen 127.0.0.1:{port};
        root "{site}";
        location / {{ try_files $uri $uri/index.html =404; }}
        location = /.settled {{ access_log off; return 204; }}
        {extra}
    }}
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_serves_a_folder_and_logs_requests() {
        let site = tempfile::tempdir().unwrap();
        fs::create_dir(site.path().join("1")).unwrap();
        fs::write(site.path().join("1/index.html"), "a page").unwrap();
        fs::write(site.path().join("\u{63d2}.png"), "not a picture").unwrap();
        let nginx = Nginx::serve(site.path(), "location /busy { return 503; }");
        nginx.get("/forgotten");
        nginx.forget();
        assert_eq!(nginx.get("/1/?a=%22"), (200, b"a page".to_vec()));
        assert_eq!(
            nginx.get("/%E6%8F%92.png"),
            (200, b"not a picture".to_vec())
        );
        assert_eq!(nginx.get("/busy").0, 503);
        assert_eq!(nginx.get("/2/").0, 404);
        let requests = nginx.requests();
        let asked: Vec<(&str, u16)> = requests
            .iter()
            .map(|request| (&*request.path, request.status))
            .collect();
        assert_eq!(
            asked,
            [
                ("/1/?a=%22", 200),
                ("/%E6%8F%92.png", 200),
                ("/busy", 503),
                ("/2/", 404)
            ]
        );
        assert_eq!(
            (
                requests[0].method.as_str(),
                requests[0].range.as_deref(),
                requests[0].sent
            ),
            ("GET", None, 6)
        );
        assert_eq!(nginx.origin(), format!("http://127.0.0.1:{}", nginx.port));
    }

    #[test]
    fn nginx_serves_a_range_and_logs_it() {
        let site = tempfile::tempdir().unwrap();
        fs::write(site.path().join("a.png"), "0123456789").unwrap();
        let nginx = Nginx::serve(site.path(), "");
        assert_eq!(
            nginx.ask("/a.png", "Range: bytes=6-\r\n"),
            (206, b"6789".to_vec())
        );
        let range = Some("bytes=6-".to_owned());
        let request = Request {
            method: "GET".into(),
            path: "/a.png".into(),
            status: 206,
            range,
            sent: 4,
        };
        assert_eq!(nginx.requests(), [request]);
    }

    #[test]
    fn nginx_stops_when_dropped() {
        let site = tempfile::tempdir().unwrap();
        let nginx = Nginx::serve(site.path(), "");
        let port = nginx.port;
        drop(nginx);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
