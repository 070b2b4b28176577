//! What the exit code says.

use std::path::Path;
use std::process::{Command, Output};

fn kinetograph(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kinetograph")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn refused(arguments: &[&str], name: &str) {
    let output = kinetograph(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
    assert!(said(&output).contains(name), "{arguments:?}: {}", said(&output));
}

#[cfg(feature = "ingest")]
#[test]
fn a_wrong_value_is_a_wrong_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (hosts, wrong) = (file("hosts", "127.0.0.1:1\n127.0.0.1:2\n"), file("wrong", "here\n"));
    let missing = dir.path().join("missing").display().to_string();
    let state = dir.path().join("state").display().to_string();
    let run = ["run", "test://?frames=20", "--batch", "--no-train", "--state", &state];
    for (more, name) in [
        (&["--set", "engine.lanes=3", "--hostfile", &hosts, "--process", "0"][..], "engine.lanes"),
        (&["--hostfile", &hosts, "--process", "2"], "--process 2"),
        (&["--hostfile", &wrong, "--process", "0"], "line 1"),
        (&["--hostfile", &missing, "--process", "0"], "missing"),
        (&["--set", "engine.lanes=0"], "engine.lanes"),
    ] {
        refused(&[&run, more].concat(), name);
    }
    for init in ["foo:1", "0,1,2,3", "0,1,2,0,4", "0,1,2,3,nan", "a,1,2,3,4"] {
        refused(&["track", "test://?frames=20", "--init", init], init);
    }
}

#[cfg(feature = "train")]
#[test]
fn a_network_that_there_is_not_is_a_wrong_command_line() {
    for init in ["foo:1", "small:one"] {
        refused(&["embed", "--init", init, "--images", ".", "--out", "none.safetensors"], init);
    }
}

#[test]
fn embed_names_what_it_leaves_out_and_the_exit_code_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (images, out) = (dir.path().join("images"), dir.path().join("out.safetensors"));
    std::fs::create_dir(&images).unwrap();
    let embed = || {
        let [images, out] = [&images, &out].map(|path: &std::path::PathBuf| path.display().to_string());
        kinetograph(&["embed", "--descriptor", "hog", "--images", &images, "--out", &out])
    };
    let picture = |name: &str| image::RgbImage::new(40, 30).save(images.join(name)).unwrap();
    picture("a.png");
    picture("c.png");
    assert_eq!(embed().status.code(), Some(0));
    std::fs::write(images.join("b.png"), "no picture").unwrap();
    pipe(&images.join("d.png"));
    let output = embed();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(["b.png", "d.png", "2 images left out"].iter().all(|name| said(&output).contains(name)));
    assert_eq!(std::fs::read_to_string(dir.path().join("out.names.txt")).unwrap(), "a.png\nc.png\n");
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}
