//! How large the layers of an image are, unpacked and as a registry hands them out.

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const SHOWN: usize = 70;

/// A layer.
#[derive(Debug, PartialEq)]
pub struct Layer {
    /// The beginning of the instruction that made it.
    pub made_by: String,
    /// Its bytes.
    pub unpacked: u64,
    /// Its bytes as gzip has them.
    pub compressed: u64,
}

/// The layers of the image in an archive as `docker save` writes it, which is unpacked into the directory.
pub fn of(archive: &Path, directory: &Path) -> Result<Vec<Layer>, Box<dyn Error>> {
    let mut tar = Command::new("tar");
    let status = tar.arg("-xf").arg(archive).arg("-C").arg(directory).status()?;
    if !status.success() {
        return Err(format!("the image's archive can't be unpacked: {status}").into());
    }
    fs::remove_file(archive)?;
    read(directory)
}

fn read(directory: &Path) -> Result<Vec<Layer>, Box<dyn Error>> {
    let json = |name: &str| -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_reader(File::open(directory.join(name))?)?)
    };
    let manifest = json("manifest.json")?;
    let config = json(manifest[0]["Config"].as_str().ok_or("the image's archive names no configuration")?)?;
    let history = config["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    let made = history.iter().filter(|entry| entry["empty_layer"] != true);
    let mut made_by = made.map(|entry| instruction(entry["created_by"].as_str().unwrap_or_default()));
    let files = manifest[0]["Layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut layers = Vec::new();
    for file in files.iter().filter_map(Value::as_str) {
        let (unpacked, compressed) = sizes(&directory.join(file))?;
        layers.push(Layer { made_by: made_by.next().unwrap_or_default(), unpacked, compressed });
    }
    Ok(layers)
}

fn instruction(created_by: &str) -> String {
    let words = created_by.trim_start_matches("/bin/sh -c ").trim_start_matches("#(nop) ");
    let words: Vec<&str> = words.split_whitespace().collect();
    words.join(" ").chars().take(SHOWN).collect()
}

fn sizes(layer: &Path) -> io::Result<(u64, u64)> {
    let bytes = fs::metadata(layer)?.len();
    let mut start = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(File::open(layer)?, 2), &mut start)?;
    if start == GZIP {
        Ok((through_gzip("-dc", layer)?, bytes))
    } else {
        Ok((bytes, through_gzip("-6nc", layer)?))
    }
}

fn through_gzip(option: &str, file: &Path) -> io::Result<u64> {
    let mut gzip = Command::new("gzip");
    let mut child = gzip.arg(option).stdin(File::open(file)?).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().map_or(Ok(0), |mut output| io::copy(&mut output, &mut io::sink()));
    let status = child.wait()?;
    if status.success() { output } else { Err(io::Error::other(format!("gzip failed: {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_weighed_both_ways_and_told_apart() {
        let directory = tempfile::tempdir().expect("room");
        let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).expect("room");
        write("manifest.json", br#"[{"Config": "config.json", "Layers": ["plain.tar", "packed.tar"]}]"#);
        let config = serde_json::json!({ "history": [
            { "created_by": "/bin/sh -c #(nop) COPY  a b" },
            { "created_by": "ENV a=b", "empty_layer": true },
            { "created_by": "RUN make" },
        ] });
        write("config.json", config.to_string().as_bytes());
        write("plain.tar", &vec![0; 100_000]);
        let gzip =
            Command::new("gzip").arg("-c").arg(directory.path().join("plain.tar")).output().expect("there");
        write("packed.tar", &gzip.stdout);
        let layers = read(directory.path()).expect("readable");
        let seen: Vec<(&str, u64)> = layers.iter().map(|layer| (&*layer.made_by, layer.unpacked)).collect();
        assert_eq!(seen, [("COPY a b", 100_000), ("RUN make", 100_000)]);
        assert!(layers.iter().all(|layer| (1..1_000).contains(&layer.compressed)), "{layers:?}");
    }
}
