//! Keys of earlier versions that stored states and files of settings may still have.

use toml::Table;

/// Keys that no setting has any more. None of them ever changed a list.
const RETIRED: [&str; 2] = ["graph.neighbours.kernel", "graph.neighbours.shares"];

/// Leaves out of `over` the keys that no setting has any more.
pub(super) fn read(over: &mut Table) {
    for path in RETIRED {
        take(over, path);
    }
}

/// Takes the value at a dotted path out.
fn take(table: &mut Table, path: &str) -> Option<toml::Value> {
    match path.split_once('.') {
        Some((first, rest)) => take(table.get_mut(first)?.as_table_mut()?, rest),
        None => table.remove(path),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, graph_settings};

    #[test]
    fn what_an_earlier_version_wrote_is_read_and_gives_the_same_graph() {
        let now = graph_settings(&Config::default(), "hog");
        let text = Config::default().to_toml();
        for old in ["kernel = \"own\"", "kernel = \"torch\"", "shares = 1", "shares = 3"] {
            let text = text.replace("[graph.neighbours]\n", &format!("[graph.neighbours]\n{old}\n"));
            assert!(text.contains(old));
            let read = Config::parse(&text, "a state").unwrap();
            assert_eq!(graph_settings(&read, "hog"), now, "{old}");
            assert!(!read.to_toml().contains(old));
        }
    }

    #[test]
    fn old_keys_are_read_from_files_variables_and_flags_and_unknown_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("k.toml");
        std::fs::write(&file, "[graph.neighbours]\nkernel = \"own\"\n").unwrap();
        let variable = ("KINETOGRAPH_GRAPH__NEIGHBOURS__KERNEL".to_string(), "torch".to_string());
        let flag = "graph.neighbours.kernel=own".to_string();
        let read = Config::layered(&Config::default(), Some(&file), [variable], &[flag]).unwrap();
        assert_eq!(read.to_toml(), Config::default().to_toml());
        assert!(Config::parse("[graph.neighbours]\nkernels = 1", "here").is_err());
        assert!(Config::parse("[graph.neighbours.closure]\nkernel = \"own\"", "here").is_err());
    }
}
