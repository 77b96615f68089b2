//! The recipes of `docs/hooks.md`, run as they stand there with the real programs, on images and names that go wrong
//! where a recipe is careless.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::nginx::Nginx;
use crate::support::program::{ProgramOutput, Sandbox, WALLHAUL, files};

/// The collection's folder, below the working folder.
const GOT: &str = "got";

/// Names as they stand in an address: `%d` and `%s`, a frame, a coder's prefix, quotes, globs, a shell's words, an
/// option.
const NAMES: [&str; 6] = [
    "50%25d%20off%25s",
    "a%5B0%5D",
    "png%3Ab",
    "it's%20%22x%22%60id%60$(id)",
    "what%3F*%5B",
    "-resize",
];

/// The lines of the section that start the program.
fn recipes() -> Vec<String> {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hooks.md")).unwrap();
    let section = text
        .split("\n## ")
        .find(|section| section.starts_with("Recipes\n"));
    let lines = section.expect("a section `Recipes`").lines();
    let lines: Vec<_> = lines
        .filter(|line| line.starts_with("wallhaul "))
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), 4, "each recipe has a test here: {lines:?}");
    lines
}

fn recipe(program: &str) -> String {
    let found = recipes().into_iter().find(|line| line.contains(program));
    found.unwrap_or_else(|| panic!("no recipe for {program}"))
}

/// Runs a program of `ImageMagick`.
fn magick(program: &str, folder: &Path, args: &[&str], stdin: Stdio) -> String {
    let made = Command::new(program)
        .current_dir(folder)
        .args(args)
        .stdin(stdin)
        .output();
    let made = made.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    assert!(made.status.success(), "{program}: {made:?}");
    String::from_utf8(made.stdout).unwrap()
}

/// Red images of 60 x 40 pixels: a still one under each name, an animation whose second frame is blue, and a photograph
/// that its EXIF data turn by 90 degrees.
fn images(site: &Path) -> Vec<String> {
    let convert = |args: &[&str]| magick("convert", site, args, Stdio::null());
    convert(&["-size", "60x40", "xc:red", "still.png"]);
    convert(&[
        "-delay",
        "10",
        "-size",
        "60x40",
        "xc:red",
        "xc:blue",
        "moving.gif",
    ]);
    convert(&["-size", "60x40", "xc:red", "plain.jpg"]);
    let plain = fs::read(site.join("plain.jpg")).unwrap();
    // TIFF, big-endian, one entry: orientation (0x112), a short, 6.
    let exif =
        b"\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    fs::write(
        site.join("turned.jpg"),
        [&plain[..2], exif, &plain[2..]].concat(),
    )
    .unwrap();
    for (number, name) in NAMES.iter().enumerate() {
        let plain = percent_encoding::percent_decode_str(name)
            .decode_utf8()
            .unwrap();
        // Each is another image, or all but one would be duplicates.
        let mut bytes = fs::read(site.join("still.png")).unwrap();
        bytes.extend(number.to_string().bytes());
        fs::write(site.join(format!("{plain}.png")), bytes).unwrap();
    }
    let names = NAMES.iter().map(|name| format!("{name}.png"));
    names
        .chain(["moving.gif".to_owned(), "turned.jpg".to_owned()])
        .collect()
}

/// Runs a line of the document in a shell, on these images.
fn run(world: &Sandbox, line: &str, display: Option<&str>) -> ProgramOutput {
    let site = tempfile::tempdir().unwrap();
    let names = images(site.path());
    let nginx = Nginx::serve(site.path(), "");
    let list: Vec<_> = names
        .iter()
        .map(|name| format!("{}/{name}\n", nginx.origin()))
        .collect();
    fs::write(world.work().join("list"), list.concat()).unwrap();
    let own = Path::new(WALLHAUL).parent().unwrap().to_str().unwrap();
    let path = format!("{own}:{}", std::env::var("PATH").unwrap());
    let mut program = world
        .program("sh")
        .args(["-c", line])
        .env("PATH", path)
        .env("WALLHAUL_INPUT_FILE", "list")
        .env("WALLHAUL_DIRECTORY", GOT);
    if let Some(display) = display {
        program = program.env("DISPLAY", display);
    }
    let ended = program.run();
    assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    ended
}

