//! Imports of the project's modules form no circle, and go only where ARCHITECTURE.md lets them.

// Helpers of tests are tests: what fails in them fails the test.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's path below the crate, `index/search/join`; empty for the crate itself.
type Module = String;

/// Each module with the modules that its code, tests aside, imports from.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// The folders of the project's crates.
const CRATES: [&str; 3] = ["pipelines/src", "dataflows/src", "src"];

/// A file or folder of the project.
fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The text of each module below `folder`, without tests.
fn modules(folder: &Path, below: &str, into: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let module = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        if path.is_dir() && name != "tests" {
            modules(&path, &module, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") && name != "tests" {
            let module = if module == "lib" { String::new() } else { module };
            into.insert(module, without_tests(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// `text` without comments and without items that are compiled for tests alone.
fn without_tests(text: &str) -> String {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect();
    let mut parts = code.split("#[cfg(test)]");
    let mut kept = parts.next().unwrap().to_owned();
    parts.for_each(|part| kept += &part[item_end(part)..]);
    kept
}

/// Where the item at the beginning of `code` ends.
fn item_end(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// All paths that begin with `crate`, `super` or `self`, those of imports with braces one by one; and with each how many inline modules it
/// stands in.
fn paths(code: &str) -> Vec<(String, usize)> {
    let (mut found, mut depth, mut inline) = (Vec::new(), 0, Vec::new());
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if word.is_empty() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if c == '}' {
                inline.retain(|at| *at <= depth);
            }
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let after = &rest[word.len()..];
        if word == "mod" && after[..item_end(after)].contains('{') {
            inline.push(depth + 1);
        }
        if ["crate", "super", "self"].contains(&&*word) && after.starts_with("::") {
            let end = tree_end(rest);
            found.extend(expanded(&rest[..end]).into_iter().map(|path| (path, inline.len())));
            rest = &rest[end..];
            continue;
        }
        rest = after;
    }
    found
}

/// Where a path with its braces ends.
fn tree_end(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' if code[..at].ends_with("::") || depth > 0 => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' if depth > 1 => depth -= 1,
            _ if depth > 0 || c.is_alphanumeric() || c == '_' || c == ':' => {}
            _ => return at,
        }
    }
    code.len()
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expanded(tree: &str) -> Vec<String> {
    let Some((before, inner)) = tree.split_once('{') else {
        return vec![tree.split_whitespace().next().unwrap_or_default().to_owned()];
    };
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in inner.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(c);
        }
    }
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.flat_map(|part| expanded(&format!("{}{part}", before.trim_start()))).collect()
}

/// What each module imports from.
fn imports(texts: &BTreeMap<Module, String>) -> Imports {
    let of = |(module, text): (&Module, &String)| {
        let resolved = paths(text).into_iter().map(|(path, inline)| resolve(module, &path, inline, texts));
        let own = own_modules(text).map(|name| resolve(module, &format!("self::{name}"), 0, texts));
        (module.clone(), resolved.chain(own).filter(|other| other != module).collect())
    };
    texts.iter().map(of).collect()
}

/// The modules that `code` declares and has paths into.
fn own_modules(code: &str) -> impl Iterator<Item = &str> {
    let declared = code.split("mod ").skip(1).filter_map(|after| after.split_once(';')).map(|(name, _)| name);
    let begins = |before: &str| !before.ends_with(|c: char| c == ':' || c == '_' || c.is_alphanumeric());
    declared.filter(move |name| {
        let path = format!("{name}::");
        code.match_indices(&*path).any(|(at, _)| begins(&code[..at]))
    })
}

/// The module that a path in `module`, within so many inline ones, leads to: as far as it names modules.
fn resolve(module: &str, path: &str, inline: usize, texts: &BTreeMap<Module, String>) -> Module {
    let mut at: Vec<&str> = module.split('/').filter(|name| !name.is_empty()).collect();
    at.resize(at.len() + inline, "");
    let names = path.split("::").map(str::trim);
    for name in names {
        match name {
            "crate" => at.clear(),
            "self" => {}
            "super" => drop(at.pop()),
            _ => {
                at.retain(|name| !name.is_empty());
                let next = [&at[..], &[name]].concat();
                if !texts.contains_key(&next.join("/")) {
                    break;
                }
                at = next;
            }
        }
    }
    at.retain(|name| !name.is_empty());
    at.join("/")
}

/// A circle, if there is one: each imports the next, the last the first.
fn circle(imports: &Imports) -> Option<Vec<Module>> {
    fn walk<'i>(
        from: &'i str,
        imports: &'i Imports,
        way: &mut Vec<&'i str>,
        done: &mut BTreeSet<&'i str>,
    ) -> Option<Vec<Module>> {
        if let Some(at) = way.iter().position(|on| *on == from) {
            return Some(way[at..].iter().map(|on| (*on).to_owned()).collect());
        }
        if done.contains(from) {
            return None;
        }
        way.push(from);
        let found = imports.get(from).into_iter().flatten().find_map(|to| walk(to, imports, way, done));
        way.pop();
        done.insert(from);
        found
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|from| walk(from, imports, &mut Vec::new(), &mut done))
}

/// The same between folders: of two modules, the folders in which their paths part.
fn between_folders(imports: &Imports) -> Imports {
    let mut folders = Imports::new();
    for (from, to) in imports.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
        let [from, to] = [from, to].map(|module| module.split('/').collect::<Vec<_>>());
        let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        // A file beside a folder is none of its own.
        if same + 1 < from.len() && same + 1 < to.len() {
            let [from, to] = [from, to].map(|module| module[..=same].join("/"));
            folders.entry(from).or_default().insert(to);
        }
    }
    folders
}

