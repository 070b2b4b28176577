//! Keys of earlier versions that stored states and files of settings may still have.

use toml::Table;

/// Keys that no setting has any more. None of them ever changed a list.
const RETIRED: [&str; 2] = ["graph.neighbours.kernel", "graph.neighbours.shares"];

/// Keys that have another name now, with it.
const RENAMED: [(&str, &str); 3] = [
    ("graph.neighbours.look_into", "nprobe"),
    ("graph.neighbours.look_within", "probe_within"),
    ("graph.neighbours.sketching", "projection"),
];

/// Gives the keys in `over` the names that they have now, and leaves out those that no setting has any more. A key that is there under both
/// names keeps the value of the new one.
pub(super) fn read(over: &mut Table) {
    for path in RETIRED {
        take(over, path);
    }
    for (path, name) in RENAMED {
        let Some((section, _)) = path.rsplit_once('.') else { continue };
        let value = take(over, path);
        if let (Some(value), Some(section)) = (value, at(over, section)) {
            section.entry(name).or_insert(value);
        }
    }
}

/// The table at a dotted path.
fn at<'t>(table: &'t mut Table, path: &str) -> Option<&'t mut Table> {
    path.split('.').try_fold(table, |table, key| table.get_mut(key)?.as_table_mut())
}

/// Takes the value at a dotted path out.
fn take(table: &mut Table, path: &str) -> Option<toml::Value> {
    let (section, key) = path.rsplit_once('.')?;
    at(table, section)?.remove(key)
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
        let old =
            "[graph.neighbours]\nlook_into = 3\nlook_within = 1.5\nsketching = \"never\"\nstorage = \"f16\"";
        let new =
            "[graph.neighbours]\nnprobe = 3\nprobe_within = 1.5\nprojection = \"never\"\nstorage = \"words\"";
        let read = |text| Config::parse(text, "here").unwrap().to_toml();
        assert_eq!(read(old), read(new));
        assert!(read(new).contains("nprobe = 3"));
        let variable = ("KINETOGRAPH_GRAPH__NEIGHBOURS__LOOK_INTO".to_string(), "2".to_string());
        let flag = "graph.neighbours.look_within=1.1".to_string();
        let read = Config::layered(&Config::default(), None, [variable], &[flag]).unwrap().graph.neighbours;
        assert_eq!((read.nprobe, read.probe_within), (2, 1.1));
        let both = Config::parse("[graph.neighbours]\nlook_into = 3\nnprobe = 2", "here").unwrap();
        assert_eq!(both.graph.neighbours.nprobe, 2);
        assert!(Config::parse("[graph.neighbours.closure]\nkernel = \"own\"", "here").is_err());
    }
}
