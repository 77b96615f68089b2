//! Runs a program in a sandbox: an environment of `PATH` and `HOME` only, a home and a working
//! folder of its own, an empty stdin, no ignored signals, and a watchdog.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, until};

/// The built program.
pub(crate) const WALLHAUL: &str = env!("CARGO_BIN_EXE_wallhaul");

/// What starts every program: the process that started the tests may ignore signals, as `nohup` and
/// a shell's `&` do, and what is ignored is inherited.
const HEEDING: [&str; 2] = ["env", "--default-signal"];

/// An empty world for one or more programs; gone when dropped.
pub(crate) struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["home", "work", "heard"] {
            fs::create_dir(folder.path().join(name)).expect("a folder in it");
        }
        Self { folder }
    }

    /// The program's `HOME`.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The folder that the program is started in.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The program under test, ready for its arguments.
    pub(crate) fn wallhaul(&self) -> Program {
        self.program(WALLHAUL)
    }

    /// Any other program, such as a shell that sets limits and then starts [`WALLHAUL`].
    pub(crate) fn program(&self, path: &str) -> Program {
        let mut command = Command::new(HEEDING[0]);
        command.args(&HEEDING[1..]).arg(path);
        let search = std::env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", search)
            .env("HOME", self.home());
        command.current_dir(self.work()).stdin(Stdio::null());
        // A group of its own: what it leaves behind can be ended with it.
        command.process_group(0);
        // Files, not pipes: they can be read while it runs, and no grandchild keeps a reader waiting.
        let heard = tempfile::tempdir_in(self.folder.path().join("heard"))
            .expect("a folder for its output")
            .keep();
        let stdout = File::create(heard.join("stdout")).expect("a file for its stdout");
        let stderr = File::create(heard.join("stderr")).expect("a file for its stderr");
        command.stdout(stdout).stderr(stderr);
        Program { command, heard }
    }
}

/// A program about to be started.
pub(crate) struct Program {
    command: Command,
    heard: PathBuf,
}

