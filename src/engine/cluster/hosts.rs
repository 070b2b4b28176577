//! The host file: where each process listens, one `host:port` a line, process 0 first.

use std::path::Path;

use super::ClusterError;

/// Reads the host file at `path`. Empty lines and what follows a `#` do not count.
///
/// # Errors
/// [`ClusterError::Hosts`] when it cannot be read, names none, or has a line that is no `host:port`.
pub fn read(path: &Path) -> Result<Vec<String>, ClusterError> {
    let refused = |reason: String| ClusterError::Hosts { path: path.to_path_buf(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let mut hosts: Vec<String> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let host = line.split('#').next().unwrap_or_default().trim();
        if host.is_empty() {
            continue;
        }
        let port = host.rsplit_once(':').filter(|(name, _)| !name.is_empty());
        if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
            return Err(refused(format!("line {}: {host:?} is not host:port", at + 1)));
        }
        if hosts.iter().any(|other| other == host) {
            return Err(refused(format!("line {}: {host} is there twice", at + 1)));
        }
        hosts.push(host.to_string());
    }
    if hosts.is_empty() {
        return Err(refused("no host:port in it".to_string()));
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_hosts_and_wrong_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path).map_err(|error| error.to_string())
        };
        assert_eq!(of("a:1\n\n# none\n[::1]:22 # six\n").unwrap(), ["a:1", "[::1]:22"]);
        for (text, said) in [
            ("a:1\nb\n", "line 2"),
            ("a:1\na:1", "line 2"),
            (":5", "line 1"),
            ("a:0", "line 1"),
            ("a:70000", "line 1"),
            ("# nothing", "no host"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(said) && error.contains("hosts"), "{error}");
        }
        assert!(read(&dir.path().join("none")).is_err());
    }
}
