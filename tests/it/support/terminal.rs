//! Runs a program in a real terminal: a tmux server of its own, whose screen can be read and typed
//! at.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::program::Sandbox;
use super::until;

/// Starts a program and, once it ended, writes its exit code where a title goes: behind all that it wrote itself.
/// Stays then, as tmux may lose the last words of one that leaves.
const STARTER: &str =
    r#"trap : INT QUIT; "$@"; printf '\033]2;ended %s\007' $?; exec sleep infinity"#;

/// A terminal with one program in it; both are ended when it is dropped.
pub(crate) struct Terminal {
    socket: PathBuf,
    _folder: TempDir,
}

impl Terminal {
    /// Starts `line` (a program and its arguments) in a terminal of that many columns and rows.
    pub(crate) fn open(world: &Sandbox, (columns, rows): (u16, u16), line: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("socket");
        // All rows are the program's.
        std::fs::write(folder.path().join("settings"), "set -g status off\n")
            .expect("a file in it");
        let mut tmux = tmux(&socket);
        tmux.arg("-f")
            .arg(folder.path().join("settings"))
            .args(["-u", "new-session", "-d"]);
        tmux.args(["-x", &columns.to_string(), "-y", &rows.to_string()]);
        tmux.env("HOME", world.home()).arg("-c").arg(world.work());
        said(
            tmux.args(["--", "/bin/sh", "-c", STARTER, "starter"])
                .args(line),
        );
        Self {
            socket,
            _folder: folder,
        }
    }

    /// What stands on the screen, without what follows the last word of a line.
    pub(crate) fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// The screen and everything that was scrolled off it.
    pub(crate) fn scrolled(&self) -> String {
        self.ask(&["capture-pane", "-p", "-S", "-"])
    }

    /// The screen with the escape sequences that colour it.
    pub(crate) fn coloured(&self) -> String {
        self.ask(&["capture-pane", "-p", "-e"])
    }

    /// Keeps in `file` every byte that comes to the terminal from now on, as it came.
    pub(crate) fn record(&self, file: &Path) {
        self.ask(&["pipe-pane", &format!("exec cat > '{}'", file.display())]);
    }

    /// Waits until the screen shows what `shows` looks for, and returns that screen.
    pub(crate) fn until(&self, what: &str, shows: impl Fn(&str) -> bool) -> String {
        until(what, || Some(self.screen()).filter(|screen| shows(screen)))
    }

    /// Types keys by tmux's names: `C-c`, `Enter`, `q`.
    pub(crate) fn press(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, (columns, rows): (u16, u16)) {
        self.ask(&[
            "resize-window",
            "-x",
            &columns.to_string(),
            "-y",
            &rows.to_string(),
        ]);
    }

    /// Whether the cursor can be seen.
    pub(crate) fn shows_cursor(&self) -> bool {
        self.ask(&["display-message", "-p", "#{cursor_flag}"])
            .trim()
            == "1"
    }

    /// Waits for the program's end: its exit code as a shell has it, 128 and more for a signal.
    pub(crate) fn ended(&self) -> i32 {
        until("the program's end", || {
            let title = self.ask(&["display-message", "-p", "#{pane_title}"]);
            title.trim_end().strip_prefix("ended ")?.parse().ok()
        })
    }

    fn ask(&self, question: &[&str]) -> String {
        said(tmux(&self.socket).args(question))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tmux(&self.socket).arg("kill-server").output();
    }
}

fn tmux(socket: &Path) -> Command {
    let mut tmux = Command::new("tmux");
    tmux.env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    tmux.env("LANG", "C.UTF-8")
        .env("TERM", "xterm-256color")
        .arg("-S")
        .arg(socket)
        .stdin(Stdio::null());
    tmux
}

fn said(tmux: &mut Command) -> String {
    let output = tmux
        .output()
        .unwrap_or_else(|error| panic!("tmux: {error}; tests/run installs it"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tmux:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(world: &Sandbox, size: (u16, u16), script: &str) -> Terminal {
        Terminal::open(world, size, &["/bin/sh", "-c", script])
    }

    #[test]
    fn terminal_has_the_requested_size() {
        let world = Sandbox::new();
        let terminal = shell(
            &world,
            (60, 12),
            "stty size; test -t 2 && echo a terminal; printf 'in %s\\n' \"$PWD\"; exit 3",
        );
        assert_eq!(terminal.ended(), 3);
        let screen = terminal.screen();
        assert!(terminal.shows_cursor());
        let lines: Vec<&str> = screen.lines().collect();
        assert_eq!(lines[..2], ["12 60", "a terminal"]);
        assert!(
            screen
                .replace('\n', "")
                .contains(&format!("in {}", world.work().display())),
            "{screen}"
        );
    }

    #[test]
    fn terminal_sends_keys_and_signals() {
        let world = Sandbox::new();
        let terminal = shell(
            &world,
            (40, 8),
            "echo ready; read word; echo \"heard $word\"; exec sleep 600",
        );
        terminal.until("the program's start", |screen| screen.contains("ready"));
        terminal.press(&["hello", "Enter"]);
        terminal.until("the answer", |screen| screen.contains("heard hello"));
        terminal.press(&["C-c"]);
        assert_eq!(terminal.ended(), 130);
    }

    #[test]
    fn terminal_shows_text_scrollback_and_color() {
        let world = Sandbox::new();
        let script =
            "for n in 1 2 3 4 5 6; do echo line $n; done; printf '\\033[31mred\\033[0m\\033[?25l'";
        let terminal = shell(&world, (40, 4), script);
        assert_eq!(terminal.ended(), 0);
        assert!(
            terminal.scrolled().starts_with("line 1\n") && !terminal.screen().contains("line 1\n")
        );
        assert!(terminal.coloured().contains("\u{1b}[31mred"));
        assert!(!terminal.shows_cursor());
    }

    #[test]
    fn terminal_resize_is_signalled() {
        let world = Sandbox::new();
        let terminal = shell(
            &world,
            (40, 8),
            "trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done",
        );
        terminal.until("the program's start", |screen| screen.contains("ready"));
        terminal.resize((50, 10));
        terminal.until("the new size", |screen| screen.contains("10 50"));
    }
}