/// Whether `folder` has the file `module` somewhere below.
fn is_folder_of(folder: &str, module: &str) -> bool {
    folder.is_empty() || module.starts_with(&format!("{folder}/"))
}

/// Each room of a crate with the rooms that it may import, from the architecture's table.
fn rooms(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(place("ARCHITECTURE.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("What may import what")).unwrap();
    let heading = format!("`{folder}/`");
    let section = section.split("\n### ").find(|section| section.starts_with(&heading)).unwrap();
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').collect();
        let may: BTreeSet<String> = quoted(cells[2]).into_iter().collect();
        quoted(cells[1]).into_iter().map(|room| (room, may.clone())).collect::<Vec<_>>()
    };
    rows.flat_map(row).collect()
}

/// What the modules of the crate in `folder` import. Its program, which only calls the library, is left out.
fn of_crate(folder: &str) -> Imports {
    let mut texts = BTreeMap::new();
    modules(&place(folder), "", &mut texts);
    texts.remove("main");
    let declared = |module: &Module| {
        let (parent, name) = module.rsplit_once('/').unwrap_or(("", module));
        module.is_empty() || texts[parent].contains(&format!("mod {name};"))
    };
    // What is left is compiled for tests alone.
    let kept: BTreeSet<Module> = texts.keys().filter(|module| declared(module)).cloned().collect();
    texts.retain(|module, _| kept.contains(module));
    imports(&texts)
}

#[test]
fn imports_form_no_circle() {
    for (folder, least) in CRATES.into_iter().zip([20, 200, 400]) {
        let mut imports = of_crate(folder);
        if folder != "dataflows/src" {
            // There a file may take what the file of its own folder declares.
            imports.iter_mut().for_each(|(from, to)| to.retain(|to| !is_folder_of(to, from)));
        }
        let count: usize = imports.values().map(BTreeSet::len).sum();
        assert!(count > least, "{count} imports are found in {folder}");
        assert_eq!(circle(&imports), None, "between files of {folder}");
        assert_eq!(circle(&between_folders(&imports)), None, "between folders of {folder}");
    }
}

#[test]
fn each_room_imports_what_the_architecture_lets_it() {
    CRATES.into_iter().for_each(assert_rooms_of);
}

fn assert_rooms_of(folder: &str) {
    let (imports, rooms) = (of_crate(folder), rooms(folder));
    let room = |module: &str| {
        let of = |room: &&String| module == **room || module.starts_with(&format!("{room}/"));
        rooms.keys().filter(of).max_by_key(|room| room.len()).cloned()
    };
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for (from, to) in imports.iter().filter(|(from, _)| !from.is_empty()) {
        let Some(own) = room(from) else {
            // A file that only names its folder's modules.
            assert!(to.iter().all(|to| to.starts_with(&format!("{from}/"))), "{from} is in no room");
            continue;
        };
        for other in to.iter().filter_map(|to| room(to)).filter(|other| *other != own) {
            if rooms[&own].contains(&other) {
                used.insert((own.clone(), other));
            } else {
                wrong.push(format!("{from} imports from {other}"));
            }
        }
    }
    assert_eq!(wrong, <[String; 0]>::default(), "{folder}");
    let allowed = rooms.iter().flat_map(|(room, may)| may.iter().map(|other| (room.clone(), other.clone())));
    let unused: Vec<_> = allowed.filter(|pair| !used.contains(pair)).collect();
    assert_eq!(unused, [], "what is allowed and not done in {folder}");
}

#[test]
fn circles_are_found() {
    let texts = [
        ("a", "use crate::b::{c::Thing, d};\n#[cfg(test)]\nmod tests { use crate::e::X; }"),
        ("b", "pub mod c; pub mod d; pub use d::Other;"),
        ("b/c", "use super::d::Other; // crate::a::B"),
        ("b/d", "fn f() -> crate::e::Y { mod inner { use super::super::c::Thing; } }"),
        ("e", ""),
    ];
    let texts = texts.map(|(module, text)| (module.to_owned(), without_tests(text)));
    let mut imports = imports(&texts.into_iter().collect());
    assert_eq!(circle(&imports), Some(vec!["b/c".to_owned(), "b/d".to_owned()]));
    assert_eq!(imports["a"], ["b/c", "b/d"].map(str::to_owned).into());
    assert_eq!(imports["b"], ["b/d"].map(str::to_owned).into());
    imports.get_mut("b/d").unwrap().remove("b/c");
    assert_eq!(circle(&imports), None);
    imports.get_mut("b/c").unwrap().insert("x/y".to_owned());
    imports.insert("x/y".to_owned(), BTreeSet::from(["b/c/z".to_owned()]));
    assert_eq!(circle(&imports), None);
    assert_eq!(circle(&between_folders(&imports)), Some(vec!["b".to_owned(), "x".to_owned()]));
}