/// Runs a recipe that makes a file in `folder` for each image, and checks what became of each: its format, the size of
/// the upright image, one frame, red.
fn makes(program: &str, folder: &str, format: &str, sizes: [&str; 2]) {
    let world = Sandbox::new();
    fs::create_dir(world.work().join(folder)).unwrap();
    run(&world, &recipe(program), None);
    let got = files(&world.work().join(GOT));
    let made = files(&world.work().join(folder));
    assert_eq!(got.len(), NAMES.len() + 2, "{:?}", got.keys());
    let extension = format.to_lowercase().replace("jpeg", "jpg");
    for name in got.keys() {
        let file = format!("{name}.{extension}");
        assert!(
            made.contains_key(&file),
            "{program}: no `{file}` among {:?}",
            made.keys()
        );
        let file = File::open(world.work().join(folder).join(file)).unwrap();
        let shown = magick(
            "identify",
            &world.work(),
            &["-format", "%m %wx%h %n", "-"],
            file.into(),
        );
        let size = sizes[usize::from(name.contains("turned"))];
        assert_eq!(shown, format!("{format} {size} 1"), "{program}: {name}");
    }
    assert_eq!(made.len(), got.len(), "{program}: {:?}", made.keys());
    let first = fs::read_dir(world.work()).unwrap().count();
    assert_eq!(
        first, 3,
        "{program}: the list, the collection, what was made"
    );
    let file = File::open(
        world
            .work()
            .join(folder)
            .join(format!("moving.gif.{extension}")),
    )
    .unwrap();
    let color = magick(
        "convert",
        &world.work(),
        &["-", "-format", "%[fx:r>0.9&&b<0.1]", "info:"],
        file.into(),
    );
    assert_eq!(color, "1", "{program}: the first frame is red");
}

#[test]
fn exec_recipe_with_convert_makes_thumbs_of_any_name_turned_or_animated() {
    makes("-resize", "thumbs", "JPEG", ["640x427", "640x960"]);
}

#[test]
fn exec_recipe_with_vipsthumbnail_makes_thumbs_of_any_name_turned_or_animated() {
    makes("vipsthumbnail", "thumbs", "JPEG", ["640x427", "640x960"]);
}

#[test]
fn exec_recipe_with_cwebp_makes_webp_files_of_any_name_turned_or_animated() {
    makes("cwebp", "webp", "WEBP", ["60x40", "40x60"]);
}

/// A display without a screen; ended when dropped.
struct Xvfb {
    child: Child,
    display: String,
}

impl Xvfb {
    fn start() -> Self {
        // It chooses a free number and prints it once it is ready.
        let started = Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "320x240x24",
                "-nolisten",
                "tcp",
                "-noreset",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child =
            started.unwrap_or_else(|error| panic!("Xvfb: {error}; tests/run installs it"));
        let mut number = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut number)
            .expect("its number");
        let display = format!(":{}", number.trim());
        Self { child, display }
    }
}

impl Drop for Xvfb {
    fn drop(&mut self) {
        // Gently: it removes its socket and lock file then.
        let id = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn exec_recipe_with_feh_shows_the_image_on_the_desktop() {
    let (world, screen) = (Sandbox::new(), Xvfb::start());
    run(&world, &recipe("feh"), Some(&screen.display));
    assert_eq!(files(&world.work().join(GOT)).len(), 1);
    let shot = ["-display", &screen.display, "-window", "root", "shot.png"];
    magick("import", &world.work(), &shot, Stdio::null());
    let color = [
        "shot.png",
        "-format",
        "%[fx:mean.r>0.9&&mean.b<0.1]",
        "info:",
    ];
    assert_eq!(magick("convert", &world.work(), &color, Stdio::null()), "1");
}