impl Program {
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Has it run by another program, which these arguments begin with: one that sets limits, or that watches.
    pub(crate) fn under<A: AsRef<OsStr>>(mut self, above: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(HEEDING[0]);
        let own = self.command.get_args().skip(HEEDING.len() - 1);
        command.args(&HEEDING[1..]).args(above).args(own);
        command.env_clear();
        command.envs(
            self.command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command.current_dir(
            self.command
                .get_current_dir()
                .expect("every program gets one"),
        );
        command.process_group(0).stdin(Stdio::null());
        let heard = |name| {
            OpenOptions::new()
                .write(true)
                .open(self.heard.join(name))
                .expect("a file for its output")
        };
        command.stdout(heard("stdout")).stderr(heard("stderr"));
        self.command = command;
        self
    }

    /// Takes a variable from its environment.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Starts it in `folder` instead.
    pub(crate) fn inside(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives it `text` on stdin.
    pub(crate) fn stdin(mut self, text: &str) -> Self {
        let path = self.heard.join("stdin");
        fs::write(&path, text).expect("a file for its stdin");
        self.command
            .stdin(File::open(&path).expect("the file just written"));
        self
    }

    /// Gives it something else for stdout: a closed pipe, a full device. Nothing is heard from there then.
    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Starts it and waits for its end.
    pub(crate) fn run(self) -> ProgramOutput {
        self.start().wait()
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running {
        let Self { mut command, heard } = self;
        let said = format!("{command:?}");
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{said}: {error}"));
        let id = Pid::from_child(&child);
        let (sender, end) = mpsc::channel();
        thread::spawn(move || sender.send(child.wait().expect("a child can be waited for")));
        Running {
            id,
            end,
            over: false,
            said,
            heard,
        }
    }
}

/// A program that was started; ended with its group when dropped before its end.
pub(crate) struct Running {
    id: Pid,
    end: mpsc::Receiver<ExitStatus>,
    over: bool,
    said: String,
    heard: PathBuf,
}

impl Running {
    /// Its process id.
    pub(crate) fn id(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// Sends it `signal`, as `kill` would.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.id, signal).expect("it still runs");
    }

    /// Kills it, unless it has ended by itself.
    pub(crate) fn kill(&self) {
        let _ = kill_process(self.id, Signal::KILL);
    }

    /// Sends it `signal` again and again, as somebody in a hurry does, until it ends.
    pub(crate) fn insist(self, signal: Signal) -> ProgramOutput {
        until("its end", || {
            kill_process(self.id, signal).is_err().then_some(())
        });
        self.wait()
    }

    /// What it has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        read(&self.heard.join("stderr"))
    }

    /// Where what it writes to stdout lies.
    pub(crate) fn stdout_file(&self) -> PathBuf {
        self.heard.join("stdout")
    }

    /// What it has written to stdout so far.
    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout_file())
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it has not ended by itself after a long time; it is ended then.
    pub(crate) fn wait(mut self) -> ProgramOutput {
        let Ok(status) = self.end.recv_timeout(PATIENCE) else {
            panic!(
                "{} did not end within {PATIENCE:?}; its stderr: {}",
                self.said,
                self.stderr()
            );
        };
        self.over = true;
        let (stdout, stderr) = (self.stdout(), self.stderr());
        ProgramOutput {
            code: status.code(),
            signal: status.signal().and_then(Signal::from_named_raw),
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What a program leaves behind at its own end is for a test to see.
        if !self.over {
            let _ = kill_process_group(self.id, Signal::KILL);
        }
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct ProgramOutput {
    /// Its exit code, unless a signal ended it.
    pub(crate) code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<Signal>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl ProgramOutput {
    /// Its stdout read as one JSON object a line.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let objects = self.stdout.lines().map(serde_json::from_str);
        objects
            .collect::<Result<_, _>>()
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// The last of them, in which a run sums up.
    pub(crate) fn sum(&self) -> Value {
        self.objects()
            .pop()
            .unwrap_or_else(|| panic!("it said nothing: {self:?}"))
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("its output can be read")).into_owned()
}

/// The files that lie in `folder` itself, by name; none where it is missing. One that a run moves away meanwhile is none
/// of them.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    let files = paths.filter(|path| path.symlink_metadata().is_ok_and(|found| found.is_file()));
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let read = |path: &Path| match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        read => Some(read.expect("a readable file")),
    };
    files
        .filter_map(|path| Some((name(&path), read(&path)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(world: &Sandbox, script: &str) -> Program {
        world.program("/bin/sh").args(["-c", script])
    }

    #[test]
    fn program_starts_with_an_empty_env_and_folder() {
        let world = Sandbox::new();
        let ended = shell(&world, "env; pwd; cat; echo trouble >&2; exit 7")
            .env("EXTRA", "given")
            .run();
        assert_eq!(
            (ended.code, ended.signal, ended.stderr.as_str()),
            (Some(7), None, "trouble\n")
        );
        let mut said: Vec<&str> = ended.stdout.lines().collect();
        said.retain(|line| {
            !line.starts_with("PATH=") && !line.starts_with("PWD=") && !line.starts_with("_=")
        });
        let home = format!("HOME={}", world.home().display());
        let work = world.work().display().to_string();
        said.sort_unstable();
        let mut expected = ["EXTRA=given", &home, &work];
        expected.sort_unstable();
        assert_eq!(said, expected);
    }

    #[test]
    fn program_does_not_inherit_ignored_signals() {
        let world = Sandbox::new();
        // Which signals are ignored, as bits; those behind the 31st are threads' own business.
        let said = "grep SigIgn: /proc/self/status";
        let ignored = |line: &str| {
            let line = shell(&world, line).run().stdout;
            u64::from_str_radix(line.trim_start_matches("SigIgn:").trim(), 16).unwrap()
                & 0x7fff_ffff
        };
        assert_eq!(ignored(said), 0);
        assert_eq!(ignored(&format!("trap '' HUP INT TERM; {said}")), 0x4003);
        assert_eq!(
            ignored(&format!(
                "trap '' HUP INT TERM; {} {said}",
                HEEDING.join(" ")
            )),
            0
        );
    }

    #[test]
    fn program_can_run_without_home_env_in_another_folder() {
        let world = Sandbox::new();
        let ended = shell(&world, "pwd; echo ${HOME-homeless}")
            .without("HOME")
            .inside("/")
            .run();
        assert_eq!(ended.stdout, "/\nhomeless\n");
    }

    #[test]
    fn program_reads_stdin_and_writes_files() {
        let world = Sandbox::new();
        let program = shell(
            &world,
            "cat > input; mkdir folder; ln -s input link; echo unheard",
        );
        let ended = program.stdin("one\ntwo\n").stdout(Stdio::null()).run();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
        assert_eq!(
            files(&world.work()),
            BTreeMap::from([("input".to_owned(), b"one\ntwo\n".to_vec())])
        );
        assert_eq!(files(&world.work().join("missing")), BTreeMap::new());
    }

    #[test]
    fn running_program_is_read_and_signalled() {
        let world = Sandbox::new();
        let running = shell(
            &world,
            "trap 'echo caught; exit 130' INT; echo ready >&2; while :; do sleep 0.01; done",
        )
        .start();
        until("the trap", || {
            running.stderr().contains("ready").then_some(())
        });
        assert_eq!(running.stdout(), "");
        running.signal(Signal::INT);
        let ended = running.wait();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(130), "caught\n"));
        let running = shell(&world, "exec sleep 600").start();
        running.signal(Signal::KILL);
        assert_eq!(running.wait().signal, Some(Signal::KILL));
    }

    #[test]
    fn dropped_program_is_killed_with_its_children() {
        let world = Sandbox::new();
        let running = shell(&world, "sleep 600 & echo $!; wait").start();
        let child = until("the child", || {
            running.stdout().trim().parse().ok().and_then(Pid::from_raw)
        });
        drop(running);
        until("the child's end", || {
            let state = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            (state.is_empty() || state.contains(") Z ")).then_some(())
        });
    }

    #[test]
    fn program_under_test_is_built() {
        assert!(Path::new(WALLHAUL).is_file());
        let ended = Sandbox::new().wallhaul().args(["--version"]).run();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}
